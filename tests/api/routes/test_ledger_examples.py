"""ledger.md, Acceptance examples, over HTTP. Time passes by the clock of the database, which the tests move."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.routes.money import Money, lot_shape, shape
from tests.support.client import Tenant
from tests.support.clock import Clock


@pytest.fixture
def money(timed: Tenant) -> Money:
    return Money(timed)


@pytest.mark.example("ledger.md", 1)
def test_ledger_md_01_rounding(money: Money) -> None:
    done = money.credit("USD", "1.009")
    assert (done["amount"], shape(done)) == ("1.01", "1.01/0.00/0.00")
    assert money.postings(done["journal_entry_id"]) == [
        ("SYSTEM_ISSUANCE", "AVAILABLE", "-1.01"),
        ("PARTICIPANT", "AVAILABLE", "1.01"),
    ]
    with money.unchanged():
        refused = money.credit("USD", "1.009", 400, headers={"Prefer": "handling=strict"})
    expected = {"field": "amount", "asset_id": money.asset("USD"), "scale": 2, "received": "1.009"}
    assert (refused["code"], refused["details"]) == ("invalid_scale", expected)
    assert money.balance("USD") == "1.01/0.00/0.00"


@pytest.mark.example("ledger.md", 2)
def test_ledger_md_02_fifo(money: Money) -> None:
    money.credit("MILES", "100")
    money.credit("MILES", "50")
    assert shape(money.debit("MILES", "120")) == money.balance("MILES") == "30/0/0"
    assert [lot_shape(lot) for lot in money.lots("MILES")] == [("100", "0", "CONSUMED"), ("50", "30", "AVAILABLE")]


@pytest.mark.example("ledger.md", 3)
def test_ledger_md_03_split(money: Money) -> None:
    money.credit("MILES", "100")
    held = money.hold("MILES", "40", reference_id="auth-1")
    assert shape(held) == "60/40/0"
    first, second = money.lots("MILES")
    assert (lot_shape(first), lot_shape(second)) == (("60", "60", "AVAILABLE"), ("40", "40", "HELD"))
    assert second["parent_lot_id"] == first["id"]
    assert held["lots_processed"] == [{"id": second["id"], "amount": "40"}]
    assert shape(money.release("MILES", reference_id="auth-1")) == "100/0/0"
    lots = money.lots("MILES")
    assert [lot["status"] for lot in lots] == ["AVAILABLE", "AVAILABLE"]
    assert lots[0]["created_at"] == lots[1]["created_at"]


def test_a_later_hold_overwrites_the_reference_of_a_lot(money: Money) -> None:
    money.credit("MILES", "10", bucket="HELD", reference_id="a")

    def reference() -> str | None:
        [lot] = money.lots("MILES")
        return lot["reference_id"]

    money.release("MILES", reference_id="a")
    assert reference() == "a", "the last one it was held under"
    money.hold("MILES", reference_id="b")
    assert reference() == "b"
    money.release("MILES")
    money.hold("MILES")
    assert reference() is None


@pytest.mark.example("ledger.md", 4)
def test_ledger_md_04_settle_down(money: Money) -> None:
    assert shape(money.credit("MILES", "50", bucket="HELD", reference_id="a-9")) == "0/50/0"
    settled = money.credit("MILES", "42", reference_id="a-9")
    assert shape(settled) == "42/0/0"
    assert settled["settle"] == {"held_amount": "50", "delta": "-8"}
    assert money.postings(settled["journal_entry_id"]) == [
        ("PARTICIPANT", "HELD", "-50"),
        ("PARTICIPANT", "AVAILABLE", "42"),
        ("SYSTEM_ISSUANCE", "AVAILABLE", "8"),
    ]
    third = money.credit("MILES", "5", reference_id="a-9")
    assert shape(third) == "47/0/0"
    assert "settle" not in third
    assert [entry["action_type"] for entry in money.entries()] == ["CREDIT", "SETTLE", "CREDIT"]


@pytest.mark.example("ledger.md", 5)
def test_ledger_md_05_settle_up_from_a_wallet(money: Money) -> None:
    money.wallet("fund", "PROMO", "100.00")
    money.credit("PROMO", "30.00", bucket="HELD", reference_id="b")
    assert money.in_wallet("PROMO") == "70.00"
    settled = money.credit("PROMO", "45.00", reference_id="b")
    assert money.postings(settled["journal_entry_id"]) == [
        ("PARTICIPANT", "HELD", "-30.00"),
        ("PARTICIPANT", "AVAILABLE", "45.00"),
        ("PROGRAM", "AVAILABLE", "-15.00"),
    ]
    assert money.in_wallet("PROMO") == "55.00"
    with money.unchanged():
        refused = money.credit("PROMO", "55.01", 422)
    details = {"asset_id": money.asset("PROMO"), "program_id": money.program, "available": "55.00", "requested": "55.01"}
    assert (refused["code"], refused["details"]) == ("insufficient_wallet", details)


@pytest.mark.example("ledger.md", 6)
def test_ledger_md_06_void(money: Money) -> None:
    money.wallet("fund", "PROMO", "100.00")
    money.credit("PROMO", "30.00", bucket="HELD", reference_id="c")
    money.credit("PROMO", "20.00")
    assert shape(money.hold("PROMO", "20.00", reference_id="c")) == "0.00/50.00/0.00"
    assert money.in_wallet("PROMO") == "50.00"
    voided = money.act("void-hold", "PROMO", reference_id="c")
    assert (voided["amount_processed"], shape(voided)) == ("30.00", "0.00/20.00/0.00")
    assert money.in_wallet("PROMO") == "80.00"
    assert [lot_shape(lot) for lot in money.lots("PROMO")] == [("30.00", "0.00", "CONSUMED"), ("20.00", "20.00", "HELD")]
    with money.unchanged():
        refused = money.act("void-hold", "PROMO", 422, reference_id="c")
    details = {"asset_id": money.asset("PROMO"), "bucket": "HELD", "available": "0.00", "requested": None}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)


@pytest.mark.example("ledger.md", 7)
def test_ledger_md_07_overdraft(money: Money) -> None:
    money.credit("MILES", "30")
    with money.unchanged():
        refused = money.debit("MILES", "50", 422)
    details = {"asset_id": money.asset("MILES"), "bucket": "AVAILABLE", "available": "30", "requested": "50"}
    assert (refused["code"], refused["details"]) == ("insufficient_balance", details)
    assert shape(money.debit("MILES", "50", allow_negative=True)) == "-20/0/0"
    assert [lot_shape(lot) for lot in money.lots("MILES")] == [("30", "0", "CONSUMED")]
    assert shape(money.credit("MILES", "15")) == "-5/0/0"
    assert lot_shape(money.lots("MILES")[1]) == ("15", "0", "CONSUMED")
    assert shape(money.credit("MILES", "70")) == "65/0/0"
    assert lot_shape(money.lots("MILES")[2]) == ("70", "65", "AVAILABLE")


@pytest.mark.example("ledger.md", 8)
def test_ledger_md_08_expiry(money: Money, clock: Clock) -> None:
    money.credit("MILES", "100", expires_at="2s")
    assert money.balance("MILES") == "100/0/0"
    clock.forward(3)
    assert money.balance("MILES") == "0/0/0"
    assert [lot_shape(lot) for lot in money.lots("MILES")] == [("100", "0", "EXPIRED")]
    [entry] = [entry for entry in money.entries() if entry["action_type"] == "EXPIRY"]
    assert (entry["description"], entry["created_by_api_key_id"]) == ("Lots expired", None)
    assert money.postings(entry["id"]) == [("PARTICIPANT", "AVAILABLE", "-100"), ("SYSTEM_BREAKAGE", "AVAILABLE", "100")]
    with money.unchanged():
        assert money.debit("MILES", "10", 422)["details"]["available"] == "0"


def test_due_entries_stay_when_the_request_that_meets_them_is_refused(money: Money, clock: Clock) -> None:
    money.credit("MILES", "100", expires_at="2s")
    clock.forward(3)
    assert money.debit("MILES", "10", 422)["details"]["available"] == "0"
    assert [entry["action_type"] for entry in money.entries()] == ["CREDIT", "EXPIRY"]


@pytest.mark.example("ledger.md", 9)
def test_ledger_md_09_expiry_while_held(money: Money, clock: Clock) -> None:
    money.credit("MILES", "100", expires_at="2s")
    money.hold("MILES")
    clock.forward(3)
    assert money.balance("MILES") == "0/100/0"
    released = money.release("MILES")
    assert (released["amount_processed"], shape(released)) == ("100", "0/0/0")
    assert [entry["action_type"] for entry in money.entries()] == ["CREDIT", "HOLD", "RELEASE", "EXPIRY"]
    assert [lot["status"] for lot in money.lots("MILES")] == ["EXPIRED"]


@pytest.mark.example("ledger.md", 10)
def test_ledger_md_10_maturity(money: Money, clock: Clock) -> None:
    credited = money.credit("MILES", "100", matures_at="2s")
    assert (credited["bucket"], shape(credited)) == ("DEFERRED", "0/0/100")
    with money.unchanged():
        refused = money.hold("MILES", "10", 422)
    assert (refused["code"], refused["details"]["available"]) == ("insufficient_balance", "0")
    clock.forward(3)
    assert money.balance("MILES") == "100/0/0"
    assert [entry["action_type"] for entry in money.entries()] == ["CREDIT", "MATURITY"]


@pytest.mark.example("ledger.md", 12)
def test_ledger_md_12_bad_input_and_retry(money: Money) -> None:
    money.credit("USD", "100")
    lot = "01890000-0000-7000-8000-0000000000d1"
    with money.unchanged():
        for bad in ({"amount": "0"}, {"amount": "-1"}, {"lot_ids": [lot]}):
            assert money.act("hold", "USD", 400, **bad)["code"] == "bad_request"
    with ThreadPoolExecutor(2) as pool:
        path = f"/v1/participants/{money.participant}/balances/adjust"
        body = {
            "program_id": money.program,
            "asset_id": money.asset("USD"),
            "type": "DEBIT",
            "amount": "80",
            "description": "race",
        }
        answers = list(pool.map(lambda _: money.api.http.post(path, json=body).status_code, range(2)))
    assert sorted(answers) == [200, 422]
    assert money.balance("USD") == "20.00/0.00/0.00"
    first = money.hold("USD", "10", idempotency_key="k")
    assert money.hold("USD", "10", idempotency_key="k")["journal_entry_id"] == first["journal_entry_id"]
    assert [entry["action_type"] for entry in money.entries()].count("HOLD") == 1


@pytest.mark.example("ledger.md", 13)
def test_ledger_md_13_hold_deadline(money: Money, clock: Clock) -> None:
    money.credit("MILES", "100")
    assert shape(money.hold("MILES", "40", expires_at="2s")) == "60/40/0"
    clock.forward(3)
    assert shape(money.debit("MILES", "100")) == "0/0/0"
    entries = money.entries()
    assert [entry["action_type"] for entry in entries] == ["CREDIT", "HOLD", "RELEASE", "DEBIT"]
    assert entries[2]["description"] == "Hold expired"
    times = [entry["created_at"] for entry in entries]
    assert times == sorted(set(times))


@pytest.mark.example("ledger.md", 13)
def test_ledger_md_13_deadline_of_a_lot_past_its_date(money: Money, clock: Clock) -> None:
    money.credit("MILES", "100", expires_at="2s")
    money.hold("MILES", expires_at="3s")
    clock.forward(5)
    assert money.balance("MILES") == "0/0/0"
    assert [entry["action_type"] for entry in money.entries()] == ["CREDIT", "HOLD", "RELEASE", "EXPIRY"]


@pytest.mark.example("ledger.md", 14)
def test_ledger_md_14_balance_out_of_range(money: Money) -> None:
    everything = "99999999999999999999.99"
    money.credit("USD", everything)
    with money.unchanged():
        refused = money.credit("USD", "0.01", 422)
    owner = {"entity_type": "PARTICIPANT", "entity_id": money.participant}
    assert refused["code"] == "balance_out_of_range"
    assert refused["details"] == {"asset_id": money.asset("USD"), "requested": "0.01", **owner}
    assert money.balance("USD") == f"{everything}/0.00/0.00"
    assert shape(money.hold("USD")) == f"0.00/{everything}/0.00"
    with money.unchanged():
        assert money.credit("USD", "0.01", 422) | {"request_id": ""} == refused | {"request_id": ""}
