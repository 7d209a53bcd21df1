"""The rewards catalog: what a reward is, what its status follows from, and what may be taken (redemptions-rewards.md 1, 2.3)."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from domain.durations import parse_duration
from domain.errors import BadRequest, Fault, OutOfStock, ParticipantLimitReached, RewardUnavailable
from domain.event_data import is_same_json
from domain.money import CONTEXT, format_amount, format_plain
from domain.timestamps import format_timestamp

LIMITS = ("max_total", "max_per_participant")
DEFAULT_WEBHOOK_TIMEOUT = "72h"


class RewardStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    ARCHIVED = "ARCHIVED"


class RedemptionType(StrEnum):
    UNIT_BASED = "UNIT_BASED"
    AMOUNT_BASED = "AMOUNT_BASED"


class FulfillmentType(StrEnum):
    NONE = "none"
    MANUAL = "manual"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Fulfillment:
    """How a reward's redemptions are handed over; `timeout` is a duration as it was written, None waits without end."""

    type: FulfillmentType = FulfillmentType.NONE
    url: str | None = None
    timeout: str | None = None

    @property
    def length(self) -> timedelta | None:
        """How long a redemption waits for its outcome."""
        return None if self.timeout is None else parse_duration(self.timeout)

    def as_dict(self) -> dict[str, object]:
        """The setting as answers show it, without the secret."""
        return {"type": self.type, "url": self.url, "timeout": self.timeout}


NO_FULFILLMENT = Fulfillment()


def fulfillment_of(type_: FulfillmentType, url: str | None, timeout: str | None) -> Fulfillment:
    """A setting as it was asked for, with the default timeout of a webhook."""
    if type_ is FulfillmentType.WEBHOOK and timeout is None:
        timeout = DEFAULT_WEBHOOK_TIMEOUT
    return Fulfillment(type_, url, timeout)


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward as it is now. `scale` is its asset's.

    `is_sold_out` tells an OUT_OF_STOCK that the server set, and ends by itself, from one that a client set by hand.
    """

    id: UUID
    program_id: UUID
    asset_id: UUID
    scale: int
    name: str
    redemption_type: RedemptionType
    unit_cost: Decimal
    status: RewardStatus
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    category: str | None = None
    max_total: int | None = None
    max_per_participant: int | None = None
    redeemed_count: int = 0
    is_sold_out: bool = False
    available_from: datetime | None = None
    available_until: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    fulfillment: Fulfillment = NO_FULFILLMENT

    @property
    def left(self) -> int | None:
        """The units that `max_total` leaves; None without one."""
        return None if self.max_total is None else max(0, self.max_total - self.redeemed_count)

    def is_open_at(self, now: datetime) -> bool:
        """Whether a moment is in the window: from inclusive, until exclusive."""
        has_begun = self.available_from is None or self.available_from <= now
        return has_begun and (self.available_until is None or now < self.available_until)

    def snapshot(self) -> dict[str, object]:
        """The reward as JSON shows it, without `fulfillment`."""
        return {
            "id": str(self.id),
            "program_id": str(self.program_id),
            "asset_id": str(self.asset_id),
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "redemption_type": self.redemption_type,
            "unit_cost": format_amount(self.unit_cost, self.scale),
            "max_total": self.max_total,
            "max_per_participant": self.max_per_participant,
            "redeemed_count": self.redeemed_count,
            "status": self.status,
            "available_from": _time(self.available_from),
            "available_until": _time(self.available_until),
            "metadata": self.metadata,
            "created_at": _time(self.created_at),
            "updated_at": _time(self.updated_at),
        }


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked for, and what it costs; `quantity` is None for AMOUNT_BASED."""

    quantity: int | None
    amount: Decimal


def limit_faults(redemption_type: object, sent: Mapping[str, object]) -> Iterator[Fault]:
    """Limits of units that an AMOUNT_BASED reward can't have; `sent` holds what was sent, values may be malformed."""
    if redemption_type != RedemptionType.AMOUNT_BASED:
        return
    for name in LIMITS:
        if sent.get(name) is not None:
            yield Fault(name, "not_allowed", "An AMOUNT_BASED reward has no units", None, str(sent[name])[:100])


def window_faults(start: datetime | None, end: datetime | None, sent: Collection[str]) -> Iterator[Fault]:
    """A window that ends before it begins, or as it begins; at the end if that was sent, at the beginning otherwise."""
    if start is None or end is None or start < end:
        return
    name, moment = ("available_until", end) if "available_until" in sent else ("available_from", start)
    yield Fault(name, "out_of_range", "available_until must be after available_from", "timestamp", _time(moment))


