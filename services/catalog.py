"""Redemptions of catalog items: what they cost, whether they may be had, and the stock (redemptions-rewards.md 2.3, 3.3).

The reward is locked after all holders; its lock guards its stock and everybody's units of it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from db.repositories import rewards as repository
from db.repositories.redemptions import RedemptionRow
from db.session import Connection
from domain.errors import InvalidScale, not_found
from domain.money import format_plain, has_more_decimals, to_scale
from domain.rewards import FulfillmentType, RedemptionType, Reward, give_back, price, require_available, take
from services.redemptions import Priced, Stock


@dataclass(frozen=True, slots=True)
class CatalogOrder:
    """What a participant wants of a program's catalog; its form is checked. `quantity` or `amount`, as the reward's type asks."""

    organization_id: UUID
    program_id: UUID
    reward_id: UUID
    quantity: int | None = None
    amount: Decimal | None = None
    description: str | None = None

    def price(self, reward: Reward | None, *, is_strict: bool) -> Priced:
        """What it costs. NotFound; BadRequest for what doesn't go with the reward's type or is too little; InvalidScale."""
        return self._priced(self._known(reward), is_strict=is_strict)

    def admit(self, stock: Stock, priced: Priced) -> None:
        """Refuse what may not be had now: OutOfStock, RewardUnavailable, ParticipantLimitReached."""
        require_available(self._known(stock.reward), stock.owned, priced.quantity, stock.now)

    def lock(self, conn: Connection, participant_id: UUID) -> Stock:
        """The stock, locked, at a moment after whoever had the lock before."""
        return Stock(*repository.lock_stock(conn, self.organization_id, self.program_id, self.reward_id, participant_id))

    def count(self, conn: Connection, stock: Stock, made: RedemptionRow) -> Reward:
        """Take the units of a redemption that was made from the locked stock; the reward as it is then."""
        reward = self._known(stock.reward)
        if made.quantity is None:
            return reward
        taken = take(reward, stock.owned, made.quantity, made.created_at)
        repository.save_stock(conn, taken, made.participant_id, stock.owned + made.quantity)
        return taken

    def _known(self, reward: Reward | None) -> Reward:
        if reward is None:
            raise not_found("reward", self.reward_id, "reward_id")
        return reward

    def _priced(self, reward: Reward, *, is_strict: bool) -> Priced:
        cost = price(reward, self.quantity, self._amount_at_scale(reward, is_strict=is_strict))
        kind = reward.fulfillment.type
        return Priced(
            reward.asset_id,
            cost.amount,
            self.description or f"Redeemed: {reward.name}",
            reward_id=reward.id,
            unit_cost=reward.unit_cost,
            quantity=cost.quantity,
            fulfillment_type=None if kind is FulfillmentType.NONE else kind,
            fulfillment_timeout=reward.fulfillment.length,
        )

    def _amount_at_scale(self, reward: Reward, *, is_strict: bool) -> Decimal | None:
        if self.amount is None:
            return None
        is_rounded = has_more_decimals(self.amount, reward.scale) and reward.redemption_type is RedemptionType.AMOUNT_BASED
        if is_strict and is_rounded:
            received = format_plain(self.amount)
            raise InvalidScale(field="amount", asset_id=str(reward.asset_id), scale=reward.scale, received=received)
        return to_scale(self.amount, reward.scale)


def return_units(conn: Connection, redemption: RedemptionRow, quantity: int | None, moment: datetime) -> None:
    """Give the units of a reversal back to the stock, whatever the reward's status; nothing for other redemptions."""
    if redemption.reward_id is None or quantity is None:
        return
    reward = repository.lock_reward(conn, redemption.organization_id, redemption.program_id, redemption.reward_id)
    assert reward is not None, "rewards aren't deleted"
    owned = repository.units_of(conn, reward.id, redemption.participant_id)
    repository.save_stock(conn, give_back(reward, quantity, moment), redemption.participant_id, owned - quantity)
