"""participants-groups.md, Acceptance examples: balances and activity; what balance operations refuse; lists of lots and histories."""

from uuid import uuid4

import pytest

from tests.api.routes.money import Money, shape
from tests.support.client import Tenant
from tests.support.clock import Clock


@pytest.fixture
def money(api: Tenant) -> Money:
    return Money(api)


def refusal(body: dict) -> tuple[str, str | None, str | None]:
    return body["code"], body["details"].get("field"), body["details"].get("reason")


@pytest.mark.example("participants-groups.md", "balances 1")
def test_participants_groups_md_balances_01(money: Money) -> None:
    credited = money.credit("USD", "100.00")
    assert (credited["bucket"], shape(credited)) == ("AVAILABLE", "100.00/0.00/0.00")
    assert not {"lot_id", "reference_id", "settle"} & credited.keys()
    held = money.hold("USD", "40")
    assert (held["amount_processed"], held["message"], shape(held)) == ("40.00", "Processed 40.00", "60.00/40.00/0.00")
    assert not {"lots_processed", "reference_id", "expires_at"} & held.keys()
    assert shape(money.release("USD")) == "100.00/0.00/0.00"


@pytest.mark.example("participants-groups.md", "balances 2")
def test_participants_groups_md_balances_02(money: Money) -> None:
    money.credit("USD", "100")
    money.hold("USD", "30.00", reference_id="x")
    money.hold("USD", "20.00", reference_id="y")
    released = money.release("USD", "25.00", reference_id="y")
    assert (released["amount_processed"], released["balance"]["held"], released["reference_id"]) == ("20.00", "30.00", "y")
    with money.unchanged():
        refused = money.release("USD", "31.00", 422)
    details = {"asset_id": money.asset("USD"), "bucket": "HELD", "available": "30.00", "requested": "31.00"}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)


@pytest.mark.example("participants-groups.md", "balances 3")
def test_participants_groups_md_balances_03(money: Money) -> None:
    money.credit("USD", "100")
    money.hold("USD", "30")
    assert shape(money.act("forfeit", "USD", amount="10.00", bucket="HELD")) == "70.00/20.00/0.00"
    with money.unchanged():
        assert refusal(money.act("forfeit", "USD", 400, amount="10.00")) == ("bad_request", "bucket", "required")
        refused = money.act("forfeit", "USD", 422, amount="20.01", bucket="HELD")
    details = {"asset_id": money.asset("USD"), "bucket": "HELD", "available": "20.00", "requested": "20.01"}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)


@pytest.mark.example("participants-groups.md", "balances 4")
def test_participants_groups_md_balances_04(timed: Tenant, clock: Clock) -> None:
    money = Money(timed)
    money.credit("USD", "100")
    held = money.hold("USD", "40", expires_at="2s")
    assert held["expires_at"].endswith("Z")
    assert money.balance("USD") == "60.00/40.00/0.00"
    clock.forward(4)
    assert money.balance("USD") == "100.00/0.00/0.00"
    last = money.entries()[-1]
    assert (last["action_type"], last["description"], last["created_by_api_key_id"]) == ("RELEASE", "Hold expired", None)


@pytest.mark.example("participants-groups.md", "balances 5")
def test_participants_groups_md_balances_05(money: Money) -> None:
    money.credit("USD", "10")
    with money.unchanged():
        assert refusal(money.credit("USD", "1", 400, allow_negative=True)) == ("bad_request", "allow_negative", "not_allowed")
        assert refusal(money.credit("USD", "1", 400, bucket="DEFERRED")) == ("bad_request", "bucket", "invalid")
        assert refusal(money.credit("USD", "1", 400, description="")) == ("bad_request", "description", "required")
        assert refusal(money.hold("USD", "1", 400, lot_ids=[str(uuid4())])) == ("bad_request", "lot_ids", "not_allowed")
        assert refusal(money.credit("USD", "1", 400, expires_at="2s")) == ("bad_request", "expires_at", "not_allowed")


