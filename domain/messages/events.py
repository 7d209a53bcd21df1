"""`event.completed` and `event.failed`: what became of an event, as it is told (webhooks.md 5.9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.messages.parts import text_of
from domain.outbox import Message, MessageType
from domain.processing.process import Outcome
from domain.rules.rule import CompiledRule
from domain.timestamps import format_timestamp


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What was accepted with an event and doesn't matter to its processing."""

    external_id: str | None
    idempotency_key: str
    event_type: str
    automation_id: UUID | None
    caused_by_event_id: UUID | None


def type_of(outcome: Outcome) -> MessageType:
    """The type of the message about an outcome."""
    return MessageType.EVENT_COMPLETED if outcome.error_code is None else MessageType.EVENT_FAILED


def event_message(outcome: Outcome, facts: EventFacts, rules: Sequence[CompiledRule], entry_ids: Sequence[UUID]) -> Message:
    """The message about an outcome; `rules` are those it was evaluated with, `entry_ids` its entries in ledger order."""
    event = outcome.event
    data: dict[str, object] = {
        "event_id": str(event.id),
        "program_id": str(event.program_id),
        "participant_id": text_of(event.participant_id),
        "external_id": facts.external_id,
        "recipient_id": text_of(event.recipient_id),
        "idempotency_key": facts.idempotency_key,
        "event_type": facts.event_type,
        "event_timestamp": format_timestamp(event.timestamp),
        "received_at": format_timestamp(event.created_at),
        "processed_at": format_timestamp(outcome.processed_at),
        "status": outcome.status,
        "automation_id": text_of(facts.automation_id),
        "caused_by_event_id": text_of(facts.caused_by_event_id),
        "rules_evaluated": outcome.record.count_reached(rules),
        "rules_matched": len(outcome.matched_rule_ids),
        "matched_rule_ids": [str(id_) for id_ in outcome.matched_rule_ids],
    }
    if outcome.error_code is None:
        data["journal_entry_ids"] = [str(id_) for id_ in entry_ids]
    else:
        failed_at = outcome.record.failed_at
        data["error_code"] = outcome.error_code
        data["error_message"] = outcome.error_message
        data["failed_rule_id"] = text_of(next((rule.id for rule in rules if rule.order == failed_at), None))
    return Message(type_of(outcome), event.organization_id, event.participant_id or event.program_id, data)
