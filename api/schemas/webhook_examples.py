"""A message of each type, as it is posted; shown in the API description and held against the schemas by tests."""

from collections.abc import Mapping
from typing import Any

from domain.outbox import MessageType

_ORGANIZATION = "0198c19f-5d10-7c55-8f3e-6a0b1c2d3e4f"
_PROGRAM = "0198c1a0-7a5e-7b3c-9d52-4f1e6c0b8a11"
_ANN = "0198c1a4-2f6b-7e19-b0c7-8d4a5e6f7a01"
_FAMILY = "0198c1a5-4c8d-7a3f-9e21-0b1c2d3e4f55"
_EVENT = "5b3f9d2e-8c41-5f7a-b6d0-1e2f3a4b5c6d"
_RULE = "0198c1a2-6e7f-7d41-8a90-c3d4e5f60718"
_KEY = "0198c19f-9a2b-7f63-a1d4-5e6f7a8b9c0d"
_AT = "2026-01-15T10:30:00.000000Z"
_LOT = "0198c1b2-11aa-7c3d-9f58-2a3b4c5d6e7f"
_POINTS = {"asset_id": "0198c1a0-9c40-7f0e-8a16-2b7d5e9f4c22", "asset_symbol": "PTS"}
_MILES = {"asset_id": "0198c1a0-b1c2-7d3e-8f4a-5b6c7d8e9f33", "asset_symbol": "MILES"}
_ANNS = {"participant_id": _ANN, "external_id": "ann"}
_BY_RULE = {"event_id": _EVENT, "rule_id": _RULE, "created_by_api_key_id": None}
_BY_API = {"event_id": None, "rule_id": None, "created_by_api_key_id": _KEY}
_BY_TIME = {"event_id": None, "rule_id": None, "created_by_api_key_id": None}


def _balance(available: str, held: str = "0") -> dict[str, Any]:
    return {"balance": {"available": available, "held": held, "deferred": "0"}}


def _entry(action_type: str, number: int, description: str) -> dict[str, Any]:
    id_ = f"0198c1b0-0000-7000-8000-{number:012d}"
    return {"action_type": action_type, "journal_entry_id": id_, "description": description, "occurred_at": _AT}


