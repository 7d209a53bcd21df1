"""Short words for redemptions and reversals over HTTP."""

from typing import Any

import httpx

from db.session import Database
from tests.api.routes.money import Money, lot_shape
from tests.support.books import assert_books


class Till(Money):
    """A program with assets and a participant who redeems."""

    def path(self) -> str:
        return f"/v1/participants/{self.participant}/redemptions"

    def body(self, amount: object, symbol: str = "USD", **fields: Any) -> dict[str, Any]:
        body = {"program_id": self.program, "asset_id": self.asset(symbol), "amount": amount, "description": "Till", **fields}
        return {name: value for name, value in body.items() if value is not None}

    def redeem(self, amount: object, symbol: str = "USD", status: int = 201, **fields: Any) -> Any:
        return self.api.post(self.path(), self.body(amount, symbol, **fields), status)

    def sent(self, amount: object, symbol: str = "USD", **fields: Any) -> httpx.Response:
        return self.api.http.post(self.path(), json=self.body(amount, symbol, **fields))

    def reverse(self, redemption: dict[str, Any], amount: str | None = None, status: int = 201, **fields: Any) -> Any:
        body = {"reason": "returned", "amount": amount, **fields}
        return self.api.post(f"/v1/redemptions/{redemption['id']}/reverse", body, status)

    def found(self, redemption: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/redemptions/{redemption['id']}")
        return found

    def available(self, symbol: str = "USD") -> str:
        return self.balance(symbol).partition("/")[0]

    def remainders(self, symbol: str = "MILES") -> list[str]:
        return [lot["remaining"] for lot in self.lots(symbol)]

    def shapes(self, symbol: str = "MILES") -> list[tuple[str, str, str]]:
        return [lot_shape(lot) for lot in self.lots(symbol)]

    def aim(self, kind: str, entity_id: str | None = None) -> None:
        """Set the program's redemption target."""
        body = {"redemption_target_type": kind} | ({} if entity_id is None else {"redemption_target_entity_id": entity_id})
        self.api.patch(f"/v1/programs/{self.program}", body)

    def actions(self) -> list[str]:
        return [entry["action_type"] for entry in self.entries()]

    def require_sound(self, database: Database) -> None:
        assert_books(database, self.api.organization_id)