@pytest.mark.example("participants-groups.md", "balances 6")
def test_participants_groups_md_balances_06(money: Money) -> None:
    elsewhere = Money(money.api, assets=money.assets)
    elsewhere.asset("USD")
    money.assets = elsewhere.assets
    refused = money.credit("USD", "1", 409)
    assert refused["code"] == "asset_not_linked"
    assert refused["details"] == {"asset_id": money.asset("USD"), "program_id": money.program}
    refused = money.credit("USD", "1", 404, asset_id=str(uuid4()))
    assert (refused["code"], refused["details"]["field"]) == ("not_found", "asset_id")
    assert refusal(elsewhere.act("void-hold", "USD", 400, reference_id="r")) == ("bad_request", "asset_id", "not_allowed")
    assert money.api.get("/v1/journal-entries")["data"] == []


@pytest.mark.example("participants-groups.md", "balances 7")
def test_participants_groups_md_balances_07(money: Money) -> None:
    money.credit("USD", "100.00")
    with money.unchanged():
        refused = money.debit("USD", "150.00", 422)
    details = {"asset_id": money.asset("USD"), "bucket": "AVAILABLE", "available": "100.00", "requested": "150.00"}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)
    assert shape(money.debit("USD", "150.00", allow_negative=True)) == "-50.00/0.00/0.00"
    with money.unchanged():
        assert money.hold("USD", "1", 422)["details"]["available"] == "0.00"


@pytest.mark.example("participants-groups.md", "balances 8")
def test_participants_groups_md_balances_08(money: Money) -> None:
    first = money.credit("MILES", "100")["lot_id"]
    second = money.credit("MILES", "50")["lot_id"]
    done = money.act("forfeit", "MILES", bucket="AVAILABLE", lot_ids=[second])
    assert (done["amount_processed"], shape(done)) == ("50", "100/0/0")
    assert done["lots_processed"] == [{"id": second, "amount": "50"}]
    assert [(lot["id"], lot["remaining"]) for lot in money.lots("MILES")] == [(first, "100"), (second, "0")]


@pytest.mark.example("participants-groups.md", "balances 9")
def test_participants_groups_md_balances_09(money: Money) -> None:
    money.credit("MILES", "50", bucket="HELD", reference_id="v")
    money.api.patch(f"/v1/participants/{money.participant}/status", {"status": "CLOSED"})
    assert money.balance("MILES") == "0/50/0"
    with money.unchanged():
        refused = money.release("MILES", status=409)
    expected = {"participant_id": money.participant, "status": "CLOSED"}
    assert (refused["code"], refused["details"]) == ("participant_inactive", expected)
    assert shape(money.act("void-hold", "MILES", reference_id="v")) == "0/0/0"


@pytest.mark.example("participants-groups.md", "balances 10")
def test_participants_groups_md_balances_10(money: Money) -> None:
    money.credit("USD", "100")
    money.hold("USD", "40")
    money.debit("USD", "10")
    path = f"/v1/participants/{money.participant}/statement"
    statement = money.api.get(path, asset_id=money.asset("USD"))
    lines = [(line["amount"], line["bucket"], line["running_balance"]) for line in statement["data"]]
    assert lines == [
        ("100.00", "AVAILABLE", "100.00"),
        ("-40.00", "AVAILABLE", "60.00"),
        ("40.00", "HELD", "100.00"),
        ("-10.00", "AVAILABLE", "90.00"),
    ]
    assert (statement["opening_balance"], statement["closing_balance"]) == ("0.00", "90.00")
    of_held = money.api.get(path, asset_id=money.asset("USD"), bucket="HELD")
    assert ([line["amount"] for line in of_held["data"]], of_held["closing_balance"], of_held["bucket"]) == (
        ["40.00"],
        "40.00",
        "HELD",
    )


@pytest.mark.example("participants-groups.md", "balances 11")
def test_participants_groups_md_balances_11(money: Money) -> None:
    first = money.credit("USD", "10.00", idempotency_key="r-3")
    assert money.credit("USD", "10.0", idempotency_key="r-3") == first
    assert money.balance("USD") == "10.00/0.00/0.00"
    assert len(money.entries()) == 1
    assert money.hold("USD", "10.00", 409, idempotency_key="r-3")["code"] == "idempotency_conflict"
    other = Money(money.api, assets=money.assets)
    other.program = money.program
    assert other.credit("USD", "10.00", 409, idempotency_key="r-3")["code"] == "idempotency_conflict"


