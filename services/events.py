"""Events after their acceptance: read with what their rules did, listed, retried (events-rules.md 2.3 - 2.8)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlmodel import Session

from db.repositories import events as rows
from db.repositories import journal, state
from db.repositories.events import STATUS_SQL, EventFilters, EventRow
from db.repositories.keyset import Keyset, Slice
from db.repositories.ledger import find_assets
from db.session import Connection, psycopg_of
from domain.errors import InvalidState, not_found
from domain.lanes import lane_of
from domain.processing.impact import BalanceChange, StateEffect, net
from domain.processing.record import HIDDEN_UNLESS_ASKED, EvaluatedEvent, evaluations
from domain.rules.rule import CompiledRule
from services.participants import get_participant
from services.programs import get_program
from services.rules import load_rule_sets_by_id

__all__ = [
    "STATUS_SQL",
    "EventFilters",
    "EventRow",
    "Impact",
    "evaluation_rows",
    "find_by_key",
    "get_event",
    "impact_of",
    "list_events",
    "list_participant_events",
    "retry",
    "retry_all",
    "rule_evaluations",
]


def get_event(session: Session, organization_id: UUID, event_id: UUID) -> EventRow:
    """An event. Raises NotFound."""
    found = rows.find_event(psycopg_of(session), organization_id, event_id)
    if found is None:
        raise not_found("event", event_id)
    return found


def find_by_key(session: Session, organization_id: UUID, program_id: UUID, key: str) -> EventRow:
    """An event by its identity. Raises NotFound."""
    found = rows.find_event(psycopg_of(session), organization_id, uuid5(program_id, key))
    if found is None:
        raise not_found("event", key)
    return found


def rule_evaluations(session: Session, event: EventRow, *, include_skipped: bool) -> list[dict[str, Any]]:
    """What became of each rule; empty while the event waits. Errors and timeouts of conditions only when asked for."""
    if event.evaluations is None or event.processed_at is None:
        return []
    rules: Sequence[CompiledRule] = ()
    if event.rule_set_id is not None:
        key = (event.program_id, event.rule_set_id)
        rules = load_rule_sets_by_id(psycopg_of(session), [key])[event.rule_set_id].rules
    context = EvaluatedEvent(event.id, event.participant_id, event.program_id, event.processed_at)
    found = evaluation_rows(psycopg_of(session), event.organization_id, event.evaluations, rules, context)
    return [row for row in found if include_skipped or row["status"] not in HIDDEN_UNLESS_ASKED]


def evaluation_rows(
    conn: Connection, organization_id: UUID, packed: Mapping[str, Any], rules: Sequence[CompiledRule], event: EvaluatedEvent
) -> list[dict[str, Any]]:
    """The rows of `rule_evaluations` of a stored event or a dry run, from its record; actions on money name their asset."""
    found = list(evaluations(packed, rules, event))
    moved = [action for row in found for action in row["executed_actions"] if "asset_id" in action]
    if moved:
        assets = find_assets(conn, organization_id, {action["asset_id"] for action in moved})
        for action in moved:
            action["asset_symbol"] = assets[action["asset_id"]].symbol
    return found


@dataclass(frozen=True, slots=True)
class Impact:
    """All that an event did; entries in ledger order, changes of state in the order they were made."""

    entries: Sequence[journal.EntryRow] = ()
    state_changes: Sequence[StateEffect] = ()
    balances: Sequence[BalanceChange] = ()


def impact_of(session: Session, event: EventRow) -> Impact:
    """What an event changed; nothing unless it is COMPLETED."""
    if event.status != "COMPLETED":
        return Impact()
    conn = psycopg_of(session)
    entries = journal.of_event(conn, event.organization_id, event.id)
    postings = (posting for entry in entries for posting in entry.postings)
    return Impact(entries, state.changes_of_event(conn, event.organization_id, event.id), net(map(_balance_change, postings)))


def _balance_change(posting: journal.PostingRow) -> BalanceChange:
    return BalanceChange(
        entity_type=posting.entity_type,
        entity_id=posting.entity_id,
        asset_id=posting.asset_id,
        asset_symbol=posting.asset_symbol,
        scale=posting.scale,
        bucket=posting.bucket,
        amount=posting.amount,
    )


def list_events(session: Session, organization_id: UUID, filters: EventFilters, keyset: Keyset, sort: str) -> Slice[EventRow]:
    """A page of the organization's events."""
    return rows.list_events(psycopg_of(session), organization_id, filters, keyset, sort)


def list_participant_events(session: Session, organization_id: UUID, filters: EventFilters, keyset: Keyset) -> Slice[EventRow]:
    """A page of the events that involve a participant, newest first. Raises NotFound."""
    assert filters.involves_id is not None
    get_participant(session, organization_id, filters.involves_id)
    return rows.list_events(psycopg_of(session), organization_id, filters, keyset, "created_at")


def retry(session: Session, organization_id: UUID, event_id: UUID, lanes: int) -> tuple[rows.FailedEvent, int]:
    """Queue a failed event again; gives the event as it failed, and its lane. Raises NotFound, InvalidState."""
    conn = psycopg_of(session)
    failed = rows.lock_failed(conn, organization_id, event_id)
    if failed is None:
        raise InvalidState(status=get_event(session, organization_id, event_id).status)
    return failed, _requeue(conn, [failed], lanes).pop()


def retry_all(
    session: Session,
    organization_id: UUID,
    program_id: UUID,
    lanes: int,
    *,
    error_code: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> tuple[int, set[int]]:
    """Queue all failed events of a program that meet the filters; gives their number and lanes. Raises NotFound."""
    get_program(session, organization_id, program_id, field="program_id")
    conn = psycopg_of(session)
    failed = rows.lock_all_failed(
        conn, organization_id, program_id, error_code=error_code, created_from=created_from, created_to=created_to
    )
    return len(failed), _requeue(conn, failed, lanes)


def _requeue(conn: Connection, failed: Collection[rows.FailedEvent], lanes: int) -> set[int]:
    if not failed:
        return set()
    chosen = [lane_of(event.order_key, lanes) for event in failed]
    rows.requeue(conn, list(failed), chosen)
    return set(chosen)
