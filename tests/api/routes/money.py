"""A program with assets and a participant, and short words for what tests do to balances over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.support.client import Tenant

ASSETS = {
    "USD": {"inventory_mode": "SIMPLE", "issuance_policy": "UNLIMITED", "scale": 2},
    "MILES": {"inventory_mode": "LOT", "issuance_policy": "UNLIMITED", "scale": 0},
    "PROMO": {"inventory_mode": "LOT", "issuance_policy": "PREFUNDED", "scale": 2},
    "CASH": {"inventory_mode": "SIMPLE", "issuance_policy": "PREFUNDED", "scale": 2},
}


def unsealed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without its seal, which comes when it comes."""
    return entry | dict.fromkeys(("sequence_number", "previous_hash", "entry_hash"))


@dataclass
class Money:
    api: Tenant
    program: str = ""
    participant: str = ""
    assets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.program = self.program or self.api.post("/v1/programs", {"name": "Shop"}, 201)["id"]
        self.participant = self.new_participant()

    @property
    def me(self) -> str:
        """The holder's path."""
        return f"/v1/participants/{self.participant}"

    def new_participant(self) -> str:
        return self.api.post("/v1/participants", {"external_id": f"u-{uuid4()}"}, 201)["id"]

    def asset(self, symbol: str) -> str:
        if symbol not in self.assets:
            body = {"program_id": self.program, "name": symbol, "symbol": symbol, **ASSETS[symbol]}
            self.assets[symbol] = self.api.post("/v1/assets", body, 201)["id"]
        return self.assets[symbol]

    def act(self, operation: str, symbol: str, status: int = 200, *, headers: dict[str, str] | None = None, **body: Any) -> Any:
        """One of the five operations on the holder's balance of an asset."""
        body = {"program_id": self.program, "asset_id": self.asset(symbol), "description": "test", **body}
        return self.api.post(f"{self.me}/balances/{operation}", body, status, headers=headers or {})

    def credit(self, symbol: str, amount: str, status: int = 200, **body: Any) -> Any:
        return self.act("adjust", symbol, status, type="CREDIT", amount=amount, **body)

    def debit(self, symbol: str, amount: str, status: int = 200, **body: Any) -> Any:
        return self.act("adjust", symbol, status, type="DEBIT", amount=amount, **body)

    def hold(self, symbol: str, amount: str | None = None, status: int = 200, **body: Any) -> Any:
        return self.act("hold", symbol, status, **({} if amount is None else {"amount": amount}), **body)

    def release(self, symbol: str, amount: str | None = None, status: int = 200, **body: Any) -> Any:
        return self.act("release", symbol, status, **({} if amount is None else {"amount": amount}), **body)

    def wallet(self, operation: str, symbol: str, amount: str, status: int = 200, **body: Any) -> Any:
        path = f"/v1/programs/{self.program}/assets/{self.asset(symbol)}/{operation}"
        return self.api.post(path, {"amount": amount, **body}, status)

    def balance(self, symbol: str) -> str:
        """available/held/deferred, as the specification writes it."""
        [row] = self.api.get(f"{self.me}/balances", asset_id=self.asset(symbol))["data"]
        return f"{row['available']}/{row['held']}/{row['deferred']}"

    def in_wallet(self, symbol: str) -> str:
        [row] = self.api.get(f"/v1/programs/{self.program}/balance", asset_id=self.asset(symbol))["data"]
        return row["available"]

    def lots(self, symbol: str, **query: Any) -> list[Any]:
        return self.api.call("GET", f"{self.me}/balances/lots", 200, params={"asset_id": self.asset(symbol), **query})["data"]

    def everything(self) -> list[Any]:
        """All that the API shows of the holder's money, the program's wallets, and the journal."""
        of_holder = (self.me, f"{self.me}/balances", f"{self.me}/activity/history", f"{self.me}/activity/state-history")
        paths = (*of_holder, f"/v1/programs/{self.program}/balance")
        with_lots = [symbol for symbol in self.assets if ASSETS[symbol]["inventory_mode"] == "LOT"]
        journal = [unsealed(entry) for entry in self.api.get("/v1/journal-entries")["data"]]
        return [journal, *(self.api.get(path) for path in paths), *(self.lots(symbol) for symbol in with_lots)]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is done inside changes nothing."""
        before = self.everything()
        yield
        assert self.everything() == before

    def entries(self, **query: Any) -> list[Any]:
        """The participant's journal entries, oldest first."""
        return self.api.get("/v1/journal-entries", participant_id=self.participant, **query)["data"][::-1]

    def postings(self, entry_id: str) -> list[tuple[str, str, str]]:
        """Entity type (of the participant: bucket), amount of each posting of an entry."""
        entry = self.api.get(f"/v1/journal-entries/{entry_id}")
        return [(posting["entity_type"], posting["bucket"], posting["amount"]) for posting in entry["postings"]]


@dataclass
class Team(Money):
    """The same for a group, of which the participant is the one member."""

    group: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        body = {"name": "Team", "members": [{"participant_id": self.participant, "role": "ADMIN"}]}
        self.group = self.api.post("/v1/groups", body, 201)["id"]

    @property
    def me(self) -> str:
        return f"/v1/groups/{self.group}"

    def balance(self, symbol: str) -> str:
        rows = self.api.get(f"{self.me}/balances", program_id=self.program)["data"]
        [row] = [row for row in rows if row["asset_id"] == self.asset(symbol)]
        return f"{row['available']}/{row['held']}/{row['deferred']}"


def shape(answer: dict[str, Any]) -> str:
    """The balance in an answer."""
    balance = answer["balance"]
    return f"{balance['available']}/{balance['held']}/{balance['deferred']}"


def lot_shape(lot: dict[str, Any]) -> tuple[str, str, str]:
    return lot["amount"], lot["remaining"], lot["status"]
