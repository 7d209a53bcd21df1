"""Automations: what makes SYSTEM events without an API call (automations.md 1, 2.1; events-rules.md 3.7)."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from domain.timestamps import format_timestamp

MAX_CHAIN_DEPTH = 10
CANCELLED = "cancelled"


class ExecutionStatus(StrEnum):
    """Where a fan-out stands."""

    IDLE = "idle"
    PENDING = "pending"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"


def rule_automation_id(event_id: UUID, rule_id: UUID, action_index: int) -> UUID:
    """The automation that an action of a rule makes in an event: always the same one, so that it can't be made twice."""
    return uuid5(event_id, f"{rule_id}:{action_index}")


def rule_automation_name(event_id: UUID, rule_id: UUID, action_index: int) -> str:
    """Its name, unique by construction (events-rules.md 6.14)."""
    return f"rule:{rule_id}:{event_id}:{action_index}"


def event_key(automation_id: UUID, occurrence: datetime, participant_id: UUID | None) -> str:
    """The idempotency key of a SYSTEM event: one occurrence makes at most one event for each participant."""
    return f"sys:{automation_id}:{format_timestamp(occurrence)}:{participant_id or 'program'}"