def settled(reward: Reward) -> Reward:
    """The status that the stock asks for: sold out, or back in stock where the server had set it."""
    is_exhausted = reward.left == 0
    if reward.status is RewardStatus.ACTIVE and is_exhausted:
        return replace(reward, status=RewardStatus.OUT_OF_STOCK, is_sold_out=True)
    if reward.is_sold_out and not is_exhausted:
        return replace(reward, status=RewardStatus.ACTIVE, is_sold_out=False)
    return reward


def change(reward: Reward, changes: Mapping[str, object], now: datetime) -> Reward:
    """The reward after a client's changes, which are its fields by name, their form checked.

    A status that is sent is the client's own, OUT_OF_STOCK too. What changes nothing leaves `updated_at` as it is.
    """
    values = dict(changes)
    if "status" in values:
        values["is_sold_out"] = False
    changed = settled(replace(reward, **values))  # type: ignore[arg-type] # the form check gave each field its type
    is_same = changed == reward and is_same_json(changed.metadata, reward.metadata)
    return reward if is_same else replace(changed, updated_at=now)


def price(reward: Reward, quantity: int | None, amount: Decimal | None) -> Price:
    """What a redemption asks for and costs; `amount` is at the asset's scale, `quantity` is 1 where it may be and isn't given.

    BadRequest with every field that doesn't go with the reward's type, or an amount below the minimum.
    """
    faults = list(_order_faults(reward, quantity, amount))
    if faults:
        raise BadRequest(faults)
    if amount is not None:
        return Price(None, amount)
    units = 1 if quantity is None else quantity
    return Price(units, CONTEXT.multiply(reward.unit_cost, Decimal(units)))


def _order_faults(reward: Reward, quantity: int | None, amount: Decimal | None) -> Iterator[Fault]:
    if reward.redemption_type is RedemptionType.UNIT_BASED:
        if amount is not None:
            yield Fault("amount", "not_allowed", "The reward is taken in units", None, format_plain(amount))
        return
    if amount is None:
        yield Fault("amount", "required", "The reward is taken by amount", "decimal string")
    elif amount < reward.unit_cost:
        least = f"At least {format_amount(reward.unit_cost, reward.scale)}"
        yield Fault("amount", "out_of_range", least, "decimal string", format_plain(amount))
    if quantity is not None:
        yield Fault("quantity", "not_allowed", "The reward is taken by amount", None, str(quantity))


def require_available(reward: Reward, owned: int, quantity: int | None, now: datetime) -> None:
    """Refuse what may not be taken now, in this order: OutOfStock, RewardUnavailable, ParticipantLimitReached.

    `owned` is what the participant has: units redeemed minus units reversed. `quantity` is None for AMOUNT_BASED.
    """
    left = 0 if reward.status is RewardStatus.OUT_OF_STOCK else reward.left
    if reward.status is RewardStatus.OUT_OF_STOCK or (left is not None and left < (quantity or 0)):
        raise OutOfStock(reward_id=str(reward.id), available=left, requested=quantity)
    if reward.status is not RewardStatus.ACTIVE or not reward.is_open_at(now):
        raise RewardUnavailable(
            reward_id=str(reward.id),
            status=reward.status.value,
            available_from=_time(reward.available_from),
            available_until=_time(reward.available_until),
        )
    limit = reward.max_per_participant
    if limit is not None and owned + (quantity or 0) > limit:
        raise ParticipantLimitReached(reward_id=str(reward.id), limit=limit, redeemed=owned, requested=quantity)


def take(reward: Reward, owned: int, quantity: int | None, now: datetime) -> Reward:
    """The reward after a redemption of `quantity` units; an AMOUNT_BASED one stays as it is. Refused as `require_available`."""
    require_available(reward, owned, quantity, now)
    return reward if quantity is None else _counted(reward, quantity, now)


def give_back(reward: Reward, quantity: int | None, now: datetime) -> Reward:
    """The reward after a reversal of `quantity` units, whatever its status; ValueError for more than were redeemed."""
    if quantity is None:
        return reward
    if quantity > reward.redeemed_count:
        raise ValueError("more units come back than were redeemed")
    return _counted(reward, -quantity, now)


def _counted(reward: Reward, change_: int, now: datetime) -> Reward:
    return settled(replace(reward, redeemed_count=reward.redeemed_count + change_, updated_at=now))


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)
