"""Short words for the reports, and the history that their acceptance examples are told of."""

import time
from datetime import datetime, timedelta
from typing import Any

from domain.timestamps import format_timestamp
from tests.support.till import Till

PTS = {"inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 0}
LONG_AGO, MUCH_LATER = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


class Auditor(Till):
    """Program P with PTS; ann is its participant, bob another one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ann, self.bob = self.participant, self.new_participant()
        body = {"program_id": self.program, "name": "Points", "symbol": "PTS", **PTS}
        self.assets["PTS"] = self.api.post("/v1/assets", body, 201)["id"]

    def of(self, who: str) -> "Auditor":
        """The same, acting on another participant."""
        self.participant = who
        return self

    def report(self, name: str, status: int = 200, **query: Any) -> Any:
        sent = {key.rstrip("_"): value for key, value in query.items()}
        return self.api.get(f"/v1/reports/{name}", status, **sent)

    def row(self, name: str, **query: Any) -> dict[str, Any]:
        """The only row of a report."""
        [row] = self.report(name, **query)["data"]
        return dict(row)

    def now(self) -> str:
        """The time of the participant's latest entry."""
        return str(self.entries()[-1]["created_at"])

    def after(self, moment: str, microseconds: int = 1) -> str:
        return format_timestamp(datetime.fromisoformat(moment) + timedelta(microseconds=microseconds))

    def play(self) -> dict[str, Any]:
        """History H. ann has 390, bob 120; returns the redemption, its request, and when the three credits were there."""
        self.of(self.ann).credit("PTS", "500")
        self.of(self.bob).credit("PTS", "150")
        self.credit("PTS", "50", expires_at="2s")
        credited = self.now()
        time.sleep(2.1)
        assert self.balance("PTS") == "150/0/0"
        self.of(self.ann)
        request = self.body("120", "PTS", idempotency_key="h-redeem")
        redemption = self.api.post(self.path(), request, 201)
        self.reverse(redemption, "20")
        self.of(self.bob).act("forfeit", "PTS", bucket="AVAILABLE", amount="30")
        self.of(self.ann).debit("PTS", "10")
        return {"redemption": redemption, "request": request, "credited": credited}
