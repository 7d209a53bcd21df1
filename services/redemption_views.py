"""Redemptions and reversals as they are read and answered (redemptions-rewards.md 2.1, 3.1, 4)."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import redemptions as repository
from db.repositories.redemptions import RedemptionFilter, RedemptionRow, ReversalRow
from db.session import psycopg_of
from domain.errors import not_found
from domain.money import format_amount
from domain.timestamps import format_timestamp
from services import participants, programs
from services.activity import find_asset
from services.paging import Keyset, Slice

__all__ = ["RedemptionFilter", "RedemptionRow", "ReversalRow"]


class RedemptionStatus(StrEnum):
    COMPLETED = "COMPLETED"
    PARTIALLY_REVERSED = "PARTIALLY_REVERSED"
    FULLY_REVERSED = "FULLY_REVERSED"


class FulfillmentStatus(StrEnum):
    PENDING = "PENDING"
    FULFILLED = "FULFILLED"
    FAILED = "FAILED"


def get_redemption(session: Session, organization_id: UUID, redemption_id: UUID) -> RedemptionRow:
    """One redemption; NotFound."""
    found = repository.find(psycopg_of(session), organization_id, redemption_id)
    if found is None:
        raise not_found("redemption", redemption_id)
    return found


def list_redemptions(
    session: Session, organization_id: UUID, participant_id: UUID, wanted: RedemptionFilter, keyset: Keyset
) -> Slice[RedemptionRow]:
    """One page of a participant's redemptions; NotFound for an unknown participant, program or asset."""
    participants.require_participant(session, organization_id, participant_id)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    if wanted.asset_id is not None:
        find_asset(psycopg_of(session), organization_id, wanted.asset_id)
    return repository.page(psycopg_of(session), organization_id, participant_id, wanted, keyset)


def list_reversals(session: Session, organization_id: UUID, redemption_id: UUID, keyset: Keyset) -> Slice[ReversalRow]:
    """One page of a redemption's reversals; NotFound."""
    get_redemption(session, organization_id, redemption_id)
    return repository.reversals(psycopg_of(session), redemption_id, keyset)


def redemption_body(row: RedemptionRow) -> dict[str, Any]:
    """A redemption as it is answered: plain texts and whole numbers, as idempotency keys and flows keep them."""
    return {
        "id": str(row.id),
        "participant_id": str(row.participant_id),
        "program_id": str(row.program_id),
        "asset_id": str(row.asset_id),
        "amount": format_amount(row.amount, row.scale),
        "description": row.description,
        "reward_id": _text(row.reward_id),
        "quantity": row.quantity,
        "unit_cost": None if row.unit_cost is None else format_amount(row.unit_cost, row.scale),
        "status": row.status,
        "reversed_amount": format_amount(row.reversed_amount, row.scale),
        "reversed_quantity": row.reversed_quantity,
        "redemption_target_type": row.redemption_target_type,
        **_entity(row),
        "journal_entry_id": str(row.entry_id),
        "fulfillment_status": row.fulfillment_status,
        "fulfillment_expires_at": _moment(row.fulfillment_expires_at),
        "fulfillment_note": row.fulfillment_note,
        "created_at": format_timestamp(row.created_at),
        "updated_at": format_timestamp(row.updated_at),
    }


def reversal_body(row: ReversalRow) -> dict[str, Any]:
    """A reversal as it is answered, plain as above."""
    return {
        "id": str(row.id),
        "redemption_id": str(row.redemption_id),
        "amount": format_amount(row.amount, row.scale),
        "quantity": row.quantity,
        "reason": row.reason,
        "journal_entry_id": str(row.entry_id),
        "created_at": format_timestamp(row.created_at),
    }


def _entity(row: RedemptionRow) -> dict[str, str]:
    """The target's id is there only when it is a ledger entity."""
    entity_id = row.redemption_target_entity_id
    return {} if entity_id is None else {"redemption_target_entity_id": str(entity_id)}


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _moment(value: datetime | None) -> str | None:
    return None if value is None else format_timestamp(value)
