"""State of participants, groups and programs: tags, counters with lazy auto-reset, attributes (participants-groups.md, State).

An `EntityState` is a value: every change gives a new one together with the history rows it causes. So a snapshot is just
the old value, and undoing a failed event is forgetting the new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from domain.durations import parse_duration
from domain.money import CEILING, CONTEXT, MAX_SCALE, format_plain, to_scale

ZERO = Decimal(0)


class CounterOutOfRange(ValueError):
    """A counter's new value has more than 20 digits before the point."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter as stored: `reset_after` is a Go duration, `last_reset_at` is set with auto-reset only."""

    value: Decimal
    reset_after: str | None = None
    last_reset_at: datetime | None = None

    def has_lapsed(self, now: datetime) -> bool:
        """Whether `reset_after` has passed since `last_reset_at`."""
        if self.reset_after is None or self.last_reset_at is None:
            return False
        return self.last_reset_at + parse_duration(self.reset_after) <= now

    def effective(self, now: datetime) -> Decimal:
        """The value that reads and rules see: zero once lapsed."""
        return ZERO if self.has_lapsed(now) else self.value


@dataclass(frozen=True, slots=True)
class StateChange:
    """What one change writes to the state history; values as text, null for tags."""

    state_type: str
    key: str
    operation: str
    old_value: str | None = None
    new_value: str | None = None


Changes = tuple[StateChange, ...]


@dataclass(frozen=True, slots=True)
class EntityState:
    """Tags (lower case), counters and attributes of one participant, group or program."""

    tags: frozenset[str] = frozenset()
    counters: Mapping[str, Counter] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def add_tag(self, tag: str) -> tuple["EntityState", Changes]:
        """Add a tag; no change when it is there."""
        tag = tag.lower()
        if tag in self.tags:
            return self, ()
        return replace(self, tags=self.tags | {tag}), (StateChange("tag", tag, "add"),)

    def remove_tag(self, tag: str) -> tuple["EntityState", Changes]:
        """Remove a tag; no change when it isn't there."""
        tag = tag.lower()
        if tag not in self.tags:
            return self, ()
        return replace(self, tags=self.tags - {tag}), (StateChange("tag", tag, "remove"),)

    def add_to_counter(self, key: str, amount: Decimal, reset_after: str | None, now: datetime) -> tuple["EntityState", Changes]:
        """Add to a counter, resetting a lapsed one first; `reset_after` None keeps the setting, "" removes it.

        Raises CounterOutOfRange. Increments never move `last_reset_at`.
        """
        old = self.counters.get(key)
        base, history = _reset_if_lapsed(key, old or Counter(ZERO), now)
        value = to_scale(CONTEXT.add(base.value, amount), MAX_SCALE)
        if value.copy_abs() >= CEILING:
            raise CounterOutOfRange(f"counter {key} would have more than 20 integer digits")
        new = replace(_with_reset(base, reset_after, now), value=value)
        before = None if old is None else format_plain(base.value)
        if not (old is not None and value == base.value):
            history += (StateChange("counter", key, "set", before, format_plain(value)),)
        if new == old:
            return self, ()
        return replace(self, counters={**self.counters, key: new}), history

    def set_counter(self, key: str, value: Decimal, reset_after: str | None, now: datetime) -> tuple["EntityState", Changes]:
        """Set a counter absolutely; with auto-reset on, its period begins now."""
        old = self.counters.get(key)
        base, history = _reset_if_lapsed(key, old or Counter(ZERO), now)
        new = replace(_with_reset(base, reset_after, now), value=value)
        if new.reset_after is not None:
            new = replace(new, last_reset_at=now)
        if old is None or base.value != value:
            before = None if old is None else format_plain(base.value)
            history += (StateChange("counter", key, "set", before, format_plain(value)),)
        return replace(self, counters={**self.counters, key: new}), history

    def delete_counter(self, key: str, now: datetime) -> tuple["EntityState", Changes]:
        """Forget a counter, resetting a lapsed one first; no change when there is none."""
        old = self.counters.get(key)
        if old is None:
            return self, ()
        base, history = _reset_if_lapsed(key, old, now)
        rest = {name: counter for name, counter in self.counters.items() if name != key}
        return replace(self, counters=rest), (*history, StateChange("counter", key, "delete", format_plain(base.value)))

    def set_attribute(self, key: str, value: str) -> tuple["EntityState", Changes]:
        """Write an attribute; no change when it has this value."""
        old = self.attributes.get(key)
        if old == value:
            return self, ()
        change = StateChange("attribute", key, "set", old, value)
        return replace(self, attributes={**self.attributes, key: value}), (change,)

    def delete_attribute(self, key: str) -> tuple["EntityState", Changes]:
        """Remove an attribute; no change when there is none."""
        old = self.attributes.get(key)
        if old is None:
            return self, ()
        rest = {name: value for name, value in self.attributes.items() if name != key}
        return replace(self, attributes=rest), (StateChange("attribute", key, "delete", old),)


def _reset_if_lapsed(key: str, counter: Counter, now: datetime) -> tuple[Counter, Changes]:
    if not counter.has_lapsed(now):
        return counter, ()
    change = StateChange("counter", key, "auto_reset", format_plain(counter.value), "0")
    return replace(counter, value=ZERO, last_reset_at=now), (change,)


def _with_reset(counter: Counter, reset_after: str | None, now: datetime) -> Counter:
    if reset_after is None:
        return counter
    if reset_after == "":
        return replace(counter, reset_after=None, last_reset_at=None)
    return replace(counter, reset_after=reset_after, last_reset_at=counter.last_reset_at or now)


def counters_to_json(counters: Mapping[str, Counter]) -> dict[str, object]:
    """The stored form: a plain text for a plain counter, an object with auto-reset."""
    return {key: _counter_to_json(counter) for key, counter in counters.items()}


def _counter_to_json(counter: Counter) -> object:
    value = format_plain(counter.value)
    if counter.reset_after is None or counter.last_reset_at is None:
        return value
    return {"value": value, "reset_after": counter.reset_after, "last_reset_at": counter.last_reset_at.isoformat()}


def counters_from_json(stored: Mapping[str, object]) -> dict[str, Counter]:
    """Read the stored form."""
    return {key: _counter_from_json(value) for key, value in stored.items()}


def _counter_from_json(stored: object) -> Counter:
    if isinstance(stored, str):
        return Counter(Decimal(stored))
    assert isinstance(stored, dict)
    return Counter(Decimal(stored["value"]), stored["reset_after"], datetime.fromisoformat(stored["last_reset_at"]))
