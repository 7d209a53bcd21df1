"""SYSTEM events: stored and queued as those that clients send, by the same statements (events-rules.md 3.7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid5

from db.repositories import ingest as rows
from db.session import Connection, dumps
from domain.automations import event_key
from domain.lanes import lane_of
from runtime.tracing import trace_parent

TICK = timedelta(microseconds=1)


class Automation(Protocol):
    """What an automation gives to each of its events."""

    @property
    def id(self) -> UUID: ...
    @property
    def organization_id(self) -> UUID: ...
    @property
    def program_id(self) -> UUID: ...
    @property
    def event_name(self) -> str: ...
    @property
    def payload(self) -> Mapping[str, Any]: ...
    @property
    def caused_by_event_id(self) -> UUID | None: ...
    @property
    def chain_depth(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Firing:
    """One event to be made: for a participant, or for the program."""

    automation: Automation
    occurrence: datetime
    event_data: str
    participant_id: UUID | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """Events that were made, and the lanes to wake after the commit."""

    events: int = 0
    lanes: frozenset[int] = frozenset()

    def plus(self, other: "Made") -> "Made":
        """Both together."""
        return Made(self.events + other.events, self.lanes | other.lanes)


def event_data_of(automation: Automation) -> str:
    """The payload with `type` set to the event name, which wins over a `type` of the payload."""
    return dumps({**automation.payload, "type": automation.event_name})


def make_events(conn: Connection, firings: Sequence[Firing], now: datetime, lanes: int) -> Made:
    """Store and queue the events in order; one that was made before is left alone."""
    events = {event.id: event for event in (_event(firing, now + n * TICK, lanes) for n, firing in enumerate(firings))}
    fresh = rows.insert_events(conn, list(events.values())) if events else set()
    return Made(len(fresh), frozenset(events[id_].lane for id_ in fresh))


def _event(firing: Firing, now: datetime, lanes: int) -> rows.NewEvent:
    automation = firing.automation
    key = event_key(automation.id, firing.occurrence, firing.participant_id)
    return rows.NewEvent(
        id=uuid5(automation.program_id, key),
        organization_id=automation.organization_id,
        program_id=automation.program_id,
        participant_id=firing.participant_id,
        external_id=firing.external_id,
        recipient_id=None,
        idempotency_key=key,
        event_data=firing.event_data,
        event_timestamp=firing.occurrence,
        created_at=now,
        lane=lane_of(firing.participant_id or automation.program_id, lanes),
        event_type="SYSTEM",
        automation_id=automation.id,
        caused_by_event_id=automation.caused_by_event_id,
        chain_depth=automation.chain_depth,
        trace_parent=trace_parent(),
    )
