"""Telling the subscribers what became of events, after what they changed (events-rules.md 3.8, webhooks.md 5.15)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from db.repositories import events as rows
from db.session import Connection
from domain.ledger.books import Books
from domain.ledger.entries import Entry
from domain.messages.events import EventFacts, event_message, type_of
from domain.messages.tiers import tier_message
from domain.outbox import Audience, Message, MessageType
from domain.processing.process import Outcome
from domain.rules.ruleset import RuleSet
from domain.tiers.changes import LevelChange
from services import outbox
from services.event_traces import NO_TRACES, EventTraces
from services.messages.ledger import entry_messages

RuleSets = Mapping[UUID, RuleSet]


def record_batch(
    conn: Connection,
    audience: Audience,
    outcomes: Sequence[Outcome],
    ends: Sequence[int],
    rule_sets: RuleSets,
    books: Books,
    level_changes: Sequence[LevelChange],
    traces: EventTraces = NO_TRACES,
) -> None:
    """Record, event by event in their order, what each changed and then what became of it, as far as somebody wants it.

    `ends` has, for each outcome, how many entries the books had after it; `rule_sets` by program are those the events were
    evaluated with. The number of statements doesn't depend on that of the events.
    """
    if not audience:
        return
    changes = entry_messages(conn, audience, books)
    levels = _of_levels(audience, level_changes)
    facts = _facts(conn, audience, outcomes)
    messages: list[Message] = []
    spans: list[str | None] = []
    begin = 0
    for outcome, end in zip(outcomes, ends, strict=True):
        written = books.entries[begin:end]
        messages += [message for entry in written for message in changes.get(entry.id, ())]
        messages += levels.get(outcome.event.id, ())
        messages += _of_event(audience, outcome, facts, rule_sets, written)
        spans += [traces.of(outcome.event.id)] * (len(messages) - len(spans))
        begin = end
    outbox.record(conn, audience, messages, spans)


def _of_levels(audience: Audience, changes: Sequence[LevelChange]) -> Mapping[UUID, Sequence[Message]]:
    """The messages about changes of level that somebody wants, by event."""
    found: dict[UUID, list[Message]] = defaultdict(list)
    for change in changes:
        event_id = change.cause.event_id
        if event_id is not None and audience.endpoints(change.holder.organization_id, MessageType.TIER_CHANGED):
            found[event_id].append(tier_message(change))
    return found


def record_failure(conn: Connection, audience: Audience, outcome: Outcome) -> None:
    """Record what became of an event that was never evaluated to its end, if somebody wants to hear of it."""
    outbox.record(conn, audience, list(_of_event(audience, outcome, _facts(conn, audience, [outcome]), {}, ())))


def _facts(conn: Connection, audience: Audience, outcomes: Sequence[Outcome]) -> dict[UUID, EventFacts]:
    told = [outcome.event for outcome in outcomes if _is_told(audience, outcome)]
    return rows.load_facts(conn, [(event.id, event.created_at) for event in told]) if told else {}


def _is_told(audience: Audience, outcome: Outcome) -> bool:
    return bool(audience.endpoints(outcome.event.organization_id, type_of(outcome)))


def _of_event(
    audience: Audience, outcome: Outcome, facts: Mapping[UUID, EventFacts], rule_sets: RuleSets, written: Sequence[Entry]
) -> Sequence[Message]:
    if not _is_told(audience, outcome):
        return ()
    event = outcome.event
    rules = rule_sets[event.program_id].rules if event.program_id in rule_sets else ()
    own = sorted((entry.created_at, entry.id) for entry in written if entry.origin.event_id == event.id)
    return (event_message(outcome, facts[event.id], rules, [id_ for _, id_ in own]),)
