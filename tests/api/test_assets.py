"""programs-assets.md, Acceptance examples: assets, through real HTTP."""

import pytest

from db.session import Database
from tests.api.helpers import asset, faults, program, rows
from tests.api.routes.money import Money
from tests.support.client import Tenant

POINTS = {"name": "Loyalty Points", "inventory_mode": "SIMPLE", "issuance_policy": "UNLIMITED", "scale": 0}


@pytest.mark.example("programs-assets.md", "assets 1")
def test_assets_01_create(api: Tenant) -> None:
    program_id = program(api)
    made = api.post("/v1/assets", POINTS | {"program_id": program_id, "symbol": "PTS"}, 201)
    assert made["status"] == "ACTIVE"
    assert made["program_ids"] == [program_id]
    assert made["max_transaction_amount"] is None
    assert api.get(f"/v1/assets/{made['id']}") == made


@pytest.mark.example("programs-assets.md", "assets 2")
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("scale", 19, "out_of_range"),
        ("scale", "2", "invalid"),
        ("scale", 2.0, "invalid"),
        ("scale", True, "invalid"),
        ("symbol", "P-T", "invalid"),
        ("symbol", "_PT", "invalid"),
        ("symbol", "P" * 17, "too_long"),
        ("max_transaction_amount", "0", "out_of_range"),
        ("max_transaction_amount", 100, "invalid"),
        ("max_transaction_amount", "0.4", "out_of_range"),
        ("max_transaction_amount", "1" + "0" * 20, "out_of_range"),
        ("max_transaction_amount", "1e2", "invalid"),
        ("inventory_mode", "simple", "invalid"),
    ],
)
def test_assets_02_bad_input(api: Tenant, field: str, value: object, reason: str) -> None:
    body = POINTS | {"program_id": program(api), "symbol": "PTS", field: value}
    assert faults(api.post("/v1/assets", body, 400)) == [(field, reason)]
    assert api.get("/v1/assets")["data"] == []


@pytest.mark.example("programs-assets.md", "assets 3")
def test_assets_03_symbols_are_unique_whatever_the_case(api: Tenant) -> None:
    program_id = program(api)
    first = asset(api, program_id, symbol="PTS")
    second = api.post("/v1/assets", POINTS | {"program_id": program_id, "symbol": "pts"}, 409)
    assert (second["code"], second["details"]) == ("symbol_conflict", {"symbol": "pts"})
    other = asset(api, program_id)
    assert api.patch(f"/v1/assets/{other['id']}", {"symbol": "Pts"}, 409)["code"] == "symbol_conflict"
    assert api.patch(f"/v1/assets/{first['id']}", {"symbol": "pts"})["symbol"] == "pts"


@pytest.mark.example("programs-assets.md", "assets 4")
@pytest.mark.parametrize("change", [{"scale": 2}, {"scale": None}, {"inventory_mode": "LOT"}, {"issuance_policy": "PREFUNDED"}])
def test_assets_04_three_settings_are_fixed(api: Tenant, change: dict[str, object]) -> None:
    path = f"/v1/assets/{asset(api, program(api))['id']}"
    assert faults(api.patch(path, change, 400)) == [(next(iter(change)), "not_allowed")]


@pytest.mark.example("programs-assets.md", "assets 5")
def test_assets_05_ceiling(api: Tenant) -> None:
    path = f"/v1/assets/{asset(api, program(api), scale=0)['id']}"
    changed = api.patch(path, {"name": "Premium", "max_transaction_amount": "5000.00"})
    assert (changed["name"], changed["max_transaction_amount"]) == ("Premium", "5000")
    assert api.patch(path, {"max_transaction_amount": None})["max_transaction_amount"] is None