class TestRefusals:
    def test_order_of_checks(self, money: Money) -> None:
        """404 of path, program, asset; then 400 of stored data; then 409 program, asset, holder."""
        money.credit("USD", "5")
        path = f"/v1/participants/{uuid4()}/balances/adjust"
        body = {"program_id": str(uuid4()), "asset_id": str(uuid4()), "type": "CREDIT", "amount": "0.001", "description": "x"}
        assert money.api.post(path, body, 404)["details"]["resource"] == "participant"
        assert money.credit("USD", "0.001", 404, program_id=str(uuid4()))["details"]["field"] == "program_id"
        money.api.patch(f"/v1/programs/{money.program}", {"status": "ARCHIVED"})
        assert refusal(money.credit("USD", "0.001", 400)) == ("bad_request", "amount", "out_of_range")
        money.api.patch(f"/v1/assets/{money.asset('USD')}", {"status": "ARCHIVED"})
        money.api.patch(f"/v1/participants/{money.participant}/status", {"status": "SUSPENDED"})
        assert money.credit("USD", "1", 409)["code"] == "program_archived"
        money.api.patch(f"/v1/programs/{money.program}", {"status": "ACTIVE"})
        assert money.credit("USD", "1", 409)["code"] == "asset_archived"
        assert money.balance("USD") == "5.00/0.00/0.00"

    def test_lots_are_the_holders_own(self, money: Money) -> None:
        other = Money(money.api, assets=money.assets)
        money.credit("MILES", "10")
        other.program, foreign = money.program, money.credit("MILES", "5")["lot_id"]
        refused = other.hold("MILES", status=404, lot_ids=[foreign])
        assert (refused["details"]["resource"], refused["details"]["field"]) == ("lot", "lot_ids[0]")

    def test_dates_of_lots(self, money: Money) -> None:
        past, far = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
        assert refusal(money.credit("MILES", "1", 400, expires_at=past))[1:] == ("expires_at", "out_of_range")
        assert refusal(money.credit("MILES", "1", 400, expires_at="1h", matures_at="2h"))[1:] == ("expires_at", "out_of_range")
        assert refusal(money.credit("MILES", "1", 400, expires_at="0s"))[1:] == ("expires_at", "out_of_range")
        assert refusal(money.credit("MILES", "1", 400, expires_at="876001h"))[1:] == ("expires_at", "out_of_range")
        assert refusal(money.credit("MILES", "1", 400, bucket="HELD", matures_at="1h"))[1:] == ("matures_at", "not_allowed")
        assert refusal(money.hold("MILES", "1", 400, expires_at="999ms"))[1:] == ("expires_at", "out_of_range")
        money.credit("MILES", "1", matures_at=past, expires_at=far)
        [lot] = money.lots("MILES")
        assert (lot["status"], lot["matures_at"], lot["expires_at"]) == (
            "AVAILABLE",
            "2020-01-01T00:00:00.000000Z",
            "2999-01-01T00:00:00.000000Z",
        )

    def test_of_a_stranger(self, money: Money, stranger: Tenant) -> None:
        money.credit("USD", "1")
        usd = money.asset("USD")
        for path, query in (
            ("balances", {}),
            ("balances/lots", {"asset_id": usd}),
            ("activity/history", {}),
            ("statement", {"asset_id": usd}),
        ):
            body = stranger.get(f"/v1/participants/{money.participant}/{path}", 404, **query)
            assert body["details"]["resource"] == "participant"


