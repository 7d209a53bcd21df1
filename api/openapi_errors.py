"""Every error as the API description shows it: which operations have which code, and an example of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.errors import STATUS
from api.idempotency import FIELD
from domain.errors import DomainError

REQUEST_ID = "7d1c2b9e-0a53-4b7e-9d3e-2f6f0c1c8a55"
_ID = "01890000-0000-7000-8000-0000000000a1"
_OTHER_ID = "01890000-0000-7000-8000-0000000000e1"
_FAULT = {"field": "name", "reason": "required", "expected": "string", "received": None}

# what `details` of each code look like; those that have none aren't here
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "bad_request": {**_FAULT, "fields": [{**_FAULT, "message": "This field is required"}]},
    "invalid_scale": {"field": "amount", "asset_id": _ID, "scale": 2, "received": "10.005"},
    "self_transfer": {"recipient_index": 0, "source_id": _ID},
    "not_found": {"resource": "program", "id": _ID, "field": None},
    "method_not_allowed": {"allowed": ["GET", "POST"]},
    "payload_too_large": {"limit_bytes": 1 << 20},
    "unsupported_media_type": {"received": "text/plain"},
    "too_many_requests": {"retry_after": 1},
    "idempotency_conflict": {"idempotency_key": "order-1001", "program_id": _ID},
    "program_inactive": {"program_id": _ID, "status": "SUSPENDED"},
    "program_archived": {"program_id": _ID},
    "asset_archived": {"asset_id": _ID},
    "asset_not_linked": {"asset_id": _ID, "program_id": _OTHER_ID},
    "already_linked": {"asset_id": _ID, "program_id": _OTHER_ID},
    "symbol_conflict": {"symbol": "PTS"},
    "name_conflict": {"field": "name", "value": "Mug"},
    "external_id_conflict": {"external_id": "user-42"},
    "participant_inactive": {"participant_id": _ID, "status": "SUSPENDED"},
    "group_archived": {"group_id": _ID},
    "already_member": {"group_id": _ID, "participant_ids": [_OTHER_ID]},
    "last_admin": {"group_id": _ID, "participant_id": _OTHER_ID},
    "order_conflict": {"order": 100, "rule_id": _ID},
    "rule_archived": {"rule_id": _ID},
    "tier_archived": {"tier_key": "club"},
    "level_conflict": {"key": "gold", "rank": 2},
    "invalid_state": {"status": "COMPLETED"},
    "insufficient_balance": {"asset_id": _ID, "bucket": "AVAILABLE", "available": "5.00", "requested": "10.00"},
    "insufficient_wallet": {"asset_id": _ID, "program_id": _OTHER_ID, "available": "5.00", "requested": "10.00"},
    "max_transaction_amount_exceeded": {"asset_id": _ID, "max_transaction_amount": "500.00", "requested": "900.00"},
    "balance_out_of_range": {"asset_id": _ID, "entity_type": "PARTICIPANT", "entity_id": _OTHER_ID, "requested": "10.00"},
    "out_of_stock": {"reward_id": _ID, "available": 1, "requested": 2},
    "participant_limit_reached": {"reward_id": _ID, "limit": 2, "redeemed": 1, "requested": 2},
    "reward_unavailable": {"reward_id": _ID, "status": "INACTIVE"},
    "reversal_exceeds_remaining": {"redemption_id": _ID, "remaining": "5.00", "requested": "10.00"},
}

# codes that only operations with such a tag have; the others may come wherever their status does
_TAGS: Mapping[str, frozenset[str]] = {
    "self_transfer": frozenset({"Transfers"}),
    "symbol_conflict": frozenset({"Assets"}),
    "already_linked": frozenset({"Programs"}),
    "external_id_conflict": frozenset({"Participants"}),
    "name_conflict": frozenset({"Rewards", "Automations", "Tiers"}),
    "already_member": frozenset({"Groups"}),
    "last_admin": frozenset({"Groups"}),
    "order_conflict": frozenset({"Rules"}),
    "rule_archived": frozenset({"Rules"}),
    "tier_archived": frozenset({"Tiers", "Participant tiers", "Group tiers"}),
    "level_conflict": frozenset({"Tiers"}),
    "out_of_stock": frozenset({"Redemptions"}),
    "participant_limit_reached": frozenset({"Redemptions"}),
    "reward_unavailable": frozenset({"Redemptions"}),
    "reversal_exceeds_remaining": frozenset({"Redemptions"}),
}

HEADERS: Mapping[str, Mapping[str, Any]] = {
    "RequestId": {"description": "The client's `X-Request-Id`, or a fresh one", "schema": {"type": "string"}},
    "RetryAfter": {"description": "Seconds until it is worth trying again", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Challenge": {"description": "How to authenticate", "schema": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What decides on the codes of an operation."""

    tags: frozenset[str]
    takes_key: bool


def examples() -> dict[str, dict[str, Any]]:
    """One example per code, for the components of the description."""
    said = summaries()
    return {
        code: {
            "summary": said[code],
            "value": {
                "code": code,
                "message": said[code],
                "request_id": REQUEST_ID,
                "details": DETAILS.get(code, {}),
            },
        }
        for code in STATUS
    }


def summaries() -> dict[str, str]:
    """What each code means, by the refusal that brings its own words; others borrow a code for a case of theirs."""
    return {kind.code: kind.summary for kind in _kinds(DomainError) if "summary" in vars(kind)}


def _kinds(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for found in kind.__subclasses__():
        yield from _kinds(found)
    yield kind


def describe_errors(operation: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Fill in the errors of an operation: its codes, an example of each, and the headers that come with them."""
    facts = _Facts(frozenset(operation["tags"]), FIELD in body.get("properties", {}))
    for status, response in operation["responses"].items():
        if not status.startswith(("4", "5")) or response.get("content", {}).get("application/json") is None:
            continue
        codes = [code for code, value in STATUS.items() if str(value) == status and _has(code, facts)]
        response["description"] = " or ".join(f"`{code}`" for code in codes)
        response["content"]["application/json"] = {
            "schema": {"$ref": "#/components/schemas/ErrorBody"},
            "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
        }


def _has(code: str, facts: _Facts) -> bool:
    if code == "idempotency_conflict":
        return facts.takes_key and facts.tags.isdisjoint({"Events"})
    return code not in _TAGS or not facts.tags.isdisjoint(_TAGS[code])


def describe_headers(operation: dict[str, Any]) -> None:
    """Name the headers that answers carry."""
    for status, response in operation["responses"].items():
        names = {"X-Request-Id": "RequestId"}
        if status in ("429", "503"):
            names["Retry-After"] = "RetryAfter"
        if status == "401":
            names["WWW-Authenticate"] = "Challenge"
        response["headers"] = {name: {"$ref": f"#/components/headers/{header}"} for name, header in names.items()}
