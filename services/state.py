"""State of participants, groups and programs over the API: tags, counters, attributes, each change with its history.

An `Entity` names whose state it is; groups and programs use the same functions as participants.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import state as repository
from db.repositories.state import ChangeRow, HistoryFilter
from db.session import psycopg_of
from domain.errors import GroupArchived, bad_request, not_found
from domain.money import CEILING, MAX_SCALE, format_plain, to_scale
from domain.state import Changes, Counter, CounterOutOfRange, EntityState
from services import crossings, programs, tier_steps
from services.crossings import CounterChange
from services.paging import Keyset, Slice

__all__ = ["ChangeRow", "HistoryFilter"]

_TOUCHING = frozenset({"tag", "attribute"})


class EntityKind(StrEnum):
    PARTICIPANT = "PARTICIPANT"
    GROUP = "GROUP"
    PROGRAM = "PROGRAM"


@dataclass(frozen=True, slots=True)
class Entity:
    """Whose state it is."""

    kind: EntityKind
    id: UUID


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes it: the tenant and the key that asked."""

    organization_id: UUID
    api_key_id: UUID


@dataclass(frozen=True, slots=True)
class CounterView:
    """A counter as it is read: its effective value, and its auto-reset if it has one."""

    key: str
    value: Decimal
    reset_after: str | None
    last_reset_at: datetime | None
    has_crossed: bool = False
    """Whether its change crossed a threshold that an automation watches, so that something is due after the commit."""


@dataclass(frozen=True, slots=True)
class StateView:
    """A whole state as it is read; counters as text, effective."""

    tags: list[str]
    counters: dict[str, str]
    attributes: dict[str, str]


Change = Callable[[EntityState, datetime], tuple[EntityState, Changes]]


def view(session: Session, organization_id: UUID, entity: Entity) -> StateView:
    """The whole state; NotFound."""
    state = _up_to_date(session, organization_id, entity)
    counters = {counter.key: format_plain(counter.value) for counter in _counters(state, clock.now(session))}
    return StateView(sorted(state.tags), counters, dict(sorted(state.attributes.items())))


def change(session: Session, author: Author, entity: Entity, work: Change) -> EntityState:
    """Lock a state, bring it up to date, change it, record what changed; returns the new state. NotFound, GroupArchived."""
    return _changed(session, author, entity, work)[0]


def _changed(session: Session, author: Author, entity: Entity, work: Change) -> tuple[EntityState, bool]:
    """The same, and whether a counter crossed a threshold that an automation watches."""
    old = _load(session, author.organization_id, entity, is_locked=True)
    if entity.kind is EntityKind.GROUP and repository.is_group_archived(session, entity.id):
        raise GroupArchived(group_id=str(entity.id))
    now = clock.now(session)
    if entity.kind is not EntityKind.PROGRAM and _carry_out(session, author.organization_id, entity, now):
        old = _load(session, author.organization_id, entity)
    try:
        new, changes = work(old, now)
    except CounterOutOfRange as error:
        raise bad_request("value", "out_of_range", str(error)) from None
    if new == old:
        return old, False
    if entity.kind is EntityKind.PROGRAM:
        repository.save_program(session, entity.id, new)
    else:
        repository.save_holder(session, entity.id, new, now)
        created = new.counters.keys() - old.counters.keys()
        if created:
            tier_steps.note_new_counters(psycopg_of(session), author.organization_id, entity.id, old.counters, created, now)
    if changes:
        repository.insert_changes(
            session,
            author.organization_id,
            entity.kind,
            entity.id,
            changes,
            changed_at=now,
            api_key_id=author.api_key_id,
        )
    if entity.kind is EntityKind.PARTICIPANT and any(item.state_type in _TOUCHING for item in changes):
        repository.touch_participant(session, entity.id, now)
    if entity.kind is not EntityKind.PARTICIPANT or not changes:
        return new, False
    return new, crossings.note(psycopg_of(session), [CounterChange(entity.id, item, now) for item in changes])


# ---------------------------------------------------------------------- tags


def list_tags(session: Session, organization_id: UUID, entity: Entity) -> list[str]:
    """Tags, sorted; NotFound."""
    return sorted(_load(session, organization_id, entity).tags)


def set_tags(session: Session, author: Author, entity: Entity, tags: Sequence[str]) -> list[str]:
    """Replace all tags; returns them sorted. NotFound."""
    return sorted(change(session, author, entity, lambda state, _: with_tags(state, tags)).tags)


def with_tags(state: EntityState, tags: Sequence[str]) -> tuple[EntityState, Changes]:
    """A state with these tags only; removals come first in its history, each kind in falling order of the tags."""
    wanted = {tag.lower() for tag in tags}
    history: Changes = ()
    for tag in sorted(state.tags - wanted, reverse=True):
        state, changes = state.remove_tag(tag)
        history += changes
    for tag in sorted(wanted - state.tags, reverse=True):
        state, changes = state.add_tag(tag)
        history += changes
    return state, history


