"""Rewards: stock, status and limits under any order of redemptions, reversals and changes (redemptions-rewards.md 1.2, 2.3)."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.errors import BadRequest, DomainError, OutOfStock, ParticipantLimitReached, RewardUnavailable
from domain.rewards import (
    Fulfillment,
    FulfillmentType,
    RedemptionType,
    Reward,
    RewardStatus,
    change,
    fulfillment_of,
    give_back,
    limit_faults,
    price,
    take,
    window_faults,
)

NOW = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACTIVE, OUT_OF_STOCK = RewardStatus.ACTIVE, RewardStatus.OUT_OF_STOCK


def mug(**fields: Any) -> Reward:
    """MUG of the acceptance examples."""
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "program_id": UUID(int=2),
        "asset_id": UUID(int=3),
        "scale": 2,
        "name": "MUG",
        "redemption_type": RedemptionType.UNIT_BASED,
        "unit_cost": Decimal("12.50"),
        "status": ACTIVE,
        "created_at": NOW,
        "updated_at": NOW,
        "max_total": 3,
        "max_per_participant": 2,
    }
    return Reward(**values | fields)


def donation(**fields: Any) -> Reward:
    kind = {"redemption_type": RedemptionType.AMOUNT_BASED, "max_total": None, "max_per_participant": None}
    return mug(name="DONATION", unit_cost=Decimal("5.00"), **kind | fields)


def refusal(reward: Reward, owned: int, quantity: int | None, now: datetime = NOW) -> tuple[type[DomainError], dict[str, object]]:
    with pytest.raises(DomainError) as caught:
        take(reward, owned, quantity, now)
    return type(caught.value), caught.value.details


class Shop(RuleBasedStateMachine):
    """One reward, a few people, and everything that clients may do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.reward = mug()
        self.owned: Counter[str] = Counter()
        self.now = NOW
        self.hand_set = False

    @rule(who=st.sampled_from("abc"), quantity=st.integers(1, 4))
    def redeem(self, who: str, quantity: int) -> None:
        before = self.reward
        try:
            after = take(before, self.owned[who], quantity, self.now)
        except OutOfStock as refused:
            left = before.left
            assert before.status is OUT_OF_STOCK or (left is not None and quantity > left)
            assert refused.details["available"] == (0 if before.status is OUT_OF_STOCK else left)
        except RewardUnavailable:
            assert before.status in (RewardStatus.DRAFT, RewardStatus.ARCHIVED)
        except ParticipantLimitReached:
            assert before.max_per_participant is not None
            assert self.owned[who] + quantity > before.max_per_participant
        else:
            assert before.status is ACTIVE
            assert after.redeemed_count == before.redeemed_count + quantity
            assert after.max_total is None or after.redeemed_count <= after.max_total
            assert after.max_per_participant is None or self.owned[who] + quantity <= after.max_per_participant
            self.owned[who] += quantity
            self.reward = after

    @rule(who=st.sampled_from("abc"), quantity=st.integers(1, 4))
    def reverse(self, who: str, quantity: int) -> None:
        quantity = min(quantity, self.owned[who])
        if quantity:
            self.reward = give_back(self.reward, quantity, self.now)
            self.owned[who] -= quantity

    @rule(total=st.none() | st.integers(1, 8), limit=st.none() | st.integers(1, 4))
    def set_limits(self, total: int | None, limit: int | None) -> None:
        self.reward = change(self.reward, {"max_total": total, "max_per_participant": limit}, self.now)

    @rule(status=st.sampled_from(RewardStatus))
    def set_status(self, status: RewardStatus) -> None:
        self.reward = change(self.reward, {"status": status}, self.now)
        self.hand_set = status is OUT_OF_STOCK
        assert self.reward.status is (OUT_OF_STOCK if status is ACTIVE and self.reward.left == 0 else status)

    @rule()
    def touch(self) -> None:
        assert change(self.reward, {"name": self.reward.name}, self.now + HOUR) is self.reward

    @invariant()
    def units_add_up(self) -> None:
        assert self.reward.redeemed_count == sum(self.owned.values())

    @invariant()
    def status_fits_the_stock(self) -> None:
        reward = self.reward
        if reward.status is ACTIVE:
            assert reward.left is None or reward.left > 0
        if reward.status is OUT_OF_STOCK:
            assert reward.is_sold_out is not self.hand_set
        if reward.is_sold_out:
            assert reward.status is OUT_OF_STOCK
            assert reward.left == 0


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