_CREDITED = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_MILES,
    "amount": "750",
    **_balance("1250"),
    **_entry("CREDIT", 1, "Ten miles per unit spent"),
    **_BY_RULE,
    "lots": [{"id": _LOT, "amount": "750"}],
    "bucket": "AVAILABLE",
    "expires_at": "2027-01-15T10:30:00.000000Z",
    "matures_at": None,
}
_DEBITED = {
    "group_id": _FAMILY,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "50",
    **_balance("-20"),
    **_entry("DEBIT", 2, "Returned goods"),
    **_BY_API,
    "bucket": "AVAILABLE",
    "overdraft": "20",
}
_HELD = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "200",
    **_balance("550", "200"),
    **_entry("HOLD", 3, "Order 5512"),
    "reference_id": "order-5512",
    **_BY_API,
    "from_bucket": "AVAILABLE",
    "to_bucket": "HELD",
    "hold_expires_at": "2026-01-18T10:30:00.000000Z",
}
_RELEASED = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "200",
    **_balance("750"),
    **_entry("RELEASE", 4, "Hold expired"),
    "reference_id": "order-5512",
    **_BY_TIME,
    "from_bucket": "HELD",
    "to_bucket": "AVAILABLE",
    "released_by": "DEADLINE",
}
_EXPIRED = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_MILES,
    "amount": "500",
    **_balance("750"),
    **_entry("EXPIRY", 5, "Lots expired"),
    **_BY_TIME,
    "lots": [{"id": _LOT, "amount": "500", "bucket": "AVAILABLE", "expires_at": _AT}],
    "lot_count": 1,
}
_EXPIRING = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_MILES,
    "amount": "500",
    "expires_at": "2026-02-14T10:30:00.000000Z",
    "notice_days": 30,
    "lots": [{"id": _LOT, "amount": "500", "expires_at": "2026-02-14T10:30:00.000000Z"}],
    "lot_count": 1,
    **_balance("1250"),
    "occurred_at": "2026-01-15T00:00:00.041273Z",
}
_REWARD = {"reward_id": "0198c1a6-3d4e-7f5a-8b6c-7d8e9fa0b1c2", "reward_name": "Mug"}
_ORDER = {"quantity": 2, "unit_cost": "120"}
_REDEMPTION = {
    "id": "0198c1b4-5e6f-7a70-8b81-9c92ada3beb4",
    "participant_id": _ANN,
    "program_id": _PROGRAM,
    "asset_id": _POINTS["asset_id"],
    "amount": "240",
    "description": "Redeemed: Mug",
    "reward_id": _REWARD["reward_id"],
    **_ORDER,
    "status": "COMPLETED",
    "reversed_amount": "0",
    "reversed_quantity": 0,
    "redemption_target_type": "SYSTEM_REDEMPTION",
    "journal_entry_id": "0198c1b0-0000-7000-8000-000000000009",
    "fulfillment_status": "PENDING",
    "fulfillment_expires_at": "2026-01-22T10:30:00.000000Z",
    "fulfillment_note": None,
    "created_at": _AT,
    "updated_at": _AT,
}
_REDEEMED = {
    "redemption": _REDEMPTION,
    **_ANNS,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "240",
    **_REWARD,
    **_ORDER,
    **_balance("510"),
    "journal_entry_id": _REDEMPTION["journal_entry_id"],
    "created_by_api_key_id": _KEY,
    "occurred_at": _AT,
}
_GIVEN_BACK = {"status": "FULLY_REVERSED", "reversed_amount": "240", "reversed_quantity": 2, "fulfillment_status": "FAILED"}
_REVERSAL = {
    "id": "0198c1b5-6f70-7b81-8c92-ada3beb4cfc5",
    "redemption_id": _REDEMPTION["id"],
    "amount": "240",
    "quantity": 2,
    "reason": "fulfillment failed",
    "journal_entry_id": "0198c1b0-0000-7000-8000-000000000010",
    "created_at": _AT,
}
_REVERSED = {
    "reversal": _REVERSAL,
    "redemption": {**_REDEMPTION, **_GIVEN_BACK},
    **_ANNS,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "240",
    "quantity": 2,
    "reason": "fulfillment failed",
    "full": True,
    **_balance("750"),
    "journal_entry_id": _REVERSAL["journal_entry_id"],
    "created_by_api_key_id": None,
    "occurred_at": _AT,
}
_ENDED = {
    **_ANNS,
    "program_id": _PROGRAM,
    **_POINTS,
    "amount": "240",
    **_REWARD,
    **_ORDER,
    "note": None,
    "last_response_status": 200,
    "created_by_api_key_id": None,
    "occurred_at": _AT,
}
_FULFILLED = {
    "redemption": {**_REDEMPTION, "fulfillment_status": "FULFILLED"},
    **_ENDED,
    "by": "WEBHOOK",
    "attempt_count": 1,
}
_UNFULFILLED = {
    "redemption": {**_REDEMPTION, **_GIVEN_BACK},
    **_ENDED,
    "by": "WEBHOOK",
    "attempt_count": 8,
    "last_response_status": 500,
    "reversal_id": _REVERSAL["id"],
}
_TRANSFERRED = {
    "program_id": _PROGRAM,
    **_POINTS,
    "journal_entry_id": "0198c1b0-0000-7000-8000-000000000006",
    "created_by_api_key_id": _KEY,
    "source": _ANNS,
    "recipients": [{"group_id": _FAMILY, "amount": "100"}],
    "recipient_count": 1,
    "total_amount": "100",
    "description": "For the holidays",
    "occurred_at": _AT,
}
_PROCESSED = {
    "event_id": _EVENT,
    "program_id": _PROGRAM,
    **_ANNS,
    "recipient_id": None,
    "idempotency_key": "order-5512",
    "event_type": "EXTERNAL",
    "event_timestamp": _AT,
    "received_at": "2026-01-15T10:30:01.204113Z",
    "processed_at": "2026-01-15T10:30:01.231907Z",
    "automation_id": None,
    "caused_by_event_id": None,
    "rules_evaluated": 3,
    "rules_matched": 1,
    "matched_rule_ids": [_RULE],
}
_COMPLETED = {**_PROCESSED, "status": "COMPLETED", "journal_entry_ids": ["0198c1b0-0000-7000-8000-000000000001"]}
_FAILED = {
    **_PROCESSED,
    "status": "FAILED",
    "error_code": "insufficient_wallet",
    "error_message": "insufficient_wallet: action CREDIT failed: available 100, requested 750 MILES",
    "failed_rule_id": _RULE,
}
_CREATED = {
    **_ANNS,
    "status": "ACTIVE",
    "program_id": _PROGRAM,
    "source": "API",
    "event_id": None,
    "created_by_api_key_id": _KEY,
    "email": "ann@example.com",
    "phone": None,
    "first_name": "Ann",
    "last_name": None,
    "display_name": None,
    "tags": ["newsletter"],
    "attributes": {"language": "en"},
    "occurred_at": _AT,
}
_WALLET = {
    "program_id": _PROGRAM,
    "program_name": "Coffee Club",
    **_MILES,
    "created_by_api_key_id": _KEY,
    "occurred_at": _AT,
}
_FUNDED = {
    **_WALLET,
    "amount": "100000",
    "available": "142500",
    "description": "Program funded",
    "journal_entry_id": "0198c1b0-0000-7000-8000-000000000007",
}
_BURNED = {
    **_WALLET,
    "amount": "2500",
    "available": "140000",
    "description": "Program burned",
    "journal_entry_id": "0198c1b0-0000-7000-8000-000000000008",
}

