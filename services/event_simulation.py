"""The dry run of one event (events-rules.md 2.9): the code of the real run on one committed state, without locks or writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import ingest
from db.repositories import processing as rows
from db.session import Connection, freeze, loads, psycopg_of
from domain.ledger.accounts import EntityType
from domain.processing.impact import BalanceChange, StateEffect, net
from domain.processing.process import Outcome
from domain.processing.record import EvaluatedEvent
from domain.processing.world import Event, Holder, RecordedChange
from domain.state import EntityState
from domain.tiers.changes import LevelChange
from runtime.ids import new_id
from services.batch_work import Locks, Work
from services.events import evaluation_rows
from services.ingest import Submission, look_up, refusal_of

# Ids in executed actions that only a stored event has.
_STORED_IDS = ("journal_entry_id", "automation_id")


@dataclass(frozen=True, slots=True)
class Trial:
    """An event to be tried out, its form checked; without a time it happens now."""

    organization_id: UUID
    program_id: UUID
    event_data: str
    event_timestamp: datetime | None = None
    external_id: str | None = None
    participant_id: UUID | None = None
    recipient_id: UUID | None = None
    recipient_external_id: str | None = None

    def submission(self, now: datetime) -> Submission:
        """The same as it would be sent, under a key of no meaning."""
        return Submission(
            organization_id=self.organization_id,
            program_id=self.program_id,
            idempotency_key="simulation",
            event_timestamp=self.event_timestamp or now,
            event_data=self.event_data,
            external_id=self.external_id,
            participant_id=self.participant_id,
            recipient_id=self.recipient_id,
            recipient_external_id=self.recipient_external_id,
        )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the event would become and change. `strangers` are those who exist in the dry run only: id -> external id."""

    outcome: Outcome
    rule_evaluations: Sequence[dict[str, Any]]
    balances: Sequence[BalanceChange]
    state_changes: Sequence[StateEffect]
    level_changes: Sequence[LevelChange]
    strangers: Mapping[UUID, str]


def simulate_event(session: Session, trial: Trial) -> Simulation:
    """Run an event in a transaction of its own, which it makes read-only. Raises NotFound, ProgramInactive."""
    conn = psycopg_of(session)
    freeze(conn)
    now = rows.clock(conn)
    submission = trial.submission(now)
    named = look_up(conn, [submission])
    refusal = refusal_of(submission, named)
    if refusal is not None:
        raise refusal
    cast = _Cast(submission, named)
    event = Event(
        id=new_id(),
        organization_id=trial.organization_id,
        program_id=trial.program_id,
        participant_id=cast.participant_id,
        recipient_id=cast.recipient_id,
        data=loads(trial.event_data),
        timestamp=submission.event_timestamp,
        created_at=now,
    )
    work = Work(conn, [event], Locks(), is_dry=True)
    cast.enter(work, now)
    [outcome] = work.evaluate()
    return _found(conn, work, outcome, cast.strangers)


@dataclass(slots=True)
class _Cast:
    """Participant and recipient of a dry run, made up where the program doesn't know them yet."""

    submission: Submission
    named: ingest.Named
    strangers: dict[UUID, str] = field(default_factory=dict)
    participant_id: UUID = field(init=False)
    recipient_id: UUID | None = field(init=False)

    def __post_init__(self) -> None:
        submission = self.submission
        names = {submission.external_id, submission.recipient_external_id} - {None}
        # in the order in which they would be created, so that their rows are listed in the same order
        unknown = sorted(name for name in names if name and (submission.organization_id, name) not in self.named.by_external_id)
        self.strangers = {new_id(): name for name in unknown}
        participant_id = self._find(submission.participant_id, submission.external_id)
        assert participant_id is not None
        self.participant_id = participant_id
        self.recipient_id = self._find(submission.recipient_id, submission.recipient_external_id)

    def _find(self, id_: UUID | None, external_id: str | None) -> UUID | None:
        if id_ is not None or external_id is None:
            return id_
        known = self.named.by_external_id.get((self.submission.organization_id, external_id))
        return known.id if known else next(id_ for id_, name in self.strangers.items() if name == external_id)

    def enter(self, work: Work, now: datetime) -> None:
        """Put who would be created into the world, and enrol everybody."""
        organization_id, program_id = self.submission.organization_id, self.submission.program_id
        world = work.world
        for id_, name in self.strangers.items():
            world.holders[id_] = Holder(id_, organization_id, EntityType.PARTICIPANT, name, "ACTIVE", now, (program_id,))
            world.states[id_] = EntityState()
            world.external_ids[organization_id, name] = id_
        world.enrolled |= {(id_, program_id) for id_ in (self.participant_id, self.recipient_id) if id_ is not None}
        known = {id_ for id_ in (self.participant_id, self.recipient_id) if id_ is not None} - self.strangers.keys()
        for id_, programs in rows.programs_once_enrolled(work.conn, known, program_id).items():
            world.holders[id_] = replace(world.holders[id_], program_ids=programs)


def _found(conn: Connection, work: Work, outcome: Outcome, strangers: Mapping[UUID, str]) -> Simulation:
    event = outcome.event
    context = EvaluatedEvent(None, event.participant_id, event.program_id, outcome.processed_at)
    rules = work.rule_sets[event.program_id].rules
    evaluations = evaluation_rows(conn, event.organization_id, outcome.record.pack(), rules, context)
    for action in (action for row in evaluations for action in row["executed_actions"]):
        action |= {name: None for name in _STORED_IDS if name in action}
        action["target"] = _target(action["target"], strangers)
    return Simulation(
        outcome,
        evaluations,
        net(_balance_changes(work, event)),
        [_state_effect(change) for change in work.world.history if change.event.id == event.id],
        [change for change in work.world.standings.changes if change.cause.event_id == event.id],
        strangers,
    )


def _target(target: dict[str, Any], strangers: Mapping[UUID, str]) -> dict[str, Any]:
    names = {str(id_): name for id_, name in strangers.items()}
    name = names.get(str(target["id"]))
    return target if name is None else {**target, "id": None, "external_id": name}


def _balance_changes(work: Work, event: Event) -> list[BalanceChange]:
    assets = work.books.assets
    return [
        BalanceChange(
            entity_type=posting.entity_type.value,
            entity_id=posting.entity_id,
            asset_id=posting.asset_id,
            asset_symbol=assets[posting.asset_id].symbol,
            scale=assets[posting.asset_id].scale,
            bucket=posting.bucket.value,
            amount=posting.amount,
        )
        for entry in work.books.entries
        if entry.origin.event_id == event.id
        for posting in entry.postings
    ]


def _state_effect(change: RecordedChange) -> StateEffect:
    return StateEffect(
        id=None,
        entity_type=change.owner.value,
        entity_id=change.owner_id,
        state_type=change.change.state_type,
        key=change.change.key,
        operation=change.change.operation,
        old_value=change.change.old_value,
        new_value=change.change.new_value,
        changed_at=change.at,
        changed_by_api_key_id=None,
        event_id=None,
        rule_id=change.rule_id,
        program_id=change.event.program_id,
    )
