"""Actions of rules in their compiled form: frozen values that event processing executes (events-rules.md 6)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from domain.ledger.accounts import Bucket
from domain.rules.forms import Moment, NumberValue, TextValue
from domain.rules.targets import DEFAULT_TARGET, PROGRAM_TARGET, Target


class ActionType(StrEnum):
    """The action types that rules may use."""

    CREDIT = "CREDIT"
    DEBIT = "DEBIT"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    FORFEIT = "FORFEIT"
    VOID_HOLD = "VOID_HOLD"
    TAG = "TAG"
    UNTAG = "UNTAG"
    COUNTER = "COUNTER"
    SET_ATTRIBUTE = "SET_ATTRIBUTE"
    SET_TIER = "SET_TIER"
    SCHEDULE_EVENT = "SCHEDULE_EVENT"
    BROADCAST = "BROADCAST"


@dataclass(frozen=True, slots=True)
class CreditAction:
    """Gives value; `amount` as written, rounded to the asset's scale when it is executed."""

    type: ClassVar[ActionType] = ActionType.CREDIT

    asset_id: UUID
    amount: NumberValue
    bucket: Bucket = Bucket.AVAILABLE
    expires_at: Moment | None = None
    matures_at: Moment | None = None
    reference_id: TextValue | None = None
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class DebitAction:
    """Takes value; with `allow_negative` AVAILABLE may go below zero. No definition can set `reference_id`."""

    type: ClassVar[ActionType] = ActionType.DEBIT

    asset_id: UUID
    amount: NumberValue
    bucket: Bucket = Bucket.AVAILABLE
    allow_negative: bool = False
    reference_id: TextValue | None = None
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class HoldAction:
    """Reserves AVAILABLE value, all of it without `amount`; `expires_at` is when what it still holds is released."""

    type: ClassVar[ActionType] = ActionType.HOLD
    bucket: ClassVar[None] = None

    asset_id: UUID
    amount: NumberValue | None = None
    expires_at: Moment | None = None
    reference_id: TextValue | None = None
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class ReleaseAction:
    """Gives HELD value back to AVAILABLE: what is held under `reference_id`, or without one whatever is held."""

    type: ClassVar[ActionType] = ActionType.RELEASE
    bucket: ClassVar[None] = None

    asset_id: UUID
    amount: NumberValue | None = None
    reference_id: TextValue | None = None
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class ForfeitAction:
    """Takes value as breakage, the whole bucket without `amount`; a reference selects in HELD only."""

    type: ClassVar[ActionType] = ActionType.FORFEIT

    asset_id: UUID
    amount: NumberValue | None = None
    bucket: Bucket = Bucket.AVAILABLE
    reference_id: TextValue | None = None
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class VoidHoldAction:
    """Returns all provisional value under the reference to its source."""

    type: ClassVar[ActionType] = ActionType.VOID_HOLD
    amount: ClassVar[None] = None
    bucket: ClassVar[None] = None

    asset_id: UUID
    reference_id: TextValue
    description: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class TagAction:
    """Adds a lower-case tag, or takes it away with `remove`."""

    tag: str
    remove: bool = False
    target: Target = DEFAULT_TARGET

    @property
    def type(self) -> ActionType:
        """TAG or UNTAG."""
        return ActionType.UNTAG if self.remove else ActionType.TAG


@dataclass(frozen=True, slots=True)
class CounterAction:
    """Adds `value` to a counter; `reset_after` None keeps the auto-reset as it is, "" removes it."""

    type: ClassVar[ActionType] = ActionType.COUNTER

    key: str
    value: NumberValue
    reset_after: str | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class AttributeAction:
    """Writes an attribute: a text as it is, or what an expression gives."""

    type: ClassVar[ActionType] = ActionType.SET_ATTRIBUTE

    key: str
    value: TextValue
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class SetTierAction:
    """Assigns a level of a tier of the rule's program, both by key; `expires_at` is when it is removed again."""

    type: ClassVar[ActionType] = ActionType.SET_TIER

    tier: str
    level: str
    expires_at: Moment | None = None
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class ScheduleAction:
    """Makes a SYSTEM event for a participant after a delay; `payload` is compact JSON of an object."""

    type: ClassVar[ActionType] = ActionType.SCHEDULE_EVENT

    event_name: str
    delay: timedelta
    payload: str = "{}"
    target: Target = DEFAULT_TARGET


@dataclass(frozen=True, slots=True)
class BroadcastAction:
    """Makes a SYSTEM event for every enrolled participant of the program; `payload` as above."""

    type: ClassVar[ActionType] = ActionType.BROADCAST
    target: ClassVar[Target] = PROGRAM_TARGET

    event_name: str
    payload: str = "{}"


MoneyAction = CreditAction | DebitAction | HoldAction | ReleaseAction | ForfeitAction | VoidHoldAction
Action = MoneyAction | TagAction | CounterAction | AttributeAction | SetTierAction | ScheduleAction | BroadcastAction
