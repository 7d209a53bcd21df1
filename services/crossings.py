"""Crossings of thresholds, found in the transaction that changes counters (automations.md 3.1); the due work fires them.

The caller holds the participants' locks, under which subscriptions begin: so each change is either before a beginning or heard.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from db.repositories import watches as rows
from db.session import Connection
from domain.automations import ScheduleType
from domain.state import StateChange
from domain.subscriptions import TICK, Threshold, schedule_of


@dataclass(frozen=True, slots=True)
class CounterChange:
    """A row of a participant's state history, in order; those of one cause are committed as one change."""

    participant_id: UUID
    change: StateChange
    at: datetime
    cause: Hashable = None


@dataclass(slots=True)
class _Step:
    participant_id: UUID
    key: str
    value: Decimal
    at: datetime


@dataclass(slots=True)
class _Listener:
    watch: rows.Watch
    threshold: Threshold
    is_met: bool
    crossings: list[datetime]


def note(conn: Connection, changes: Iterable[CounterChange]) -> bool:
    """Note which of these changes turn a comparison from false to true; whether any does, so that something is due now."""
    steps = _steps(changes)
    if not steps:
        return False
    watches = rows.lock_watches(conn, {step.participant_id for step in steps})
    if not watches:
        return False
    listeners = [_listener(watch) for watch in watches]
    last = _last_crossings(watches)
    for step in steps:
        for listener in listeners:
            if listener.watch.participant_id == step.participant_id and listener.threshold.counter == step.key:
                _hear(listener, step, last)
    changed = {
        each.watch.id: (each.is_met, each.crossings) for each in listeners if each.crossings or each.is_met != each.watch.is_met
    }
    if changed:
        rows.note_watches(conn, changed)
    return any(crossings for _, crossings in changed.values())


def _steps(changes: Iterable[CounterChange]) -> Sequence[_Step]:
    """The values that counters had, one after the other: what an event leaves, and zero before it where a counter lapsed."""
    steps: list[_Step] = []
    merged: dict[Hashable, _Step] = {}
    for item in changes:
        if item.change.state_type != "counter":
            continue
        name = (item.participant_id, item.change.key, item.cause)
        value = Decimal(item.change.new_value or 0)
        if item.change.operation != "auto_reset" and name in merged:
            merged[name].value = value
            continue
        step = _Step(item.participant_id, item.change.key, value, item.at)
        steps.append(step)
        if item.change.operation != "auto_reset":
            merged[name] = step
    return steps


def _listener(watch: rows.Watch) -> _Listener:
    threshold = schedule_of(ScheduleType.THRESHOLD, watch.config, "UTC")
    assert isinstance(threshold, Threshold)
    return _Listener(watch, threshold, watch.is_met, [])


def _last_crossings(watches: Iterable[rows.Watch]) -> dict[UUID, datetime]:
    found: dict[UUID, datetime] = {}
    for watch in watches:
        if watch.last_crossed_at is not None:
            found[watch.participant_id] = max(watch.last_crossed_at, found.get(watch.participant_id, watch.last_crossed_at))
    return found


def _hear(listener: _Listener, step: _Step, last: dict[UUID, datetime]) -> None:
    was_met, listener.is_met = listener.is_met, listener.threshold.is_met(step.value)
    if was_met or not listener.is_met or not listener.watch.is_heard:
        return
    before = last.get(step.participant_id)
    moment = step.at if before is None else max(step.at, before + TICK)
    last[step.participant_id] = moment
    listener.crossings.append(moment)
