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
    TAG = "TAG"
    UNTAG = "UNTAG"
    COUNTER = "COUNTER"
    SET_ATTRIBUTE = "SET_ATTRIBUTE"
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


Action = CreditAction | DebitAction | TagAction | CounterAction | AttributeAction | ScheduleAction | BroadcastAction
