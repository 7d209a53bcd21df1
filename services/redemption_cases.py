"""What is asked for by a redemption, and what ids, forms and states say to it (redemptions-rewards.md 2.2, 2.3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from db.repositories.redemption_facts import Facts, Question
from db.repositories.redemptions import RedemptionRow, TargetRow
from db.session import Connection
from domain.errors import InvalidState, not_found
from domain.ledger.accounts import Account, AccountKey, AssetTerms, EntityType, OutsideAccount
from domain.ledger.redeem import Target, require_redeemable
from domain.rewards import Reward
from services.posting import account_of, recorded, require_active, require_usable
from services.state import Entity, EntityKind
from services.tickets import Ticket


@dataclass(frozen=True, slots=True)
class Priced:
    """What a redemption debits, and why. The rest is set for catalog items."""

    asset_id: UUID
    amount: Decimal
    description: str
    reward_id: UUID | None = None
    unit_cost: Decimal | None = None
    quantity: int | None = None
    fulfillment_type: str | None = None
    fulfillment_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """A reward, the units of it that the participant has, and the moment of both."""

    reward: Reward | None
    owned: int
    now: datetime


class CatalogItem(Protocol):
    """What the catalog adds to a redemption."""

    @property
    def reward_id(self) -> UUID:
        """The reward that is wanted."""

    def price(self, reward: Reward | None, *, is_strict: bool) -> Priced:
        """What it costs; NotFound, BadRequest, InvalidScale."""

    def admit(self, stock: Stock, priced: Priced) -> None:
        """Refuse what may not be had: OutOfStock, RewardUnavailable, ParticipantLimitReached."""

    def lock(self, conn: Connection, participant_id: UUID) -> Stock:
        """The stock, locked until the transaction ends."""

    def count(self, conn: Connection, stock: Stock, made: RedemptionRow) -> Reward:
        """Note what was redeemed of a stock that is locked; the reward as it is then."""


@dataclass(frozen=True, slots=True)
class Redeeming:
    """What is asked for; its form is checked. `what` is an amount of an asset, or a catalog item."""

    participant_id: UUID
    program_id: UUID
    what: Priced | CatalogItem


@dataclass(frozen=True, slots=True)
class Glance:
    """A request whose outlook is asked for."""

    ticket: Ticket
    wanted: Redeeming
    is_strict: bool

    @property
    def question(self) -> Question:
        """What decides on it."""
        what = self.wanted.what
        return Question(
            organization_id=self.ticket.author.organization_id,
            program_id=self.wanted.program_id,
            participant_id=self.wanted.participant_id,
            redemption_id=self.ticket.id,
            key=self.ticket.key,
            asset_id=what.asset_id if isinstance(what, Priced) else None,
            reward_id=None if isinstance(what, Priced) else what.reward_id,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """A redemption that ids, forms and states allow: what is left to decide is money."""

    asset: AssetTerms
    priced: Priced
    key: AccountKey
    target: Target
    accounts: tuple[Account, ...]

    @property
    def holders(self) -> list[AccountKey]:
        """The participant's account, and the target's if it is a holder's."""
        return [account.key for account in self.accounts]

    def require_money(self) -> None:
        """MaxTransactionAmountExceeded, InsufficientBalance, BalanceOutOfRange; for accounts with nothing due."""
        target = self.accounts[1] if len(self.accounts) > 1 else None
        require_redeemable(self.asset, self.accounts[0], target, self.priced.amount)


def decide(wanted: Redeeming, facts: Facts, *, is_strict: bool) -> Case:
    """The checks up to the 409s, in their order."""
    participant, target = Entity(EntityKind.PARTICIPANT, wanted.participant_id), facts.target
    if facts.participant_status is None:
        raise not_found("participant", participant.id)
    if target is None:
        raise not_found("program", wanted.program_id, "program_id")
    priced = wanted.what
    if not isinstance(priced, Priced):
        priced = priced.price(facts.reward, is_strict=is_strict)
    asset = facts.terms.asset
    if asset is None:
        raise not_found("asset", priced.asset_id, "asset_id")
    if priced.reward_id is None:
        amount = recorded(priced.amount, asset, is_strict=is_strict)
        priced = Priced(priced.asset_id, amount, priced.description)
    require_active(facts.terms, asset, wanted.program_id)
    require_usable(participant, facts.participant_status)
    if target.entity_id == participant.id:
        raise InvalidState("The participant is the program's redemption target", reason="redeemer_is_target")
    if target.kind == EntityKind.GROUP and target.entity_id is not None:
        require_usable(Entity(EntityKind.GROUP, target.entity_id), facts.group_status or "ARCHIVED")
    key, sink = account_of(participant, asset.id, wanted.program_id), sink_of(target, asset.id, wanted.program_id)
    accounts = [_account(key, facts.balance)]
    if isinstance(sink, AccountKey):
        accounts.append(_account(sink, facts.target_balance))
    return Case(asset, priced, key, sink, tuple(accounts))


def _account(key: AccountKey, columns: tuple[Any, ...] | None) -> Account:
    return Account(key, lots_loaded=True) if columns is None else Account(key, *columns)


def sink_of(target: TargetRow, asset_id: UUID, program_id: UUID) -> Target:
    """The account that a target is for one program and asset."""
    if target.entity_id is None:
        return EntityType(target.type)
    if target.kind is None:
        return OutsideAccount(target.entity_id)
    return account_of(Entity(EntityKind(target.kind), target.entity_id), asset_id, program_id)