_PROMOTED = {
    **_ANNS,
    "program_id": _PROGRAM,
    "tier_key": "club",
    "from_level": "bronze",
    "to_level": "silver",
    "from_rank": 1,
    "to_rank": 2,
    "change": "UPGRADED",
    "reason": "QUALIFICATION",
    "benefits": {"multiplier": 1.5},
    "expires_at": "2027-01-01T00:00:00.000000Z",
    "event_id": _EVENT,
    "rule_id": None,
    "changed_by_api_key_id": None,
    "occurred_at": _AT,
}

_DATA: Mapping[MessageType, Mapping[str, Any]] = {
    MessageType.BALANCE_CREDITED: _CREDITED,
    MessageType.BALANCE_DEBITED: _DEBITED,
    MessageType.BALANCE_HELD: _HELD,
    MessageType.BALANCE_RELEASED: _RELEASED,
    MessageType.BALANCE_EXPIRED: _EXPIRED,
    MessageType.REDEMPTION_COMPLETED: _REDEEMED,
    MessageType.REDEMPTION_REVERSED: _REVERSED,
    MessageType.TRANSFER_COMPLETED: _TRANSFERRED,
    MessageType.EVENT_COMPLETED: _COMPLETED,
    MessageType.EVENT_FAILED: _FAILED,
    MessageType.PARTICIPANT_CREATED: _CREATED,
    MessageType.TIER_CHANGED: _PROMOTED,
    MessageType.PROGRAM_FUNDED: _FUNDED,
    MessageType.PROGRAM_BURNED: _BURNED,
    MessageType.BALANCE_EXPIRING: _EXPIRING,
    MessageType.REDEMPTION_FULFILLED: _FULFILLED,
    MessageType.REDEMPTION_FULFILLMENT_FAILED: _UNFULFILLED,
}


def _posted(number: int, type_: MessageType) -> Mapping[str, Any]:
    return {
        "id": f"0198c1b3-0000-7000-8000-{number:012d}",
        "type": type_.value,
        "api_version": "2026-03-01",
        "created_at": "2026-01-15T10:30:01.232418Z",
        "organization_id": _ORGANIZATION,
        "data": _DATA[type_],
    }


EXAMPLES: Mapping[MessageType, Mapping[str, Any]] = {type_: _posted(number, type_) for number, type_ in enumerate(_DATA, start=1)}