class TestReads:
    def test_balances_by_symbol(self, money: Money) -> None:
        money.credit("USD", "1")
        money.credit("MILES", "2")
        rows = money.api.get(f"/v1/participants/{money.participant}/balances")["data"]
        assert [row["symbol"] for row in rows] == ["MILES", "USD"]
        untouched = money.api.get(f"/v1/participants/{money.participant}/balances", asset_id=money.asset("PROMO"))["data"]
        assert [(row["available"], row["held"], row["deferred"]) for row in untouched] == [("0.00", "0.00", "0.00")]
        assert (
            money.api.get(f"/v1/participants/{money.participant}/balances", 404, asset_id=str(uuid4()))["details"]["field"]
            == "asset_id"
        )

    def test_lots_are_filtered_and_paged(self, money: Money) -> None:
        for hours in (1, 2, 3):
            money.credit("MILES", "10", expires_at=f"{hours}h")
        money.credit("MILES", "10", bucket="HELD", reference_id="r")
        path = f"/v1/participants/{money.participant}/balances/lots"
        seen, cursor = [], None
        while True:
            page = money.api.get(path, asset_id=money.asset("MILES"), limit=3, **({"cursor": cursor} if cursor else {}))
            seen += page["data"]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
        assert seen == money.lots("MILES")
        assert len(seen) == 4
        assert [lot["id"] for lot in money.lots("MILES", status="HELD")] == [seen[3]["id"]]
        assert [lot["id"] for lot in money.lots("MILES", reference_id="r")] == [seen[3]["id"]]
        assert [lot["id"] for lot in money.lots("MILES", expires_before=seen[1]["expires_at"])] == [seen[0]["id"]]
        assert [lot["id"] for lot in money.lots("MILES", expires_after=seen[1]["expires_at"])] == [seen[2]["id"]]
        elsewhere = money.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
        assert money.lots("MILES", program_id=money.program) == seen
        assert money.lots("MILES", program_id=elsewhere) == []
        unknown = money.api.get(path, 404, asset_id=money.asset("MILES"), program_id=str(uuid4()))
        assert unknown["details"]["field"] == "program_id"
        assert money.api.get(path, 400)["details"]["field"] == "asset_id"
        assert refusal(money.api.get(path, 400, asset_id=money.asset("USD")))[1:] == ("asset_id", "not_allowed")

    def test_history(self, money: Money) -> None:
        money.credit("USD", "10")
        money.hold("USD", "4")
        money.credit("MILES", "7")
        path = f"/v1/participants/{money.participant}/activity/history"
        rows = money.api.get(path)["data"]
        assert [(row["action_type"], row["amount"], row["bucket"]) for row in rows] == [
            ("CREDIT", "7", "AVAILABLE"),
            ("HOLD", "4.00", "HELD"),
            ("HOLD", "-4.00", "AVAILABLE"),
            ("CREDIT", "10.00", "AVAILABLE"),
        ]
        assert {row["event_id"] for row in rows} == {None}
        assert [row["amount"] for row in money.api.get(path, asset_id=money.asset("USD"), bucket="AVAILABLE")["data"]] == [
            "-4.00",
            "10.00",
        ]
        first = money.api.get(path, limit=2)
        rest = money.api.get(path, limit=2, cursor=first["pagination"]["next_cursor"])
        assert first["data"] + rest["data"] == rows
        window = {"from": rows[2]["created_at"], "to": rows[1]["created_at"]}
        assert money.api.get(path, **window)["data"] == rows[1:3]
        assert money.api.get(path, event_to=rows[3]["created_at"])["data"] == rows[3:]

    def test_statement_pages_show_one_moment(self, money: Money) -> None:
        for amount in ("1", "2", "3", "4"):
            money.credit("USD", amount)
        path, query = f"/v1/participants/{money.participant}/statement", {"asset_id": money.asset("USD"), "limit": 3}
        first = money.api.get(path, **query)
        money.credit("USD", "50")
        second = money.api.get(path, **query, cursor=first["pagination"]["next_cursor"])
        assert [line["running_balance"] for line in first["data"] + second["data"]] == ["1.00", "3.00", "6.00", "10.00"]
        assert (first["closing_balance"], second["closing_balance"]) == ("10.00", "10.00")
        assert second["pagination"]["next_cursor"] is None
        window = money.api.get(
            path, asset_id=money.asset("USD"), **{"from": first["data"][1]["created_at"]}, to=first["data"][2]["created_at"]
        )
        assert (window["opening_balance"], window["closing_balance"]) == ("1.00", "6.00")
        assert [line["amount"] for line in window["data"]] == ["2.00", "3.00"]
        empty = money.api.get(path, asset_id=money.asset("MILES"))
        assert (empty["opening_balance"], empty["closing_balance"], empty["data"]) == ("0", "0", [])
