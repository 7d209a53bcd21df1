"""Telling the subscribers what became of events (events-rules.md 3.8)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from db.repositories import events as rows
from db.session import Connection
from domain.event_messages import event_message, type_of
from domain.ledger.entries import Entry
from domain.outbox import Audience
from domain.processing.process import Outcome
from domain.rules.ruleset import RuleSet
from services import outbox


def record_outcomes(
    conn: Connection,
    audience: Audience,
    outcomes: Sequence[Outcome],
    rule_sets: Mapping[UUID, RuleSet],
    entries: Sequence[Entry],
) -> None:
    """Record a message for each outcome that somebody wants to hear of, in their order.

    `rule_sets` by program are those the events were evaluated with, none where they weren't; `entries` what they wrote.
    """
    told = [outcome for outcome in outcomes if audience.endpoints(outcome.event.organization_id, type_of(outcome))]
    if not told:
        return
    facts = rows.load_facts(conn, [(outcome.event.id, outcome.event.created_at) for outcome in told])
    entry_ids = _entry_ids(entries)
    messages = []
    for outcome in told:
        event = outcome.event
        rules = rule_sets[event.program_id].rules if event.program_id in rule_sets else ()
        messages.append(event_message(outcome, facts[event.id], rules, entry_ids.get(event.id, ())))
    outbox.record(conn, audience, messages)


def _entry_ids(entries: Sequence[Entry]) -> dict[UUID, list[UUID]]:
    """The entries of each event in ledger order."""
    found: dict[UUID, list[UUID]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.created_at, entry.id)):
        if entry.origin.event_id is not None:
            found.setdefault(entry.origin.event_id, []).append(entry.id)
    return found
