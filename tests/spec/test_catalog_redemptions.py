"""redemptions-rewards.md 6.2: redeeming catalog items, over HTTP against the running product."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.client import Tenant
from tests.support.shop import DONATION, MUG, Shop
from tests.support.stack import Stack


@pytest.fixture
def shop(tenant: Tenant, stack: Stack) -> Iterator[Shop]:
    """ann: USD 100.00; whatever is done, the books hold."""
    made = Shop(tenant)
    made.credit("USD", "100.00")
    yield made
    made.require_sound(stack.database)


def refusal(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return body["code"], {name: value for name, value in body["details"].items() if name != "reward_id"}


@pytest.mark.example("redemptions-rewards.md", "6.2 1")
def test_6_2_01_units(shop: Shop) -> None:
    mug = shop.mug()
    made = shop.take(mug, 2)
    assert (made["amount"], made["quantity"], made["unit_cost"], made["reward_id"]) == ("25.00", 2, "12.50", mug)
    assert (made["description"], made["reversed_quantity"], made["fulfillment_status"]) == ("Redeemed: MUG", 0, None)
    assert shop.stock(mug) == (2, "ACTIVE")
    assert shop.available() == "75.00"
    assert shop.found(made) == made
    assert shop.postings(made["journal_entry_id"])[0] == ("PARTICIPANT", "AVAILABLE", "-25.00")
    refused = shop.take(mug, 1, 422)
    assert refusal(refused) == ("participant_limit_reached", {"limit": 2, "redeemed": 2, "requested": 1})
    assert refused["details"]["reward_id"] == mug
    assert shop.stock(mug) == (2, "ACTIVE")


@pytest.mark.example("redemptions-rewards.md", "6.2 2")
def test_6_2_02_stock(shop: Shop) -> None:
    mug, bob, cid = shop.mug(), shop.rich(), shop.rich()
    shop.take(mug, 2)
    assert refusal(shop.take(mug, 2, 422, bob)) == ("out_of_stock", {"available": 1, "requested": 2})
    shop.take(mug, who=bob)
    assert shop.stock(mug) == (3, "OUT_OF_STOCK")
    assert refusal(shop.take(mug, 1, 422, cid)) == ("out_of_stock", {"available": 0, "requested": 1})


@pytest.mark.example("redemptions-rewards.md", "6.2 3")
def test_6_2_03_units_come_back(shop: Shop) -> None:
    mug = shop.mug()
    made = shop.take(mug, 2)
    shop.take(mug, 1, who=shop.rich())
    assert shop.stock(mug) == (3, "OUT_OF_STOCK")
    back = shop.send_back(made, 1)
    assert (back["amount"], back["quantity"]) == ("12.50", 1)
    assert shop.stock(mug) == (2, "ACTIVE")
    found = shop.found(made)
    assert (found["status"], found["reversed_quantity"], found["reversed_amount"]) == ("PARTIALLY_REVERSED", 1, "12.50")
    shop.take(mug, 1)
    assert shop.take(mug, 1, 422)["code"] == "out_of_stock"


@pytest.mark.example("redemptions-rewards.md", "6.2 4")
def test_6_2_04_the_price_is_captured(shop: Shop) -> None:
    mug = shop.mug()
    made = shop.take(mug, 2)
    shop.change(mug, unit_cost="15.00")
    assert shop.send_back(made, 1)["amount"] == "12.50"
    assert shop.take(mug)["amount"] == "15.00"


@pytest.mark.example("redemptions-rewards.md", "6.2 5")
def test_6_2_05_bad_reversals(shop: Shop) -> None:
    made = shop.take(shop.mug(), 2)
    refused = shop.reverse(made, "12.50", 400)["details"]
    assert (refused["field"], refused["reason"]) == ("amount", "not_allowed")
    assert shop.send_back(made, 0, 400)["details"]["field"] == "quantity"
    refused = shop.send_back(made, 5, 422)
    assert refused["code"] == "reversal_exceeds_remaining"
    assert refused["details"] == {"redemption_id": made["id"], "remaining": 2, "requested": 5}
    assert shop.send_back(made, 1_000_001, 422)["details"]["requested"] == 1_000_001
    assert shop.available() == "75.00"


@pytest.mark.example("redemptions-rewards.md", "6.2 6")
def test_6_2_06_by_amount(shop: Shop) -> None:
    gift = shop.reward(DONATION)["id"]
    made = shop.take(gift, amount="7.25")
    assert (made["amount"], made["quantity"], made["unit_cost"]) == ("7.25", None, "5.00")
    expected = [
        (shop.take(gift, status=400, amount="4.99"), ("amount", "out_of_range")),
        (shop.take(gift, 1, 400, amount="7.25"), ("quantity", "not_allowed")),
        (shop.take(gift, status=400), ("amount", "required")),
        (shop.take(shop.mug(), 1, 400, amount="12.50"), ("amount", "not_allowed")),
    ]
    for refused, fault in expected:
        assert (refused["details"]["field"], refused["details"]["reason"]) == fault
    assert shop.available() == "92.75"
    assert shop.reverse(made, "2.25")["quantity"] is None
    assert shop.stock(gift) == (0, "ACTIVE")


@pytest.mark.example("redemptions-rewards.md", "6.2 7")
def test_6_2_07_not_to_be_had(shop: Shop) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    draft = shop.reward(MUG, status="DRAFT", name="DRAFT")["id"]
    later = shop.reward(MUG, name="LATER", available_from=tomorrow)["id"]
    refused = shop.take(draft, 1, 422)
    assert (refused["code"], refused["details"]["status"]) == ("reward_unavailable", "DRAFT")
    refused = shop.take(later, 1, 422)
    assert (refused["code"], refused["details"]["status"]) == ("reward_unavailable", "ACTIVE")
    assert refused["details"]["available_from"].startswith(tomorrow[:-1])
    assert shop.available() == "100.00"


@pytest.mark.example("redemptions-rewards.md", "6.2 8")
def test_6_2_08_stock_is_changed(shop: Shop) -> None:
    mug = shop.mug()
    shop.take(mug, 2)
    assert shop.change(mug, max_total=2)["status"] == "OUT_OF_STOCK"
    assert shop.change(mug, max_total=None)["status"] == "ACTIVE"


@pytest.mark.example("redemptions-rewards.md", "6.2 9")
def test_6_2_09_retry(shop: Shop) -> None:
    mug = shop.mug()
    first, again = (shop.try_to_take(mug, quantity, idempotency_key="m-1") for quantity in (1, None))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert shop.stock(mug)[0] == 1
    assert shop.take(mug, 2, 409, idempotency_key="m-1")["code"] == "idempotency_conflict"
    assert shop.redeem("12.50", status=409, idempotency_key="m-1")["code"] == "idempotency_conflict"


@pytest.mark.example("redemptions-rewards.md", "6.2 10")
def test_6_2_10_twenty_at_once(shop: Shop) -> None:
    mug = shop.mug(max_per_participant=None)
    people = [shop.rich() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda who: shop.try_to_take(mug, who=who).status_code, people))
    assert (codes.count(201), codes.count(422)) == (3, 17)
    assert shop.stock(mug) == (3, "OUT_OF_STOCK")


class TestOrderOfChecks:
    """Stock, availability, participant limit, money."""

    def test_stock_comes_first(self, shop: Shop) -> None:
        mug = shop.mug(max_per_participant=1, max_total=1, available_until="2020-01-01T00:00:00Z", unit_cost="500.00")
        assert shop.take(mug, 2, 422)["code"] == "out_of_stock"

    def test_then_the_window(self, shop: Shop) -> None:
        mug = shop.mug(max_per_participant=1, available_until="2020-01-01T00:00:00Z", unit_cost="500.00")
        assert shop.take(mug, 2, 422)["code"] == "reward_unavailable"

    def test_then_the_limit(self, shop: Shop) -> None:
        assert shop.take(shop.mug(max_per_participant=1, unit_cost="500.00"), 2, 422)["code"] == "participant_limit_reached"

    def test_money_at_last(self, shop: Shop) -> None:
        mug = shop.mug(unit_cost="500.00")
        refused = shop.take(mug, 1, 422)
        assert (refused["code"], refused["details"]["requested"]) == ("insufficient_balance", "500.00")
        assert shop.stock(mug) == (0, "ACTIVE")

    def test_states_before_stock(self, shop: Shop) -> None:
        mug = shop.mug(max_total=1)
        shop.api.patch(f"/v1/participants/{shop.participant}/status", {"status": "SUSPENDED"})
        assert shop.take(mug, 2, 409)["code"] == "participant_inactive"

    def test_unknown_rewards(self, shop: Shop) -> None:
        other = Shop(shop.api)
        assert other.take(shop.mug(), 1, 404)["details"]["field"] == "reward_id"


class TestAmounts:
    def test_strict_clients_are_told_of_rounding(self, shop: Shop) -> None:
        gift = shop.reward(DONATION)["id"]
        path, body = shop.request(gift, amount="7.255")
        refused = shop.api.http.post(path, json=body, headers={"Prefer": "handling=strict"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_scale")
        assert shop.take(gift, amount="7.255")["amount"] == "7.26"

    def test_a_description_of_its_own(self, shop: Shop) -> None:
        made = shop.take(shop.mug(), description="For the desk")
        assert made["description"] == "For the desk"
        [entry] = [entry for entry in shop.entries() if entry["id"] == made["journal_entry_id"]]
        assert (entry["action_type"], entry["description"]) == ("REDEMPTION", "For the desk")

    def test_lists_know_the_reward(self, shop: Shop) -> None:
        mug = shop.mug()
        made = shop.take(mug)
        shop.redeem("1.00")
        assert shop.api.get(shop.path(), reward_catalog_item_id=mug)["data"] == [made]
