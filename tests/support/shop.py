"""Short words for redeeming what a program's catalog has, over HTTP."""

from typing import Any

import httpx

from tests.support.till import Till

MUG = {"name": "MUG", "redemption_type": "UNIT_BASED", "unit_cost": "12.50", "status": "ACTIVE"}
DONATION = {"name": "DONATION", "redemption_type": "AMOUNT_BASED", "unit_cost": "5.00", "status": "ACTIVE"}
CODE = {"name": "CODE", "redemption_type": "UNIT_BASED", "unit_cost": "10.00", "status": "ACTIVE", "max_total": 5}


class Shop(Till):
    """A program with rewards that cost USD; ann is its participant."""

    def reward(self, body: dict[str, Any], expected: int = 201, /, **fields: Any) -> Any:
        """Add a reward to the catalog."""
        sent = body | {"asset_id": self.asset("USD")} | fields
        return self.api.post(f"/v1/programs/{self.program}/rewards", sent, expected)

    def mug(self, **fields: Any) -> str:
        return str(self.reward(MUG, **{"max_total": 3, "max_per_participant": 2, **fields})["id"])

    def code(self, timeout: str | None = None, **fields: Any) -> str:
        """A reward that is handed over by hand, in time if there is one."""
        setting = {"type": "manual"} | ({} if timeout is None else {"timeout": timeout})
        return str(self.reward(CODE, **{"fulfillment": setting, **fields})["id"])

    def hooked(self, url: str, timeout: str | None = None, **fields: Any) -> tuple[str, str]:
        """A reward that a webhook hands over, and the secret that signs for it."""
        setting = {"type": "webhook", "url": url} | ({} if timeout is None else {"timeout": timeout})
        made = self.reward(CODE, **{"fulfillment": setting, **fields})
        return str(made["id"]), str(made["fulfillment"]["secret"])

    def reversals(self, redemption: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/v1/redemptions/{redemption['id']}/reversals")["data"]
        return found

    def seen(self, reward_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/programs/{self.program}/rewards/{reward_id}")
        return found

    def stock(self, reward_id: str) -> tuple[int, str]:
        """What was redeemed, and the status."""
        found = self.seen(reward_id)
        return found["redeemed_count"], found["status"]

    def change(self, reward_id: str, **fields: Any) -> Any:
        return self.api.patch(f"/v1/programs/{self.program}/rewards/{reward_id}", fields)

    def rich(self, amount: str = "100.00") -> str:
        """Another participant with USD."""
        other = self.new_participant()
        body = {"program_id": self.program, "asset_id": self.asset("USD"), "type": "CREDIT", "amount": amount}
        self.api.post(f"/v1/participants/{other}/balances/adjust", {**body, "description": "gift"}, 200)
        return other

    def request(self, reward_id: str, quantity: int | None = None, who: str | None = None, **fields: Any) -> tuple[str, Any]:
        """Path and body of a redemption; ann's unless said otherwise."""
        body = {"program_id": self.program, "reward_id": reward_id, **fields}
        body |= {} if quantity is None else {"quantity": quantity}
        return f"/v1/participants/{who or self.participant}/redemptions/items", body

    def take(self, reward_id: str, quantity: int | None = None, status: int = 201, who: str | None = None, **fields: Any) -> Any:
        return self.api.post(*self.request(reward_id, quantity, who, **fields), status)

    def try_to_take(self, reward_id: str, quantity: int | None = None, who: str | None = None, **fields: Any) -> httpx.Response:
        path, body = self.request(reward_id, quantity, who, **fields)
        return self.api.http.post(path, json=body)

    def send_back(self, redemption: dict[str, Any], quantity: int | None = None, status: int = 201, **fields: Any) -> Any:
        fields = fields if quantity is None else {"quantity": quantity, **fields}
        return self.reverse(redemption, None, status, **fields)

    def hand_over(self, redemption: dict[str, Any], expected: int = 200, /, **body: Any) -> Any:
        """Report the outcome of a fulfilment."""
        return self.api.post(f"/v1/redemptions/{redemption['id']}/fulfillment", body, expected)