class TestTake:
    def test_the_order_of_refusals(self) -> None:
        all_wrong = mug(status=RewardStatus.DRAFT, available_from=NOW + HOUR, redeemed_count=2)
        assert refusal(all_wrong, 2, 2) == (OutOfStock, {"reward_id": str(UUID(int=1)), "available": 1, "requested": 2})
        assert refusal(all_wrong, 2, 1) == (
            RewardUnavailable,
            {
                "reward_id": str(UUID(int=1)),
                "status": "DRAFT",
                "available_from": "2026-07-01T01:00:00.000000Z",
                "available_until": None,
            },
        )
        assert refusal(mug(redeemed_count=2), 2, 1) == (
            ParticipantLimitReached,
            {"reward_id": str(UUID(int=1)), "limit": 2, "redeemed": 2, "requested": 1},
        )

    def test_nothing_is_available_of_what_is_out_of_stock(self) -> None:
        sold_out = take(mug(redeemed_count=2), 0, 1, NOW)
        assert (sold_out.status, sold_out.redeemed_count, sold_out.is_sold_out) == (OUT_OF_STOCK, 3, True)
        assert refusal(sold_out, 0, 1)[1]["available"] == 0
        by_hand = change(mug(max_total=None), {"status": OUT_OF_STOCK}, NOW)
        assert refusal(by_hand, 0, 1)[1]["available"] == 0

    @pytest.mark.parametrize(
        ("start", "end", "is_open"),
        [
            (None, None, True),
            (0, None, True),
            (1, None, False),
            (None, 0, False),
            (None, 1, True),
            (-2, -1, False),
            (-1, 1, True),
        ],
    )
    def test_the_window(self, start: int | None, end: int | None, is_open: bool) -> None:
        bounds = [None if hours is None else NOW + hours * HOUR for hours in (start, end)]
        reward = mug(available_from=bounds[0], available_until=bounds[1])
        if is_open:
            assert take(reward, 0, 1, NOW).redeemed_count == 1
        else:
            assert refusal(reward, 0, 1)[0] is RewardUnavailable

    def test_amounts_leave_the_reward_as_it_is(self) -> None:
        reward = donation()
        assert take(reward, 0, None, NOW) is reward
        assert give_back(reward, None, NOW) is reward
        assert refusal(donation(status=OUT_OF_STOCK), 0, None) == (
            OutOfStock,
            {"reward_id": str(UUID(int=1)), "available": 0, "requested": None},
        )
        assert refusal(donation(available_until=NOW), 0, None)[0] is RewardUnavailable

    def test_updated_at_is_the_moment(self) -> None:
        taken = take(mug(), 0, 1, NOW + HOUR)
        assert taken.updated_at == NOW + HOUR
        assert give_back(taken, 1, NOW + 2 * HOUR).updated_at == NOW + 2 * HOUR

    def test_no_more_comes_back_than_was_taken(self) -> None:
        with pytest.raises(ValueError, match="more units"):
            give_back(mug(redeemed_count=1), 2, NOW)


class TestStatus:
    def test_back_in_stock_only_where_the_server_had_set_it(self) -> None:
        sold_out = take(mug(), 0, 2, NOW)
        sold_out = take(sold_out, 0, 1, NOW)
        assert give_back(sold_out, 1, NOW).status is ACTIVE
        assert change(sold_out, {"max_total": 4}, NOW).status is ACTIVE
        assert change(sold_out, {"max_total": None}, NOW).status is ACTIVE
        assert change(sold_out, {"max_total": 2}, NOW).status is OUT_OF_STOCK
        for by_hand in (change(mug(), {"status": OUT_OF_STOCK}, NOW), change(sold_out, {"status": OUT_OF_STOCK}, NOW)):
            assert change(by_hand, {"max_total": None}, NOW).status is OUT_OF_STOCK
        assert give_back(change(sold_out, {"status": OUT_OF_STOCK}, NOW), 1, NOW).status is OUT_OF_STOCK

    def test_status_and_stock_in_one_change(self) -> None:
        sold_out = change(mug(redeemed_count=2), {"max_total": 2}, NOW)
        assert (sold_out.status, sold_out.is_sold_out) == (OUT_OF_STOCK, True)
        assert change(sold_out, {"max_total": 5, "status": ACTIVE}, NOW).status is ACTIVE
        assert change(sold_out, {"max_total": 5, "status": OUT_OF_STOCK}, NOW).status is OUT_OF_STOCK
        assert change(sold_out, {"max_total": 5, "status": RewardStatus.DRAFT}, NOW).status is RewardStatus.DRAFT
        assert change(sold_out, {"status": ACTIVE}, NOW + HOUR) == sold_out

    def test_true_is_not_1(self) -> None:
        marked = mug(metadata={"sale": Decimal(1)})
        changed = change(marked, {"metadata": {"sale": True}}, NOW + HOUR)
        assert (changed.metadata["sale"], changed.updated_at) == (True, NOW + HOUR)
        assert changed.metadata["sale"] is True
        assert change(marked, {"metadata": {"sale": 1}}, NOW + HOUR) is marked

    def test_archived_and_drafts_keep_their_status(self) -> None:
        for status in (RewardStatus.DRAFT, RewardStatus.ARCHIVED):
            reward = mug(status=status, redeemed_count=3)
            assert give_back(reward, 1, NOW).status is status
            assert change(reward, {"max_total": 1}, NOW).status is status


