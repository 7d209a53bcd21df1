"""programs-assets.md, Acceptance examples: wallets."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from tests.api.routes.money import Money
from tests.support.client import Tenant


@pytest.fixture
def money(api: Tenant) -> Money:
    return Money(api)


def spend(money: Money) -> None:
    """What example 2 does; the wallet has 50.00 then, the participant 30.00."""
    assert money.wallet("fund", "CASH", "100")["available"] == "100.00"
    money.credit("CASH", "30.00")
    money.wallet("burn", "CASH", "20")


@pytest.mark.example("programs-assets.md", "wallets 2")
def test_programs_assets_md_wallets_02(money: Money) -> None:
    funded = money.wallet("fund", "CASH", "100")
    assert (funded["available"], funded["message"]) == ("100.00", "Program funded successfully")
    assert money.postings(funded["journal_entry_id"]) == [
        ("SYSTEM_ISSUANCE", "AVAILABLE", "-100.00"),
        ("PROGRAM", "AVAILABLE", "100.00"),
    ]
    money.credit("CASH", "30.00")
    assert money.in_wallet("CASH") == "70.00"
    newest = money.api.get(f"/v1/programs/{money.program}/history")["data"][0]
    assert (newest["action_type"], newest["amount"]) == ("CREDIT", "-30.00")
    with money.unchanged():
        refused = money.wallet("burn", "CASH", "70.01", 422)
    details = {"asset_id": money.asset("CASH"), "program_id": money.program, "available": "70.00", "requested": "70.01"}
    assert (refused["code"], refused["details"]) == ("insufficient_wallet", details)
    burned = money.wallet("burn", "CASH", "20")
    assert burned["available"] == "50.00"
    assert burned["message"] == "Program burned successfully"
    assert money.postings(burned["journal_entry_id"]) == [
        ("PROGRAM", "AVAILABLE", "-20.00"),
        ("SYSTEM_BREAKAGE", "AVAILABLE", "20.00"),
    ]
    assert money.in_wallet("CASH") == "50.00"


@pytest.mark.example("programs-assets.md", "wallets 3")
def test_programs_assets_md_wallets_03(money: Money) -> None:
    spend(money)
    with money.unchanged():
        assert money.credit("CASH", "50.01", 422)["code"] == "insufficient_wallet"
    assert money.balance("CASH") == "30.00/0.00/0.00"
    money.debit("CASH", "10.00")
    assert money.in_wallet("CASH") == "60.00"


@pytest.mark.example("programs-assets.md", "wallets 4")
def test_programs_assets_md_wallets_04(money: Money) -> None:
    spend(money)
    money.debit("CASH", "10.00")
    path = f"/v1/programs/{money.program}/statement"
    statement = money.api.get(path, asset_id=money.asset("CASH"))
    lines = [(line["amount"], line["running_balance"]) for line in statement["data"]]
    assert lines == [("100.00", "100.00"), ("-30.00", "70.00"), ("-20.00", "50.00"), ("10.00", "60.00")]
    assert (statement["opening_balance"], statement["closing_balance"]) == ("0.00", "60.00")
    credited = datetime.fromisoformat(statement["data"][1]["created_at"])
    just_after = (credited + timedelta(microseconds=1)).isoformat()
    window = money.api.get(path, asset_id=money.asset("CASH"), **{"from": just_after})
    assert (window["opening_balance"], window["closing_balance"]) == ("70.00", "60.00")
    assert window["data"] == statement["data"][2:]


@pytest.mark.example("programs-assets.md", "wallets 5")
def test_programs_assets_md_wallets_05(money: Money) -> None:
    money.wallet("fund", "CASH", "100.00")
    other = Money(money.api, assets=money.assets)
    money.api.post(f"/v1/programs/{other.program}/assets", {"asset_id": money.asset("CASH")}, 201)
    assert other.in_wallet("CASH") == "0.00"
    refused = other.credit("CASH", "1", 422)
    assert (refused["code"], refused["details"]["program_id"]) == ("insufficient_wallet", other.program)
    assert (money.in_wallet("CASH"), other.in_wallet("CASH")) == ("100.00", "0.00")


@pytest.mark.example("programs-assets.md", "wallets 6")
def test_programs_assets_md_wallets_06(money: Money) -> None:
    refused = money.wallet("fund", "USD", "1", 409)
    assert (refused["code"], refused["details"]) == ("invalid_state", {"reason": "unlimited_asset"})
    other = Money(money.api)
    other.assets = {"CASH": money.asset("CASH")}
    assert other.wallet("fund", "CASH", "1", 409)["code"] == "asset_not_linked"
    for amount, more in (("-1", {}), ("0", {}), ("1", {"description": "x" * 501})):
        assert money.wallet("fund", "CASH", amount, 400, **more)["code"] == "bad_request"
    assert money.in_wallet("CASH") == "0.00"
    assert money.api.get("/v1/journal-entries")["data"] == []
    path = f"/v1/programs/{money.program}/assets/{uuid4()}/fund"
    assert money.api.post(path, {"amount": "1"}, 404)["details"] == {"resource": "asset", "id": path.split("/")[5]}


@pytest.mark.example("programs-assets.md", "wallets 10")
def test_programs_assets_md_wallets_10(money: Money) -> None:
    first = money.wallet("fund", "CASH", "25.00", idempotency_key="f-1")
    assert money.wallet("fund", "CASH", "25", idempotency_key="f-1") == first
    assert money.in_wallet("CASH") == "25.00"
    assert money.wallet("fund", "CASH", "26.00", 409, idempotency_key="f-1")["code"] == "idempotency_conflict"
    assert money.wallet("burn", "CASH", "25.00", 409, idempotency_key="f-1")["code"] == "idempotency_conflict"


@pytest.mark.example("programs-assets.md", "programs 8")
def test_programs_assets_md_programs_08(money: Money) -> None:
    money.credit("USD", "10.00")
    path = f"/v1/programs/{money.program}"
    legs = [{"amount": "1.00", "participant_id": money.new_participant()}]
    body = {"program_id": money.program, "asset_id": money.asset("USD"), "description": "x", "recipients": legs}
    body["source_participant_id"] = money.participant
    assert money.api.patch(path, {"status": "SUSPENDED"})["status"] == "SUSPENDED"
    with money.unchanged():
        refused = money.api.post("/v1/transfers", body, 409)
    assert (refused["code"], refused["details"]) == ("program_inactive", {"program_id": money.program, "status": "SUSPENDED"})
    money.credit("USD", "5.00")
    money.api.patch(path, {"status": "ARCHIVED"})
    with money.unchanged():
        refused = money.credit("USD", "5.00", 409)
    assert (refused["code"], refused["details"]) == ("program_archived", {"program_id": money.program})
    assert money.api.get("/v1/programs")["data"] == []
    assert [row["id"] for row in money.api.get("/v1/programs", include_archived="true")["data"]] == [money.program]
    assert money.api.patch(path, {"status": "ACTIVE"})["deleted_at"] is None
    money.api.post("/v1/transfers", body, 201)
    assert money.balance("USD") == "14.00/0.00/0.00"


@pytest.mark.example("programs-assets.md", "programs 9")
def test_programs_assets_md_programs_09(money: Money) -> None:
    points, other = money.asset("USD"), Money(money.api, assets=money.assets)
    again = money.api.post(f"/v1/programs/{money.program}/assets", {"asset_id": points}, 409)
    assert again["code"] == "already_linked"
    link, unlink = f"/v1/programs/{other.program}/assets", f"/v1/programs/{other.program}/assets/{points}"
    assert money.api.post(link, {"asset_id": points}, 201)["program_ids"] == [money.program, other.program]
    money.api.call("DELETE", unlink, 204)
    money.api.post(link, {"asset_id": points}, 201)
    other.credit("USD", "1")
    refused = money.api.call("DELETE", unlink, 409)
    assert (refused["code"], refused["details"]) == ("invalid_state", {"reason": "has_entries"})
    assert money.api.get(f"/v1/assets/{points}")["program_ids"] == [money.program, other.program]


def test_balance_lists_prefunded_assets_in_order_of_linking(money: Money) -> None:
    promo, _, cash = (money.asset(symbol) for symbol in ("PROMO", "USD", "CASH"))
    rows = money.api.get(f"/v1/programs/{money.program}/balance")["data"]
    assert [(row["asset_id"], row["issuance_policy"], row["held"]) for row in rows] == [
        (promo, "PREFUNDED", "0.00"),
        (cash, "PREFUNDED", "0.00"),
    ]


def test_statement_needs_a_wallet(money: Money) -> None:
    path = f"/v1/programs/{money.program}/statement"
    assert money.api.get(path, 400, asset_id=money.asset("USD"))["details"]["field"] == "asset_id"
    other = Money(money.api)
    assert money.api.get(path, 409, asset_id=_foreign(other))["code"] == "asset_not_linked"


def _foreign(other: Money) -> str:
    body = {"program_id": other.program, "name": "Other", "symbol": "OTHER", "inventory_mode": "SIMPLE"}
    return other.api.post("/v1/assets", {**body, "issuance_policy": "PREFUNDED", "scale": 0}, 201)["id"]


def test_balance_out_of_range(money: Money) -> None:
    money.wallet("fund", "CASH", "99999999999999999999.99")
    refused = money.wallet("fund", "CASH", "0.01", 422)
    assert (refused["code"], refused["details"]["entity_type"], refused["details"]["entity_id"]) == (
        "balance_out_of_range",
        "PROGRAM",
        money.program,
    )
