"""participants-groups.md, Acceptance examples: transfers; crossing transfers conserve value; overdrafts, dates, ceilings."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from tests.api.helpers import faults
from tests.api.routes.money import Money, lot_shape
from tests.api.test_groups import make
from tests.support.client import Tenant


@dataclass
class Pool:
    """Participants A and B, group G with A in it; A has 100.00 USD."""

    api: Tenant
    money: Money = field(init=False)
    people: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.money = Money(self.api)
        for name in "AB":
            body = {"external_id": f"{name}-{uuid4()}"}
            self.people[name] = self.api.post("/v1/participants", body, 201)["id"]
        self.people["G"] = make(self.api, self.people["A"])
        self.of("A").credit("USD", "100.00")

    def external(self, name: str) -> str:
        return str(self.api.get(f"/v1/participants/{self.people[name]}")["external_id"])

    def of(self, name: str) -> Money:
        self.money.participant = self.people[name]
        return self.money

    def names(self, name: str) -> dict[str, str]:
        """How a recipient is named by its id."""
        return {"group_id" if name == "G" else "participant_id": self.people[name]}

    def body(self, *legs: tuple[str, str], source: str = "A", symbol: str = "USD", **more: Any) -> dict[str, Any]:
        return {
            "program_id": self.money.program,
            "asset_id": self.money.asset(symbol),
            "description": "Pooling",
            **{f"source_{key}": value for key, value in self.names(source).items()},
            "recipients": [{"amount": amount, **self.names(name)} for name, amount in legs],
            **more,
        }

    def send(self, *legs: tuple[str, str], status: int = 201, **more: Any) -> Any:
        return self.api.post("/v1/transfers", self.body(*legs, **more), status)

    def has(self, name: str, symbol: str = "USD") -> str:
        """What is available."""
        if name != "G":
            return self.of(name).balance(symbol).split("/")[0]
        rows = self.api.get(f"/v1/groups/{self.people['G']}/balances", program_id=self.money.program)["data"]
        return next((row["available"] for row in rows if row["asset_id"] == self.money.asset(symbol)), "0")

    def standing(self) -> tuple[str, ...]:
        """What everybody has, and how many entries there are."""
        entries = self.api.get("/v1/journal-entries")["data"]
        return (*(self.has(name) for name in "ABG"), *(entry["id"] for entry in entries))


@pytest.fixture
def pool(api: Tenant) -> Pool:
    return Pool(api)


@pytest.mark.example("participants-groups.md", "transfers 1")
def test_participants_groups_md_transfers_01(pool: Pool) -> None:
    body = pool.body(("B", "30.00"), ("G", "10.00"))
    body["recipients"][0] = {"amount": "30.00", "external_id": pool.external("B")}
    done = pool.api.post("/v1/transfers", body, 201)
    assert set(done) == {"journal_entry_id", "asset_id", "source_id", "recipient_count", "total_amount"}
    assert (done["source_id"], done["recipient_count"], done["total_amount"]) == (pool.people["A"], 2, "40.00")
    assert (pool.has("A"), pool.has("B"), pool.has("G")) == ("60.00", "30.00", "10.00")
    entry = pool.api.get(f"/v1/journal-entries/{done['journal_entry_id']}")
    assert (entry["action_type"], entry["description"]) == ("TRANSFER", "Pooling")
    assert [(posting["entity_id"], posting["amount"]) for posting in entry["postings"]] == [
        (pool.people["A"], "-40.00"),
        (pool.people["B"], "30.00"),
        (pool.people["G"], "10.00"),
    ]
    assert entry["postings"][2]["group_id"] == pool.people["G"]


@pytest.mark.example("participants-groups.md", "transfers 2")
def test_participants_groups_md_transfers_02(pool: Pool) -> None:
    before = pool.standing()
    refused = pool.send(("B", "50.00"), ("G", "60.00"), status=422)
    details = {"asset_id": pool.money.asset("USD"), "bucket": "AVAILABLE", "available": "100.00", "requested": "110.00"}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)
    assert pool.standing() == before
    assert (pool.has("A"), pool.has("B"), pool.has("G")) == ("100.00", "0.00", "0")


@pytest.mark.example("participants-groups.md", "transfers 3")
def test_participants_groups_md_transfers_03(pool: Pool) -> None:
    before = pool.standing()
    body = pool.body(("B", "1"), ("A", "1"))
    del body["source_participant_id"]
    refused = pool.api.post("/v1/transfers", body | {"source_external_id": pool.external("A")}, 400)
    assert (refused["code"], refused["details"]) == ("self_transfer", {"recipient_index": 1, "source_id": pool.people["A"]})
    assert pool.standing() == before


@pytest.mark.example("participants-groups.md", "transfers 4")
def test_participants_groups_md_transfers_04(pool: Pool) -> None:
    before = pool.standing()

    def fault(change: dict[str, Any], *without: str) -> list[tuple[str, str]]:
        body = {name: value for name, value in (pool.body(("B", "1")) | change).items() if name not in without}
        return faults(pool.api.post("/v1/transfers", body, 400))

    assert fault({"source_external_id": "x"}) == [("source_participant_id", "not_allowed")]
    assert fault({}, "source_participant_id") == [("source_external_id", "required")]
    assert fault({"recipients": []}) == [("recipients", "too_short")]
    assert fault({"recipients": [{"amount": "1", "external_id": "x"}] * 101}) == [("recipients", "too_long")]
    two = {"amount": "1", "external_id": "x", "group_id": str(uuid4())}
    assert fault({"recipients": [two]}) == [("recipients[0].group_id", "not_allowed")]
    assert fault({"recipients": [{"amount": "1"}]}) == [("recipients[0].external_id", "required")]
    assert fault({"recipients": [{"amount": "0", "external_id": "x"}]}) == [("recipients[0].amount", "out_of_range")]
    small = [{"amount": "1", "external_id": pool.external("B")}, {"amount": "0.004", "external_id": pool.external("B")}]
    assert fault({"recipients": small}) == [("recipients[1].amount", "out_of_range")]
    unknown = pool.body(("B", "1"))
    unknown["recipients"] = [{"amount": "1", "external_id": "nobody"}]
    refused = pool.api.post("/v1/transfers", unknown, 404)
    assert (refused["details"]["resource"], refused["details"]["field"]) == ("participant", "recipients[0].external_id")
    assert pool.api.get("/v1/participants", external_id="nobody")["data"] == []
    assert pool.standing() == before


@pytest.mark.example("participants-groups.md", "transfers 5")
def test_participants_groups_md_transfers_05(pool: Pool) -> None:
    path, before = f"/v1/participants/{pool.people['B']}/status", pool.standing()
    pool.api.patch(path, {"status": "SUSPENDED"})
    refused = pool.send(("B", "1"), status=409)
    expected = {"participant_id": pool.people["B"], "status": "SUSPENDED"}
    assert (refused["code"], refused["details"]) == ("participant_inactive", expected)
    assert pool.send(("A", "1"), source="B", status=409)["details"] == expected
    assert pool.send(("G", "1"), ("B", "1"), status=409)["details"] == expected
    pool.api.patch(path, {"status": "ACTIVE"})
    pool.api.patch(f"/v1/programs/{pool.money.program}", {"status": "SUSPENDED"})
    refused = pool.send(("B", "1"), status=409)
    assert (refused["code"], refused["details"]["status"]) == ("program_inactive", "SUSPENDED")
    assert pool.standing() == before


@pytest.mark.example("participants-groups.md", "transfers 6")
def test_participants_groups_md_transfers_06(pool: Pool) -> None:
    source = pool.of("A")
    source.credit("MILES", "10", expires_at="1h")
    source.credit("MILES", "5")
    done = pool.send(("B", "12"), symbol="MILES")
    assert [lot_shape(lot) for lot in pool.of("A").lots("MILES")] == [("10", "0", "CONSUMED"), ("5", "3", "AVAILABLE")]
    [lot] = pool.of("B").lots("MILES")
    assert (lot_shape(lot), lot["expires_at"], lot["matures_at"]) == (("12", "12", "AVAILABLE"), None, None)
    assert lot["created_at"] == pool.api.get(f"/v1/journal-entries/{done['journal_entry_id']}")["created_at"]


@pytest.mark.example("participants-groups.md", "transfers 7")
def test_participants_groups_md_transfers_07(pool: Pool) -> None:
    pool.of("A").hold("USD", "40.00")
    before = pool.standing()
    refused = pool.send(("B", "70.00"), status=422)
    assert (refused["details"]["available"], refused["details"]["requested"]) == ("60.00", "70.00")
    assert pool.standing() == before
    pool.send(("B", "60.00"))
    assert pool.of("A").balance("USD") == "0.00/40.00/0.00"


@pytest.mark.example("participants-groups.md", "transfers 8")
def test_participants_groups_md_transfers_08(pool: Pool) -> None:
    first = pool.send(("B", "10.00"), idempotency_key="t-1")
    assert pool.send(("B", "10.0"), idempotency_key="t-1", status=200) == first
    assert pool.has("A") == "90.00"
    assert pool.send(("B", "11.00"), idempotency_key="t-1", status=409)["code"] == "idempotency_conflict"


@pytest.mark.example("participants-groups.md", "transfers 9")
def test_participants_groups_md_transfers_09(pool: Pool) -> None:
    done = pool.send(("B", "0.005"), ("B", "0.014"))
    assert done["total_amount"] == "0.02"
    entry = pool.api.get(f"/v1/journal-entries/{done['journal_entry_id']}")
    assert [posting["amount"] for posting in entry["postings"]] == ["-0.02", "0.01", "0.01"]
    response = pool.api.http.post("/v1/transfers", json=pool.body(("B", "0.005")), headers={"Prefer": "handling=strict"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_scale")
    assert response.json()["details"]["field"] == "recipients[0].amount"


def test_arriving_lots_fill_an_overdraft_leg_by_leg(pool: Pool) -> None:
    pool.of("A").credit("MILES", "100")
    pool.of("B").debit("MILES", "15", allow_negative=True)
    pool.send(("B", "10"), ("B", "10"), symbol="MILES")
    assert pool.of("B").balance("MILES") == "5/0/0"
    assert [lot_shape(lot) for lot in pool.of("B").lots("MILES")] == [("10", "0", "CONSUMED"), ("10", "5", "AVAILABLE")]


def test_what_is_due_comes_first_and_stays_when_refused(pool: Pool) -> None:
    pool.of("A").credit("MILES", "10", expires_at="30ms")
    pool.of("B").credit("MILES", "7", expires_at="30ms")
    time.sleep(0.05)
    assert pool.send(("B", "1"), symbol="MILES", status=422)["details"]["available"] == "0"
    with_expiries = pool.api.get("/v1/journal-entries", action_type="EXPIRY")["data"]
    assert {entry["postings"][0]["amount"] for entry in with_expiries} == {"-10", "-7"}
    pool.of("A").credit("MILES", "3")
    pool.send(("B", "3"), symbol="MILES")
    assert pool.of("B").balance("MILES") == "3/0/0"


def test_ceilings_ranges_and_archives(pool: Pool) -> None:
    usd = pool.money.asset("USD")
    pool.api.patch(f"/v1/assets/{usd}", {"max_transaction_amount": "50.00"})
    refused = pool.send(("B", "30.00"), ("G", "30.00"), status=422)
    assert (refused["code"], refused["details"]["requested"]) == ("max_transaction_amount_exceeded", "60.00")
    pool.send(("B", "25.00"), ("G", "25.00"))
    pool.api.patch(f"/v1/assets/{usd}", {"max_transaction_amount": None})
    pool.of("B").credit("USD", "99999999999999999974.00")
    refused = pool.send(("B", "0.50"), ("B", "0.50"), status=422)
    assert (refused["code"], refused["details"]["entity_id"]) == ("balance_out_of_range", pool.people["B"])
    pool.api.call("DELETE", f"/v1/groups/{pool.people['G']}", 200)
    assert pool.send(("G", "1.00"), status=409)["code"] == "group_archived"
    assert pool.send(("B", "1.00"), source="G", status=409)["code"] == "group_archived"
    assert pool.send(("B", "1"), program_id=str(uuid4()), status=404)["details"]["field"] == "program_id"
    assert pool.send(("B", "1"), asset_id=str(uuid4()), status=404)["details"]["field"] == "asset_id"
    other = pool.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    assert pool.send(("B", "1"), program_id=other, status=409)["code"] == "asset_not_linked"


def test_another_tenants_holders_are_unknown(pool: Pool, stranger: Tenant) -> None:
    theirs = Pool(stranger)
    body = pool.body(("B", "1"))
    for recipient in (theirs.names("B"), theirs.names("G"), {"external_id": theirs.external("A")}):
        pool.api.post("/v1/transfers", body | {"recipients": [{"amount": "1", **recipient}]}, 404)
    stranger.post("/v1/transfers", body, 404)


@pytest.mark.parametrize("symbol", ["USD", "MILES"])
def test_crossing_transfers_conserve_value(pool: Pool, symbol: str) -> None:
    names = ["A", "B", "G"]
    pool.of("A").credit(symbol, "300")
    before = sum(Decimal(pool.has(name, symbol)) for name in names)
    pool.send(("B", "100"), ("G", "100"), symbol=symbol)

    def worker(seed: int) -> list[int]:
        random, found = Random(seed), []
        for _ in range(4):
            source, *others = random.sample(names, 3)
            legs = [(other, str(random.randint(1, 40))) for other in others]
            response = pool.api.http.post("/v1/transfers", json=pool.body(*legs, source=source, symbol=symbol))
            found.append(response.status_code)
        return found

    with ThreadPoolExecutor(30) as threads:
        statuses = [status for found in threads.map(worker, range(30)) for status in found]
    assert set(statuses) <= {201, 422}
    assert statuses.count(201) > 30
    balances = [Decimal(pool.has(name, symbol)) for name in names]
    assert sum(balances) == before
    assert min(balances) >= 0
    if symbol == "MILES":
        for name in "AB":
            lots = pool.of(name).lots(symbol, status="AVAILABLE", limit="200")
            assert sum(Decimal(lot["remaining"]) for lot in lots) == Decimal(pool.has(name, symbol))