@pytest.mark.example("programs-assets.md", "assets 5")
def test_assets_05_the_ceiling_counts_from_the_next_operation_on(api: Tenant) -> None:
    money = Money(api)
    path = f"/v1/assets/{money.asset('MILES')}"
    api.patch(path, {"name": "Premium", "max_transaction_amount": "5000.00"})
    money.credit("MILES", "5000")
    with money.unchanged():
        refused = money.credit("MILES", "5001", 422)
    details = {"asset_id": money.asset("MILES"), "max_transaction_amount": "5000", "requested": "5001"}
    assert (refused["code"], refused["details"]) == ("max_transaction_amount_exceeded", details)
    api.patch(path, {"max_transaction_amount": None})
    money.credit("MILES", "5001")
    assert money.balance("MILES") == "10001/0/0"


@pytest.mark.example("programs-assets.md", "assets 6")
def test_assets_06_a_new_symbol_shows_in_older_postings(api: Tenant) -> None:
    money = Money(api)
    entry = money.credit("USD", "1")["journal_entry_id"]
    assert api.patch(f"/v1/assets/{money.asset('USD')}", {"symbol": "STAR"})["symbol"] == "STAR"
    assert {row["asset_symbol"] for row in api.get(f"/v1/journal-entries/{entry}")["postings"]} == {"STAR"}
    [listed] = api.get("/v1/journal-entries")["data"]
    assert {row["asset_symbol"] for row in listed["postings"]} == {"STAR"}
    assert [row["symbol"] for row in rows(api, f"/v1/participants/{money.participant}/balances")] == ["STAR"]


@pytest.mark.example("programs-assets.md", "assets 7")
@pytest.mark.example("programs-assets.md", "assets 8")
def test_assets_07_08_archiving_is_final(api: Tenant) -> None:
    path = f"/v1/assets/{asset(api, program(api))['id']}"
    assert faults(api.patch(path, {"status": "ACTIVE"}, 400)) == [("status", "invalid")]
    archived = api.patch(path, {"status": "ARCHIVED"})
    assert archived["deleted_at"] is not None
    for change in ({"name": "x"}, {"status": "ARCHIVED"}):
        assert api.patch(path, change, 409)["code"] == "asset_archived"
    assert api.get(path) == archived == api.patch(path, {})
    assert [row["id"] for row in rows(api, "/v1/assets", status="ARCHIVED")] == [archived["id"]]
    refused = api.post(f"/v1/programs/{program(api)}/assets", {"asset_id": archived["id"]}, 409)
    assert refused["code"] == "asset_archived"


@pytest.mark.example("programs-assets.md", "assets 7")
def test_assets_07_an_archived_asset_still_shows_its_balances(api: Tenant) -> None:
    money = Money(api)
    money.credit("USD", "7.00")
    path = f"/v1/assets/{money.asset('USD')}"
    assert api.patch(path, {"status": "ARCHIVED"})["deleted_at"] is not None
    with money.unchanged():
        refused = money.credit("USD", "1", 409)
    assert (refused["code"], refused["details"]) == ("asset_archived", {"asset_id": money.asset("USD")})
    assert money.balance("USD") == "7.00/0.00/0.00"
    assert len(money.entries()) == 1


@pytest.mark.example("programs-assets.md", "assets 9")
def test_assets_09_expiry_notice(api: Tenant) -> None:
    program_id = program(api)
    lots = asset(api, program_id, inventory_mode="LOT", expiry_notice_days=30)
    assert lots["expiry_notice_days"] == 30
    path = f"/v1/assets/{lots['id']}"
    assert api.patch(path, {"expiry_notice_days": None})["expiry_notice_days"] is None
    for value, reason in ((0, "out_of_range"), (366, "out_of_range"), ("30", "invalid")):
        assert faults(api.patch(path, {"expiry_notice_days": value}, 400)) == [("expiry_notice_days", reason)]
        lot = POINTS | {"program_id": program_id, "symbol": "S", "inventory_mode": "LOT", "expiry_notice_days": value}
        assert faults(api.post("/v1/assets", lot, 400)) == [("expiry_notice_days", reason)]
    body = POINTS | {"program_id": program_id, "symbol": "S", "expiry_notice_days": 30}
    assert faults(api.post("/v1/assets", body, 400)) == [("expiry_notice_days", "not_allowed")]
    simple = asset(api, program_id)
    refused = api.patch(f"/v1/assets/{simple['id']}", {"expiry_notice_days": 30}, 400)
    assert faults(refused) == [("expiry_notice_days", "not_allowed")]
    assert [row["id"] for row in rows(api, "/v1/assets")] == [simple["id"], lots["id"]]


