"""programs-assets.md, Acceptance examples: wallets."""

from uuid import uuid4

import pytest

from tests.api.routes.money import Money
from tests.support.client import Tenant


@pytest.fixture
def money(api: Tenant) -> Money:
    return Money(api)


def spend(money: Money) -> None:
    """Examples 2 and 3."""
    assert money.wallet("fund", "CASH", "100")["available"] == "100.00"
    money.credit("CASH", "30.00")
    money.wallet("burn", "CASH", "20")
    money.debit("CASH", "10.00")


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
    refused = money.wallet("burn", "CASH", "70.01", 422)
    assert (refused["code"], refused["details"]["available"], refused["details"]["requested"]) == (
        "insufficient_wallet",
        "70.00",
        "70.01",
    )
    burned = money.wallet("burn", "CASH", "20")
    assert burned["available"] == "50.00"
    assert money.postings(burned["journal_entry_id"])[1] == ("SYSTEM_BREAKAGE", "AVAILABLE", "20.00")


@pytest.mark.example("programs-assets.md", "wallets 3")
def test_programs_assets_md_wallets_03(money: Money) -> None:
    money.wallet("fund", "CASH", "80")
    money.credit("CASH", "30.00")
    assert money.credit("CASH", "50.01", 422)["code"] == "insufficient_wallet"
    assert money.balance("CASH") == "30.00/0.00/0.00"
    money.debit("CASH", "10.00")
    assert money.in_wallet("CASH") == "60.00"


@pytest.mark.example("programs-assets.md", "wallets 4")
def test_programs_assets_md_wallets_04(money: Money) -> None:
    spend(money)
    path = f"/v1/programs/{money.program}/statement"
    statement = money.api.get(path, asset_id=money.asset("CASH"))
    lines = [(line["amount"], line["running_balance"]) for line in statement["data"]]
    assert lines == [("100.00", "100.00"), ("-30.00", "70.00"), ("-20.00", "50.00"), ("10.00", "60.00")]
    assert (statement["opening_balance"], statement["closing_balance"]) == ("0.00", "60.00")
    window = money.api.get(path, asset_id=money.asset("CASH"), **{"from": statement["data"][2]["created_at"]})
    assert (window["opening_balance"], len(window["data"]), window["closing_balance"]) == ("70.00", 2, "60.00")


@pytest.mark.example("programs-assets.md", "wallets 5")
def test_programs_assets_md_wallets_05(money: Money) -> None:
    money.wallet("fund", "CASH", "100.00")
    other = Money(money.api, assets=money.assets)
    money.api.post(f"/v1/programs/{other.program}/assets", {"asset_id": money.asset("CASH")}, 201)
    assert other.in_wallet("CASH") == "0.00"
    assert other.credit("CASH", "1", 422)["details"]["program_id"] == other.program


@pytest.mark.example("programs-assets.md", "wallets 6")
def test_programs_assets_md_wallets_06(money: Money) -> None:
    assert money.wallet("fund", "USD", "1", 409)["code"] == "invalid_state"
    other = Money(money.api)
    other.assets = {"CASH": money.asset("CASH")}
    assert other.wallet("fund", "CASH", "1", 409)["code"] == "asset_not_linked"
    for amount, more in (("-1", {}), ("0", {}), ("1", {"description": "x" * 501})):
        assert money.wallet("fund", "CASH", amount, 400, **more)["code"] == "bad_request"
    path = f"/v1/programs/{money.program}/assets/{uuid4()}/fund"
    assert money.api.post(path, {"amount": "1"}, 404)["details"] == {"resource": "asset", "id": path.split("/")[5]}


@pytest.mark.example("programs-assets.md", "wallets 10")
def test_programs_assets_md_wallets_10(money: Money) -> None:
    first = money.wallet("fund", "CASH", "25.00", idempotency_key="f-1")
    assert money.wallet("fund", "CASH", "25", idempotency_key="f-1") == first
    assert money.in_wallet("CASH") == "25.00"
    assert money.wallet("fund", "CASH", "26.00", 409, idempotency_key="f-1")["code"] == "idempotency_conflict"
    assert money.wallet("burn", "CASH", "25.00", 409, idempotency_key="f-1")["code"] == "idempotency_conflict"


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
