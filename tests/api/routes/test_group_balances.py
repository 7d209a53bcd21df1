"""participants-groups.md, Acceptance examples: groups (money): balances per program x asset pair, shown together or apart."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.api.helpers import participant
from tests.api.routes.money import ASSETS, shape
from tests.api.test_groups import make
from tests.support.client import Tenant

Line = tuple[str, str, str, str]


@dataclass
class Family:
    """A group, programs P and Q, and assets that are linked to both."""

    api: Tenant
    programs: dict[str, str] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    group: str = ""

    def __post_init__(self) -> None:
        self.programs = {name: self.api.post("/v1/programs", {"name": name}, 201)["id"] for name in "PQ"}
        self.group = self.new_group()
        for symbol in ("USD", "MILES"):
            body = {"program_id": self.programs["P"], "name": symbol, "symbol": symbol, **ASSETS[symbol]}
            self.assets[symbol] = self.api.post("/v1/assets", body, 201)["id"]
            self.api.post(f"/v1/programs/{self.programs['Q']}/assets", {"asset_id": self.assets[symbol]}, 201)

    def new_group(self) -> str:
        return make(self.api, participant(self.api))

    @property
    def path(self) -> str:
        return f"/v1/groups/{self.group}"

    def act(self, operation: str, program: str, symbol: str, status: int = 200, **body: Any) -> Any:
        body = {"program_id": self.programs[program], "asset_id": self.assets[symbol], "description": operation, **body}
        return self.api.post(f"{self.path}/balances/{operation}", body, status)

    def credit(self, program: str, symbol: str, amount: str, status: int = 200, **body: Any) -> Any:
        return self.act("adjust", program, symbol, status, type="CREDIT", amount=amount, **body)

    def debit(self, program: str, symbol: str, amount: str, status: int = 200, **body: Any) -> Any:
        return self.act("adjust", program, symbol, status, type="DEBIT", amount=amount, **body)

    def totals(self) -> dict[str, str]:
        """By symbol, as the group object shows them."""
        names = {id_: symbol for symbol, id_ in self.assets.items()}
        return {names[id_]: total for id_, total in self.api.get(self.path)["balances"].items()}

    def look(self, rest: str, program: str | None = None, **query: Any) -> Any:
        narrowed = {} if program is None else {"program_id": self.programs[program]}
        return self.api.get(f"{self.path}/{rest}", **query, **narrowed)

    def statement(self, program: str | None = None, **query: Any) -> tuple[list[Line], str, str]:
        """Lines (amount, program, bucket, running), opening and closing of the statement of USD."""
        found = self.look("statement", program, asset_id=self.assets["USD"], **query)
        names = {id_: name for name, id_ in self.programs.items()}
        lines = [(row["amount"], names[row["program_id"]], row["bucket"], row["running_balance"]) for row in found["data"]]
        return lines, found["opening_balance"], found["closing_balance"]

    def six_and_seven(self) -> None:
        """What examples 6 and 7 do."""
        self.credit("P", "USD", "100.00")
        self.credit("Q", "USD", "50.00")
        self.act("hold", "P", "USD", amount="40.00")
        self.act("forfeit", "P", "USD", amount="40.00", bucket="HELD")


@pytest.fixture
def family(api: Tenant) -> Family:
    return Family(api)


@pytest.mark.example("participants-groups.md", "groups 6")
def test_participants_groups_md_groups_06(family: Family) -> None:
    credited = family.credit("P", "USD", "100.00")
    assert credited["message"] == "Group balance adjusted successfully"
    assert "balance" not in credited
    family.credit("Q", "USD", "50.00")
    assert family.totals() == {"USD": "150.00"}
    whole = {"asset_id": family.assets["USD"], "balance": "150.00", "available": "150.00", "held": "0.00", "deferred": "0.00"}
    assert family.look("balances")["data"] == [whole]
    assert family.look("balances", "P")["data"] == [whole | {"balance": "100.00", "available": "100.00"}]
    refused = family.debit("P", "USD", "120.00", 422)
    assert (refused["code"], refused["details"]["available"]) == ("insufficient_balance", "100.00")


@pytest.mark.example("participants-groups.md", "groups 7")
def test_participants_groups_md_groups_07(family: Family) -> None:
    family.credit("P", "USD", "100.00")
    family.credit("Q", "USD", "50.00")
    assert shape(family.act("hold", "P", "USD", amount="40.00")) == "60.00/40.00/0.00"
    assert family.totals() == {"USD": "150.00"}
    assert family.act("forfeit", "P", "USD", amount="40.00", bucket="HELD")["amount_processed"] == "40.00"
    assert family.totals() == {"USD": "110.00"}


@pytest.mark.example("participants-groups.md", "groups 8")
def test_participants_groups_md_groups_08(family: Family) -> None:
    family.six_and_seven()
    archived = family.api.call("DELETE", family.path, 200)
    assert archived["status"] == "ARCHIVED"
    assert family.api.call("DELETE", family.path, 200) == archived
    adjusting = family.credit("P", "USD", "1", 409)
    assert (adjusting["code"], adjusting["details"]) == ("group_archived", {"group_id": family.group})
    assert family.act("forfeit", "P", "USD", 409, bucket="AVAILABLE")["code"] == "group_archived"
    assert family.act("hold", "P", "USD", 409)["code"] == "group_archived"
    assert family.act("release", "P", "USD", 409)["code"] == "group_archived"
    added = family.api.post(f"{family.path}/members", {"participant_id": participant(family.api)}, 409)
    renamed = family.api.patch(family.path, {"name": "x"}, 409)
    tagged = family.api.call("PUT", f"{family.path}/state/tags/x", 409)
    assert {added["code"], renamed["code"], tagged["code"]} == {"group_archived"}
    assert family.totals() == {"USD": "110.00"}
    assert family.api.get("/v1/groups")["data"] == []
    assert len(family.look("activity/history")["data"]) == 5
    assert family.statement()[2] == "110.00"


@pytest.mark.example("participants-groups.md", "groups 10")
def test_participants_groups_md_groups_10(family: Family) -> None:
    family.six_and_seven()
    lines = [
        ("100.00", "P", "AVAILABLE", "100.00"),
        ("50.00", "Q", "AVAILABLE", "150.00"),
        ("-40.00", "P", "AVAILABLE", "110.00"),
        ("40.00", "P", "HELD", "150.00"),
        ("-40.00", "P", "HELD", "110.00"),
    ]
    assert family.statement() == (lines, "0.00", "110.00")
    of_p, opening, closing = family.statement("P")
    assert ([line[3] for line in of_p], opening, closing) == (["100.00", "60.00", "100.00", "60.00"], "0.00", "60.00")
    assert family.statement("Q") == ([("50.00", "Q", "AVAILABLE", "50.00")], "0.00", "50.00")
    assert family.look("statement", "P", asset_id=family.assets["USD"])["program_id"] == family.programs["P"]


@pytest.mark.example("participants-groups.md", "groups 11")
def test_participants_groups_md_groups_11(family: Family) -> None:
    family.six_and_seven()
    rows = family.look("activity/history")["data"]
    assert len(rows) == 5
    assert [rows[0][name] for name in ("action_type", "amount", "bucket")] == ["FORFEIT", "-40.00", "HELD"]
    assert [rows[-1][name] for name in ("action_type", "amount", "program_id")] == ["CREDIT", "100.00", family.programs["P"]]
    held = family.look("activity/history", "P", bucket="HELD")["data"]
    assert [row["amount"] for row in held] == ["-40.00", "40.00"]
    assert [row["amount"] for row in family.look("activity/history", "Q")["data"]] == ["50.00"]


@pytest.mark.example("participants-groups.md", "groups 12")
def test_participants_groups_md_groups_12(family: Family) -> None:
    family.credit("P", "MILES", "100")
    family.credit("Q", "MILES", "50")
    family.act("hold", "P", "MILES", amount="30")

    def lots(program: str | None = None) -> list[Any]:
        return family.look("balances/lots", program, asset_id=family.assets["MILES"])["data"]

    shapes = [(lot["amount"], lot["remaining"], lot["status"], lot["program_id"]) for lot in lots()]
    p, q = family.programs["P"], family.programs["Q"]
    assert shapes == [("70", "70", "AVAILABLE", p), ("30", "30", "HELD", p), ("50", "50", "AVAILABLE", q)]
    assert lots()[1]["parent_lot_id"] == lots()[0]["id"]
    assert lots("Q") == lots()[2:]
    assert family.debit("P", "MILES", "80", 422)["details"]["available"] == "70"
    elsewhere = family.act("hold", "P", "MILES", 404, lot_ids=[lots()[2]["id"]])
    assert elsewhere["details"]["resource"] == "lot"


@pytest.mark.example("participants-groups.md", "groups 13")
def test_participants_groups_md_groups_13(family: Family) -> None:
    def fault(rest: str, status: int, **query: str) -> tuple[str, str | None, str | None]:
        body = family.api.call("GET", f"{family.path}/{rest}", status, params=query)
        return body["code"], body["details"].get("field"), body["details"].get("reason")

    usd = family.assets["USD"]
    assert fault("balances/lots", 400) == ("bad_request", "asset_id", "required")
    assert fault("balances/lots", 400, asset_id=usd) == ("bad_request", "asset_id", "not_allowed")
    assert fault("statement", 400) == ("bad_request", "asset_id", "required")
    for rest in ("statement", "activity/history", "balances"):
        query = {"program_id": str(uuid4())} | ({"asset_id": usd} if rest == "statement" else {})
        assert fault(rest, 404, **query) == ("not_found", "program_id", None)
    assert fault("statement", 404, asset_id=str(uuid4())) == ("not_found", "asset_id", None)
    assert family.api.post(f"{family.path}/balances/void-hold", {}, 404)["details"]["resource"] == "route"
    assert family.statement() == ([], "0.00", "0.00")


@pytest.mark.example("participants-groups.md", "groups 14")
def test_participants_groups_md_groups_14(family: Family) -> None:
    first = family.credit("P", "USD", "10.00", idempotency_key="g-1")
    assert family.credit("P", "USD", "10.00", idempotency_key="g-1") == first
    assert len(family.statement()[0]) == 1
    refused = family.act("hold", "P", "USD", 409, amount="10.00", idempotency_key="g-1")
    assert refused["code"] == "idempotency_conflict"
    family.group = family.new_group()
    assert family.credit("P", "USD", "10.00", 409, idempotency_key="g-1")["code"] == "idempotency_conflict"


def test_statements_are_paged_and_end_where_the_first_page_did(family: Family) -> None:
    for program, amount in (("P", "1"), ("Q", "2"), ("P", "4"), ("Q", "8"), ("P", "16")):
        family.credit(program, "USD", amount)
    query: dict[str, Any] = {"asset_id": family.assets["USD"], "limit": 2}
    page = family.look("statement", **query)
    family.credit("Q", "USD", "32")
    pages = [page]
    while cursor := pages[-1]["pagination"]["next_cursor"]:
        pages.append(family.look("statement", cursor=cursor, **query))
    assert [row["running_balance"] for page in pages for row in page["data"]] == ["1.00", "3.00", "7.00", "15.00", "31.00"]
    assert {page["closing_balance"] for page in pages} == {"31.00"}
    assert family.statement()[2] == "63.00"


def test_windows_and_buckets_of_statements_add_up(family: Family) -> None:
    family.six_and_seven()
    family.act("hold", "Q", "USD", amount="5.00")
    rows = family.look("statement", asset_id=family.assets["USD"])["data"]
    third = rows[2]["created_at"]
    lines, opening, closing = family.statement(**{"from": third})
    assert (opening, closing, len(lines)) == ("150.00", "110.00", 5)
    lines, opening, closing = family.statement(to=third)
    assert ([line[3] for line in lines], closing) == (["100.00", "150.00", "110.00", "150.00"], "150.00")
    lines, opening, closing = family.statement(bucket="HELD")
    assert lines == [("40.00", "P", "HELD", "40.00"), ("-40.00", "P", "HELD", "0.00"), ("5.00", "Q", "HELD", "5.00")]
    assert closing == "5.00"
    lines, opening, closing = family.statement("P", bucket="HELD", **{"from": rows[4]["created_at"]})
    assert (lines, opening, closing) == ([("-40.00", "P", "HELD", "0.00")], "40.00", "0.00")


def test_lots_expire_before_they_are_shown(family: Family) -> None:
    family.credit("P", "MILES", "10", expires_at="1ms")
    family.credit("Q", "MILES", "5")
    assert family.totals() == {"MILES": "5"}
    rows = family.look("activity/history")["data"]
    assert {(row["action_type"], row["amount"], row["program_id"]) for row in rows} >= {
        ("EXPIRY", "-10", family.programs["P"]),
    }
    assert [row["balance"] for row in family.look("balances", "P")["data"]] == ["0"]


def test_another_tenant_sees_nothing(family: Family, stranger: Tenant) -> None:
    family.six_and_seven()
    usd = family.assets["USD"]
    for rest in ("", "/balances", f"/balances/lots?asset_id={usd}", "/activity/history", f"/statement?asset_id={usd}"):
        assert stranger.call("GET", family.path + rest, 404)["details"]["resource"] == "group"
    body = {"program_id": family.programs["P"], "asset_id": usd, "description": "x", "amount": "1"}
    for operation, more in (("adjust", {"type": "CREDIT"}), ("hold", {}), ("release", {}), ("forfeit", {"bucket": "HELD"})):
        refused = stranger.post(f"{family.path}/balances/{operation}", body | more, 404)
        assert refused["details"]["resource"] == "group"
