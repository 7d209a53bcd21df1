"""Bodies and answers of an event's impact and of its dry run (events-rules.md 2.6, 2.9)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import ResponseModel
from api.schemas.events import EventBody, EventRead, EventStatus, RuleEvaluation
from api.schemas.journal_entries import JournalEntryRead, entry_body
from api.schemas.state import StateOperation, StateType
from domain.ledger.accounts import Bucket, EntityType
from domain.money import format_amount
from domain.processing.impact import BalanceChange, StateEffect
from domain.tiers.changes import Change, LevelChange, Reason
from services.event_simulation import Simulation
from services.events import Impact

EXTERNAL_ID = "Only of a participant that the dry run made up, whose id is null"


class EventSimulate(EventBody):
    """An event to be tried out; the body of a real one can be sent as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "program_id": "01890000-0000-7000-8000-0000000000a1",
                "external_id": "customer-42",
                "event_data": {"type": "purchase", "amount": 75.00},
            }
        }
    )


class BalanceImpact(ResponseModel):
    """The sum of an event's postings on one bucket of one entity."""

    entity_type: EntityType
    entity_id: Annotated[UUID | None, Field(description="null for SYSTEM accounts")]
    external_id: Annotated[str, Field(default="", description=EXTERNAL_ID)]
    asset_id: UUID
    asset_symbol: str
    bucket: Bucket
    amount: Annotated[str, Field(examples=["-10.00"], description="Signed")]


class OwnedStateChange(ResponseModel):
    """A row of the state history, with whose state it is; without id and event in a dry run."""

    id: UUID | None
    entity_type: EntityType
    entity_id: UUID | None
    external_id: Annotated[str, Field(default="", description=EXTERNAL_ID)]
    state_type: StateType
    key: str
    operation: StateOperation
    old_value: str | None
    new_value: str | None
    changed_at: datetime
    changed_by_api_key_id: UUID | None
    event_id: UUID | None
    rule_id: UUID | None
    program_id: UUID | None


class OwnedTierChange(ResponseModel):
    """A row of the tier history, with whose level it is; without id and event, as nothing is stored."""

    id: UUID | None
    entity_type: EntityType
    entity_id: UUID | None
    external_id: Annotated[str, Field(default="", description=EXTERNAL_ID)]
    program_id: UUID
    tier_key: str
    from_level: str | None
    to_level: str | None
    from_rank: int
    to_rank: int
    change: Change
    reason: Reason
    expires_at: datetime | None
    event_id: UUID | None
    rule_id: UUID | None
    changed_by_api_key_id: UUID | None
    changed_at: datetime


class EventImpact(EventRead):
    """An event with everything that it changed; the arrays are empty unless it is COMPLETED."""

    journal_entries: Annotated[list[JournalEntryRead], Field(description="In ledger order")]
    state_changes: list[OwnedStateChange]
    balance_impact: Annotated[list[BalanceImpact], Field(description="By entity, symbol and bucket; zeros are left out")]


class EventSimulation(ResponseModel):
    """What the event would become and change, had it been sent; ids that only a stored event has are null."""

    status: Annotated[EventStatus, Field(description="COMPLETED or FAILED")]
    error_code: str | None
    error_message: str | None
    participant_id: Annotated[UUID | None, Field(description="null for a participant that would be created")]
    recipient_id: UUID | None
    event_timestamp: Annotated[str, Field(description="The one used as `now`")]
    rule_evaluations: list[RuleEvaluation]
    balance_impact: list[BalanceImpact]
    state_changes: list[OwnedStateChange]
    tier_changes: list[OwnedTierChange]


NOBODY: Mapping[UUID, str] = {}


def impact_body(impact: Impact) -> dict[str, Any]:
    """The arrays of an event's impact."""
    return {
        "journal_entries": [entry_body(entry) for entry in impact.entries],
        "state_changes": _state_changes(impact.state_changes, NOBODY),
        "balance_impact": _balance_impact(impact.balances, NOBODY),
    }


def simulation_body(simulation: Simulation) -> dict[str, Any]:
    """The answer of a dry run."""
    outcome, strangers = simulation.outcome, simulation.strangers
    event = outcome.event
    return {
        "status": outcome.status,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "participant_id": None if event.participant_id in strangers else event.participant_id,
        "recipient_id": None if event.recipient_id in strangers else event.recipient_id,
        "event_timestamp": event.timestamp,
        "rule_evaluations": simulation.rule_evaluations,
        "balance_impact": _balance_impact(simulation.balances, strangers),
        "state_changes": _state_changes(simulation.state_changes, strangers),
        "tier_changes": [_tier_change(change, strangers) for change in simulation.level_changes],
    }


def _entity(kind: str, id_: UUID | None, strangers: Mapping[UUID, str]) -> dict[str, Any]:
    if id_ is not None and id_ in strangers:
        return {"entity_type": kind, "entity_id": None, "external_id": strangers[id_]}
    return {"entity_type": kind, "entity_id": id_}


def _balance_impact(changes: Sequence[BalanceChange], strangers: Mapping[UUID, str]) -> list[dict[str, Any]]:
    return [
        {
            **_entity(change.entity_type, change.entity_id, strangers),
            "asset_id": change.asset_id,
            "asset_symbol": change.asset_symbol,
            "bucket": change.bucket,
            "amount": format_amount(change.amount, change.scale),
        }
        for change in changes
    ]


def _tier_change(change: LevelChange, strangers: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "id": None,
        **_entity(change.holder.kind.value, change.holder.id, strangers),
        "program_id": change.tier.program_id,
        "tier_key": change.tier.key,
        "from_level": change.from_level,
        "to_level": change.to_level,
        "from_rank": change.from_rank,
        "to_rank": change.to_rank,
        "change": change.change,
        "reason": change.cause.reason,
        "expires_at": change.expires_at,
        "event_id": None,
        "rule_id": change.cause.rule_id,
        "changed_by_api_key_id": None,
        "changed_at": change.cause.at,
    }


def _state_changes(changes: Sequence[StateEffect], strangers: Mapping[UUID, str]) -> list[dict[str, Any]]:
    return [
        {
            "id": change.id,
            **_entity(change.entity_type, change.entity_id, strangers),
            "state_type": change.state_type,
            "key": change.key,
            "operation": change.operation,
            "old_value": change.old_value,
            "new_value": change.new_value,
            "changed_at": change.changed_at,
            "changed_by_api_key_id": change.changed_by_api_key_id,
            "event_id": change.event_id,
            "rule_id": change.rule_id,
            "program_id": change.program_id,
        }
        for change in changes
    ]