def test_missing_fields_come_in_the_order_of_the_table(api: Tenant) -> None:
    found = faults(api.post("/v1/assets", {"scale": "x", "zzz": 1, "name": ""}, 400))
    assert found == [
        ("program_id", "required"),
        ("symbol", "required"),
        ("inventory_mode", "required"),
        ("issuance_policy", "required"),
        ("scale", "invalid"),
        ("zzz", "unknown_field"),
        ("name", "required"),
    ]


def test_null_equals_leaving_out_on_create(api: Tenant) -> None:
    made = asset(api, program(api), max_transaction_amount=None, expiry_notice_days=None)
    assert (made["max_transaction_amount"], made["expiry_notice_days"]) == (None, None)


def test_strict_handling_refuses_more_decimals(api: Tenant) -> None:
    made = asset(api, program(api), scale=2)
    answer = api.http.patch(
        f"/v1/assets/{made['id']}", json={"max_transaction_amount": "1.001"}, headers={"Prefer": "respond-async, Handling=strict"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_scale")
    assert answer.json()["details"] == {
        "field": "max_transaction_amount",
        "asset_id": made["id"],
        "scale": 2,
        "received": "1.001",
    }
    assert api.patch(f"/v1/assets/{made['id']}", {"max_transaction_amount": "1.005"})["max_transaction_amount"] == "1.01"


def test_prefunded_assets_get_an_empty_wallet_in_each_program(api: Tenant, database: Database) -> None:
    first, second = program(api), program(api)
    made = asset(api, first, issuance_policy="PREFUNDED")["id"]
    api.post(f"/v1/programs/{second}/assets", {"asset_id": made}, 201)
    count = "SELECT count(*), sum(available) FROM wallets WHERE asset_id = %s"
    with database.connection() as connection:
        assert connection.execute(count, (made,)).fetchone() == (2, 0)
    api.call("DELETE", f"/v1/programs/{second}/assets/{made}", 204)
    with database.connection() as connection:
        assert connection.execute(count, (made,)).fetchone() == (1, 0)


def test_list_filters(api: Tenant) -> None:
    first, second = program(api), program(api)
    one = asset(api, first, symbol="ONE", name="Euro")["id"]
    two = asset(api, second, symbol="TWO", name="Miles")["id"]

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in rows(api, "/v1/assets", **query)]

    assert ids() == [two, one]
    assert ids(program_id=first) == [one]
    assert ids(search="wo") == [two]
    assert ids(search="eUR") == [one]
    assert ids(status="ARCHIVED") == []


def test_another_tenant_sees_nothing(api: Tenant, stranger: Tenant) -> None:
    program_id = program(api)
    asset_id = asset(api, program_id, symbol="PTS")["id"]
    assert stranger.get(f"/v1/assets/{asset_id}", 404)["details"] == {"resource": "asset", "id": asset_id}
    stranger.patch(f"/v1/assets/{asset_id}", {"name": "mine"}, 404)
    refused = stranger.post("/v1/assets", POINTS | {"program_id": program_id, "symbol": "X"}, 404)
    assert refused["details"] == {"resource": "program", "id": program_id, "field": "program_id"}
    unknown = {"resource": "program", "id": program_id, "field": "program_id"}
    assert stranger.get("/v1/assets", 404, program_id=program_id)["details"] == unknown
    asset(stranger, program(stranger), symbol="PTS")