class TestPrice:
    @given(st.integers(1, 10**6), st.decimals("0.01", "99999999999999999999.99", places=2))
    def test_units(self, quantity: int, cost: Decimal) -> None:
        found = price(mug(unit_cost=cost), quantity, None)
        assert (found.quantity, found.amount) == (quantity, sum_of(cost, quantity))

    def test_one_unit_unless_said_otherwise(self) -> None:
        assert price(mug(), None, None).quantity == 1

    def test_amounts(self) -> None:
        found = price(donation(), None, Decimal("7.25"))
        assert (found.quantity, found.amount) == (None, Decimal("7.25"))
        assert price(donation(), None, Decimal("5.00")).amount == Decimal(5)

    @pytest.mark.parametrize(
        ("reward", "quantity", "amount", "faults"),
        [
            (mug(), 1, Decimal(5), [("amount", "not_allowed")]),
            (donation(), None, None, [("amount", "required")]),
            (donation(), None, Decimal("4.99"), [("amount", "out_of_range")]),
            (donation(), 1, Decimal(5), [("quantity", "not_allowed")]),
            (donation(), 1, None, [("amount", "required"), ("quantity", "not_allowed")]),
        ],
    )
    def test_what_does_not_go_with_the_type(
        self, reward: Reward, quantity: int | None, amount: Decimal | None, faults: list[tuple[str, str]]
    ) -> None:
        with pytest.raises(BadRequest) as caught:
            price(reward, quantity, amount)
        assert [(fault.field, fault.reason) for fault in caught.value.faults] == faults


def sum_of(cost: Decimal, quantity: int) -> Decimal:
    """By whole cents, without Decimal's own precision."""
    cents = int(str(cost).replace(".", "")) * quantity
    return Decimal(f"{cents // 100}.{cents % 100:02}")


class TestDefinition:
    def test_limits(self) -> None:
        sent = {"max_total": 10, "max_per_participant": None}
        assert [fault.field for fault in limit_faults(RedemptionType.AMOUNT_BASED, sent)] == ["max_total"]
        assert [fault.field for fault in limit_faults("AMOUNT_BASED", {"max_total": 1, "max_per_participant": [2]})] == [
            "max_total",
            "max_per_participant",
        ]
        assert list(limit_faults(RedemptionType.UNIT_BASED, sent)) == []

    def test_windows(self) -> None:
        assert list(window_faults(NOW, NOW + HOUR, {"available_until"})) == []
        assert list(window_faults(None, NOW, {"available_until"})) == []
        for end in (NOW, NOW - HOUR):
            [fault] = window_faults(NOW, end, {"available_from", "available_until"})
            assert (fault.field, fault.reason) == ("available_until", "out_of_range")
        assert [fault.field for fault in window_faults(NOW, NOW, {"available_from"})] == ["available_from"]

    def test_timeouts(self) -> None:
        assert Fulfillment().length is None
        assert fulfillment_of(FulfillmentType.MANUAL, None, None).length is None
        assert fulfillment_of(FulfillmentType.WEBHOOK, "https://example.com", None).length == timedelta(hours=72)
        assert fulfillment_of(FulfillmentType.WEBHOOK, "https://example.com", "90s").length == timedelta(seconds=90)

    def test_the_snapshot_prints_amounts_and_times(self) -> None:
        shown = replace(mug(), unit_cost=Decimal("12.5"), available_from=NOW).snapshot()
        assert (shown["unit_cost"], shown["available_from"]) == ("12.50", "2026-07-01T00:00:00.000000Z")
        assert "fulfillment" not in shown
