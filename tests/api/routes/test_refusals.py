"""What operations on balances refuse, of participants and of groups: code, details, and that nothing was changed by it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.routes.money import Money, Team, lot_shape, shape
from tests.support.books import assert_books
from tests.support.client import Tenant
from tests.support.clock import Clock

FUTURE, FAR = "2990-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
LOT = str(UUID(int=7))
# What a refusal says: of a form fault field and reason, of too little value bucket, available and requested.
Said = tuple[str | None, ...]


def stocked(api: Tenant, kind: type[Money]) -> Money:
    """USD 30.00/20.00 (reference r), MILES 100/30 (20 moved under m, 10 provisional under p), PROMO 60.00/0 of a wallet of 100."""
    money = kind(api)
    money.credit("USD", "50")
    money.hold("USD", "20", reference_id="r")
    money.credit("MILES", "120")
    money.hold("MILES", "20", reference_id="m")
    money.credit("MILES", "10", bucket="HELD", reference_id="p")
    money.wallet("fund", "PROMO", "100")
    money.credit("PROMO", "60")
    return money


@pytest.fixture(params=[Money, Team])
def money(request: pytest.FixtureRequest, api: Tenant) -> Money:
    return stocked(api, request.param)


CASES: list[tuple[str, str, dict[str, Any], int, str, Said]] = [
    # form of the request, and what SIMPLE assets don't have
    ("hold", "USD", {"lot_ids": [LOT]}, 400, "bad_request", ("lot_ids", "not_allowed")),
    ("release", "USD", {"lot_ids": [LOT]}, 400, "bad_request", ("lot_ids", "not_allowed")),
    ("forfeit", "USD", {"lot_ids": [LOT], "bucket": "HELD"}, 400, "bad_request", ("lot_ids", "not_allowed")),
    ("hold", "USD", {"earned_from": FUTURE}, 400, "bad_request", ("earned_from", "not_allowed")),
    ("release", "USD", {"earned_to": FUTURE}, 400, "bad_request", ("earned_to", "not_allowed")),
    ("hold", "MILES", {"earned_from": FAR, "earned_to": FUTURE}, 400, "bad_request", ("earned_to", "invalid")),
    ("hold", "MILES", {"lot_ids": []}, 400, "bad_request", ("lot_ids", "too_short")),
    ("hold", "MILES", {"lot_ids": [LOT] * 2}, 400, "bad_request", ("lot_ids[1]", "duplicate")),
    ("hold", "MILES", {"lot_ids": [str(UUID(int=n)) for n in range(101)]}, 400, "bad_request", ("lot_ids", "too_long")),
    ("hold", "USD", {"expires_at": "999ms"}, 400, "bad_request", ("expires_at", "out_of_range")),
    ("hold", "USD", {"expires_at": "2020-01-01T00:00:00Z"}, 400, "bad_request", ("expires_at", "out_of_range")),
    ("release", "USD", {"expires_at": "1h"}, 400, "bad_request", ("expires_at", "unknown_field")),
    ("hold", "USD", {"reference_id": "a b"}, 400, "bad_request", ("reference_id", "invalid")),
    ("forfeit", "USD", {"bucket": "DEFERRED"}, 400, "bad_request", ("bucket", "invalid")),
    ("forfeit", "MILES", {"bucket": "AVAILABLE", "reference_id": "m"}, 400, "bad_request", ("reference_id", "not_allowed")),
    ("debit", "USD", {"amount": "1", "bucket": "HELD", "allow_negative": True}, 400, "bad_request", ("allow_negative", "not_allowed")),
    ("debit", "MILES", {"amount": "1", "expires_at": "1h"}, 400, "bad_request", ("expires_at", "not_allowed")),
    ("credit", "USD", {"amount": "1", "matures_at": "1h"}, 400, "bad_request", ("matures_at", "not_allowed")),
    # amounts
    ("hold", "USD", {"amount": "0"}, 400, "bad_request", ("amount", "out_of_range")),
    ("release", "USD", {"amount": "-1"}, 400, "bad_request", ("amount", "invalid")),
    ("credit", "USD", {"amount": "0.0049"}, 400, "bad_request", ("amount", "out_of_range")),
    ("debit", "USD", {"amount": "0.0049"}, 400, "bad_request", ("amount", "out_of_range")),
    ("hold", "MILES", {"amount": "0.4"}, 400, "bad_request", ("amount", "out_of_range")),
    ("release", "MILES", {"amount": "0.4"}, 400, "bad_request", ("amount", "out_of_range")),
    ("forfeit", "MILES", {"amount": "0.4", "bucket": "HELD"}, 400, "bad_request", ("amount", "out_of_range")),
    # more than there is
    ("debit", "USD", {"amount": "30.01"}, 422, "insufficient_balance", ("AVAILABLE", "30.00", "30.01")),
    ("debit", "USD", {"amount": "20.01", "bucket": "HELD"}, 422, "insufficient_balance", ("HELD", "20.00", "20.01")),
    ("hold", "USD", {"amount": "30.005"}, 422, "insufficient_balance", ("AVAILABLE", "30.00", "30.01")),
    ("hold", "MILES", {"amount": "101"}, 422, "insufficient_balance", ("AVAILABLE", "100", "101")),
    ("forfeit", "USD", {"amount": "30.01", "bucket": "AVAILABLE"}, 422, "insufficient_balance", ("AVAILABLE", "30.00", "30.01")),
    ("forfeit", "MILES", {"amount": "31", "bucket": "HELD"}, 422, "insufficient_balance", ("HELD", "30", "31")),
    ("forfeit", "MILES", {"amount": "21", "bucket": "HELD", "reference_id": "m"}, 422, "insufficient_balance", ("HELD", "20", "21")),
    ("release", "USD", {"amount": "20.01"}, 422, "insufficient_balance", ("HELD", "20.00", "20.01")),
    ("credit", "PROMO", {"amount": "40.01"}, 422, "insufficient_wallet", (None, "40.00", "40.01")),
    # nothing to take
    ("release", "USD", {"reference_id": "none"}, 422, "insufficient_balance", ("HELD", "0.00", None)),
    ("release", "USD", {"reference_id": "none", "amount": "1"}, 422, "insufficient_balance", ("HELD", "0.00", "1.00")),
    ("release", "PROMO", {}, 422, "insufficient_balance", ("HELD", "0.00", None)),
    ("hold", "MILES", {"earned_from": FUTURE}, 422, "insufficient_balance", ("AVAILABLE", "0", None)),
    ("forfeit", "PROMO", {"bucket": "HELD"}, 422, "insufficient_balance", ("HELD", "0.00", None)),
]  # fmt: skip


def test_refusals(money: Money) -> None:
    with money.unchanged():
        for operation, symbol, body, status, code, said in CASES:
            adjusting = operation in ("credit", "debit")
            more = {"type": operation.upper()} if adjusting else {}
            refused = money.act("adjust" if adjusting else operation, symbol, status, **more, **body)
            details = refused["details"]
            names = ("field", "reason") if status == 400 else ("bucket", "available", "requested")
            found = (refused["code"], tuple(details.get(name) for name in names))
            assert found == (code, said), (operation, symbol, body)
            assert details.get("asset_id") == (None if status == 400 else money.asset(symbol))


OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    ("adjust", {"type": "CREDIT", "amount": "1.001"}),
    ("adjust", {"type": "DEBIT", "amount": "1.001"}),
    ("hold", {"amount": "1.001"}),
    ("release", {"amount": "1.001"}),
    ("forfeit", {"amount": "1.001", "bucket": "AVAILABLE"}),
]


def test_strict_handling_refuses_what_would_be_rounded(money: Money) -> None:
    strict = {"Prefer": "handling=strict"}
    expected = {"field": "amount", "asset_id": money.asset("USD"), "scale": 2, "received": "1.001"}
    with money.unchanged():
        for operation, body in OPERATIONS:
            refused = money.act(operation, "USD", 400, headers=strict, **body)
            assert (refused["code"], refused["details"]) == ("invalid_scale", expected), operation
    for operation, body in OPERATIONS:
        money.act(operation, "USD", headers=strict, **body | {"amount": "1.0000"})


@pytest.mark.parametrize("operation", ["fund", "burn"])
def test_wallets_refuse_too(api: Tenant, operation: str) -> None:
    money = stocked(api, Money)
    path = f"/v1/programs/{money.program}/assets/{money.asset('PROMO')}/{operation}"
    with money.unchanged():
        for amount, reason in (("0.0049", "out_of_range"), ("-1", "invalid"), (1, "invalid")):
            assert money.wallet(operation, "PROMO", amount, 400)["details"]["reason"] == reason
        refused = api.post(path, {"amount": "1.001"}, 400, headers={"Prefer": "handling=strict"})
        assert refused["code"] == "invalid_scale"
        assert money.wallet(operation, "USD", "1", 409)["details"] == {"reason": "unlimited_asset"}


def test_ids_that_are_not_there(money: Money) -> None:
    theirs = type(money)(money.api, program=money.program, assets=money.assets)
    foreign = theirs.credit("MILES", "1")["lot_id"]
    with money.unchanged():
        for operation, body in OPERATIONS:
            for field in ("program_id", "asset_id"):
                unknown = money.act(operation, "USD", 404, **body | {field: str(uuid4())})
                assert (unknown["code"], unknown["details"]["field"]) == ("not_found", field)
        for lot in (foreign, LOT):
            details = money.hold("MILES", status=404, lot_ids=[lot])["details"]
            assert details == {"resource": "lot", "id": lot, "field": "lot_ids[0]"}


def test_lots_of_another_bucket_match_nothing(money: Money) -> None:
    available, held, provisional = money.lots("MILES")
    with money.unchanged():
        for operation, lot, bucket in (("hold", held, "AVAILABLE"), ("release", available, "HELD")):
            refused = money.act(operation, "MILES", 422, lot_ids=[lot["id"]])
            assert (refused["details"]["bucket"], refused["details"]["available"]) == (bucket, "0")
    moved = money.act("release", "MILES", lot_ids=[available["id"], provisional["id"], held["id"]])
    assert [lot["id"] for lot in moved["lots_processed"]] == [held["id"], provisional["id"]]


def test_selection_by_the_time_a_lot_was_earned(money: Money) -> None:
    money.credit("MILES", "7")
    first, *_, last = money.lots("MILES")
    assert money.hold("MILES", earned_from=last["created_at"], earned_to=last["created_at"])["amount_processed"] == "7"
    held = money.act("release", "MILES", earned_to=first["created_at"])
    assert held["amount_processed"] == "20", "what was split off keeps its age"
    up_to = money.release("MILES", "1000")
    assert (up_to["amount_processed"], shape(up_to)) == ("17", "137/0/0")


class TestVoid:
    def test_what_hold_moved_is_never_voided(self, api: Tenant) -> None:
        money = stocked(api, Money)
        with money.unchanged():
            for reference in ("m", "none"):
                refused = money.act("void-hold", "MILES", 422, reference_id=reference)
                details = {"asset_id": money.asset("MILES"), "bucket": "HELD", "available": "0", "requested": None}
                assert (refused["code"], refused["details"]) == ("insufficient_balance", details)
        assert money.act("void-hold", "MILES", reference_id="p")["amount_processed"] == "10"

    def test_a_lot_released_and_held_again_is_the_holders_own(self, api: Tenant) -> None:
        money = stocked(api, Money)
        money.release("MILES", reference_id="p")
        lot = money.lots("MILES")[2]["id"]
        money.hold("MILES", reference_id="p", lot_ids=[lot])
        with money.unchanged():
            money.act("void-hold", "MILES", 422, reference_id="p")
        assert money.release("MILES", reference_id="p")["lots_processed"] == [{"id": lot, "amount": "10"}]

    @pytest.mark.parametrize("field", ["amount", "lot_ids", "earned_from", "earned_to"])
    def test_it_takes_no_selection(self, api: Tenant, field: str) -> None:
        money, value = stocked(api, Money), {"amount": "1", "lot_ids": [LOT]}.get(field, FUTURE)
        with money.unchanged():
            refused = money.act("void-hold", "MILES", 400, reference_id="p", **{field: value})
        assert (refused["details"]["field"], refused["details"]["reason"]) == (field, "not_allowed")

    def test_simple_assets_have_nothing_provisional(self, api: Tenant) -> None:
        money = stocked(api, Money)
        money.credit("USD", "5", bucket="HELD", reference_id="p")
        with money.unchanged():
            refused = money.act("void-hold", "USD", 400, reference_id="p")
        assert (refused["details"]["field"], refused["details"]["reason"]) == ("asset_id", "not_allowed")
        assert "settle" not in money.credit("USD", "5", reference_id="p")
        assert money.release("USD", reference_id="p")["amount_processed"] == "5.00"


@pytest.mark.parametrize("kind", [Money, Team])
def test_the_ceiling_is_for_credits_debits_and_settles(api: Tenant, kind: type[Money]) -> None:
    money = stocked(api, kind)
    for symbol in ("MILES", "PROMO"):
        api.patch(f"/v1/assets/{money.asset(symbol)}", {"max_transaction_amount": "9"})
    with money.unchanged():
        for more in ({"type": "CREDIT"}, {"type": "DEBIT"}, {"type": "CREDIT", "reference_id": "p"}):
            refused = money.act("adjust", "MILES", 422, amount="9.5", **more)
            details = {"asset_id": money.asset("MILES"), "max_transaction_amount": "9", "requested": "10"}
            assert (refused["code"], refused["details"]) == ("max_transaction_amount_exceeded", details)
    money.credit("MILES", "9.4")
    money.hold("MILES", "50")
    money.release("MILES", "50")
    money.act("forfeit", "MILES", bucket="AVAILABLE", amount="50")
    if kind is Money:
        money.act("void-hold", "MILES", reference_id="p")
    money.wallet("fund", "PROMO", "50")
    money.wallet("burn", "PROMO", "50")


def _archive_asset(money: Money, symbol: str) -> Said:
    money.api.patch(f"/v1/assets/{money.asset(symbol)}", {"status": "ARCHIVED"})
    return "asset_archived", "asset_id", money.asset(symbol)


def _archive_program(money: Money, _: str) -> Said:
    money.api.patch(f"/v1/programs/{money.program}", {"status": "ARCHIVED"})
    return "program_archived", "program_id", money.program


def _archive_group(money: Money, _: str) -> Said:
    assert isinstance(money, Team)
    money.api.call("DELETE", money.me, 200)
    return "group_archived", "group_id", money.group


@pytest.mark.parametrize(
    ("kind", "archive"),
    [
        (Money, _archive_asset),
        (Team, _archive_asset),
        (Money, _archive_program),
        (Team, _archive_program),
        (Team, _archive_group),
    ],
)
def test_archives_take_nothing(api: Tenant, kind: type[Money], archive: Callable[[Money, str], Said]) -> None:
    symbol = "MILES"
    money = stocked(api, kind)
    code, name, id_ = archive(money, symbol)
    bodies: list[tuple[str, dict[str, Any]]] = [(operation, body | {"amount": "1"}) for operation, body in OPERATIONS]
    if kind is Money:
        bodies.append(("void-hold", {"reference_id": "p"}))
    with money.unchanged():
        for operation, body in bodies:
            refused = money.act(operation, symbol, 409, **body)
            assert (refused["code"], refused["details"]) == (code, {name: id_})


def test_wallets_of_archives_take_nothing(api: Tenant) -> None:
    money = stocked(api, Money)
    for archive in (_archive_asset, _archive_program):
        code, name, id_ = archive(money, "PROMO")
        with money.unchanged():
            for operation in ("fund", "burn"):
                refused = money.wallet(operation, "PROMO", "1", 409)
                assert (refused["code"], refused["details"]) == (code, {name: id_})


@pytest.mark.parametrize("kind", [Money, Team])
def test_an_archived_asset_is_frozen(timed: Tenant, clock: Clock, kind: type[Money]) -> None:
    money = kind(timed)
    money.credit("MILES", "10", expires_at="2s")
    money.credit("MILES", "20", matures_at="2s")
    money.hold("MILES", "5", expires_at="2s")
    _archive_asset(money, "MILES")
    with money.unchanged():
        clock.forward(3)
        assert money.balance("MILES") == "5/5/20"
    assert [lot_shape(lot) for lot in money.lots("MILES")] == [
        ("5", "5", "AVAILABLE"),
        ("5", "5", "HELD"),
        ("20", "20", "DEFERRED"),
    ]
    assert_books(clock.database, timed.organization_id)