def add_tag(session: Session, author: Author, entity: Entity, tag: str) -> bool:
    """Add a tag; whether it is new. NotFound."""
    is_new = False

    def add(state: EntityState, _: datetime) -> tuple[EntityState, Changes]:
        nonlocal is_new
        is_new = tag not in state.tags
        return state.add_tag(tag)

    change(session, author, entity, add)
    return is_new


def remove_tag(session: Session, author: Author, entity: Entity, tag: str) -> None:
    """Remove a tag, if it is there; NotFound."""
    change(session, author, entity, lambda state, _: state.remove_tag(tag))


# ------------------------------------------------------------------ counters


def list_counters(session: Session, organization_id: UUID, entity: Entity) -> list[CounterView]:
    """Counters with their effective values, sorted by key; NotFound."""
    return _counters(_up_to_date(session, organization_id, entity), clock.now(session))


def get_counter(session: Session, organization_id: UUID, entity: Entity, key: str) -> CounterView:
    """One counter with its effective value; NotFound entity or counter."""
    counter = _up_to_date(session, organization_id, entity).counters.get(key)
    if counter is None:
        raise not_found("counter", key)
    return _counter(key, counter, clock.now(session))


def set_counter(
    session: Session, author: Author, entity: Entity, key: str, value: Decimal, reset_after: str | None
) -> CounterView:
    """Set a counter absolutely; `reset_after` None keeps auto-reset as it is, "" removes it. NotFound, BadRequest."""
    rounded = to_scale(value, MAX_SCALE)
    if rounded.copy_abs() >= CEILING:
        raise bad_request("value", "out_of_range", "At most 20 digits before the point", received=format_plain(value))
    moment = None

    def write(state: EntityState, now: datetime) -> tuple[EntityState, Changes]:
        nonlocal moment
        moment = now
        return state.set_counter(key, rounded, reset_after, now)

    state, has_crossed = _changed(session, author, entity, write)
    assert moment is not None
    return replace(_counter(key, state.counters[key], moment), has_crossed=has_crossed)


def delete_counter(session: Session, author: Author, entity: Entity, key: str) -> bool:
    """Forget a counter, if it is there; whether that crossed a threshold that an automation watches. NotFound entity."""
    return _changed(session, author, entity, lambda state, now: state.delete_counter(key, now))[1]


# ---------------------------------------------------------------- attributes


def list_attributes(session: Session, organization_id: UUID, entity: Entity) -> dict[str, str]:
    """Attributes, sorted by key; NotFound."""
    return dict(sorted(_load(session, organization_id, entity).attributes.items()))


def get_attribute(session: Session, organization_id: UUID, entity: Entity, key: str) -> str:
    """One attribute; NotFound entity or attribute."""
    value = _load(session, organization_id, entity).attributes.get(key)
    if value is None:
        raise not_found("attribute", key)
    return value


def merge_attributes(session: Session, author: Author, entity: Entity, values: Mapping[str, str]) -> dict[str, str]:
    """Write these attributes and keep the others; returns all of them, sorted by key. NotFound."""
    state = change(session, author, entity, lambda state, _: with_attributes(state, values))
    return dict(sorted(state.attributes.items()))


def with_attributes(state: EntityState, values: Mapping[str, str]) -> tuple[EntityState, Changes]:
    """A state with these attributes written over its own."""
    history: Changes = ()
    for key, value in values.items():
        state, changes = state.set_attribute(key, value)
        history += changes
    return state, history


def delete_attribute(session: Session, author: Author, entity: Entity, key: str) -> None:
    """Remove an attribute, if it is there; NotFound entity."""
    change(session, author, entity, lambda state, _: state.delete_attribute(key))


# ------------------------------------------------------------------- history


def list_changes(
    session: Session, organization_id: UUID, entity: Entity, wanted: HistoryFilter, keyset: Keyset
) -> Slice[ChangeRow]:
    """One page of the state history; NotFound entity, or program of the filter."""
    _up_to_date(session, organization_id, entity)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    return repository.page(session, organization_id, entity.id, wanted, keyset)


def _up_to_date(session: Session, organization_id: UUID, entity: Entity) -> EntityState:
    """The state, after what time did to its tiers; NotFound."""
    if entity.kind is not EntityKind.PROGRAM:
        tier_steps.settle(session, organization_id, entity.id)
    return _load(session, organization_id, entity)


def _carry_out(session: Session, organization_id: UUID, entity: Entity, now: datetime) -> bool:
    return tier_steps.bring_up_to_date(psycopg_of(session), organization_id, [entity.id], now).holders > 0


def _load(session: Session, organization_id: UUID, entity: Entity, *, is_locked: bool = False) -> EntityState:
    if entity.kind is EntityKind.PROGRAM:
        state = repository.load_program(session, organization_id, entity.id, is_locked=is_locked)
    else:
        state = repository.load_holder(session, organization_id, entity.kind, entity.id, is_locked=is_locked)
    if state is None:
        raise not_found(entity.kind.lower(), entity.id)
    return state


def _counters(state: EntityState, now: datetime) -> list[CounterView]:
    return [_counter(key, counter, now) for key, counter in sorted(state.counters.items())]


def _counter(key: str, counter: Counter, now: datetime) -> CounterView:
    return CounterView(key, counter.effective(now), counter.reset_after, counter.last_reset_at)
