"""Small valid actions, assets and rules for the tests of rules."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.ledger.accounts import AssetTerms
from domain.rules.rule import Rule, RuleStatus

PTS = UUID("00000000-0000-7000-8000-000000000001")
CASH = UUID("00000000-0000-7000-8000-000000000002")
MILES = UUID("00000000-0000-7000-8000-000000000003")
PROGRAM = UUID("00000000-0000-7000-8000-0000000000aa")
ASSETS = {
    PTS: AssetTerms(PTS, "PTS", scale=0, is_lot=False, is_prefunded=False),
    CASH: AssetTerms(CASH, "CASH", scale=2, is_lot=False, is_prefunded=False),
    MILES: AssetTerms(MILES, "MILES", scale=2, is_lot=True, is_prefunded=False),
}
MOMENT = datetime(2026, 3, 5, 12, tzinfo=UTC)


def credit(**fields: Any) -> dict[str, Any]:
    """A CREDIT of 10 PTS, changed by `fields`."""
    return {"type": "CREDIT", "asset_id": str(PTS), "amount": "10", **fields}


def miles(**fields: Any) -> dict[str, Any]:
    """A CREDIT of 10 MILES, changed by `fields`."""
    return credit(asset_id=str(MILES), **fields)


def rule(**fields: Any) -> Rule:
    """An active rule of one credit, changed by `fields`."""
    defaults: dict[str, Any] = {
        "id": UUID(int=1),
        "program_id": PROGRAM,
        "name": "Points",
        "description": None,
        "condition": 'event.type == "purchase"',
        "actions": (credit(),),
        "order": 10,
        "stop_after_match": False,
        "active_from": None,
        "active_to": None,
        "status": RuleStatus.ACTIVE,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
    return Rule(**{**defaults, **fields})
