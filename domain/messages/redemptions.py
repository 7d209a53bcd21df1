"""What is told of redemptions, their reversals and their fulfilment (webhooks.md 5.6, 5.7, 5.14; redemptions-rewards.md 5.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.ledger.accounts import Balance
from domain.messages.parts import balance_of, text_of
from domain.outbox import Message, MessageType
from domain.timestamps import format_timestamp

FULFILLMENT_REQUESTED = "fulfillment.requested"


@dataclass(frozen=True, slots=True)
class RedemptionFacts:
    """A redemption as it is answered, and what its answer only names by id."""

    organization_id: UUID
    participant_id: UUID
    redemption: Mapping[str, object]
    scale: int
    external_id: str
    asset_symbol: str
    reward_name: str | None = None

    @property
    def head(self) -> dict[str, object]:
        """What every message about it begins with."""
        return {
            "redemption": self.redemption,
            "participant_id": str(self.participant_id),
            "external_id": self.external_id,
            "program_id": self.redemption["program_id"],
            "asset_id": self.redemption["asset_id"],
            "asset_symbol": self.asset_symbol,
        }

    @property
    def order(self) -> dict[str, object]:
        """What was redeemed."""
        return {
            "amount": self.redemption["amount"],
            "reward_id": self.redemption["reward_id"],
            "reward_name": self.reward_name,
            "quantity": self.redemption["quantity"],
            "unit_cost": self.redemption["unit_cost"],
        }

    def message(self, type_: MessageType, data: dict[str, object]) -> Message:
        """A message about it; those about one participant are sent in order."""
        return Message(type_, self.organization_id, self.participant_id, data)


class EndedBy(StrEnum):
    """Who ended a fulfilment."""

    API = "API"
    WEBHOOK = "WEBHOOK"
    DEADLINE = "DEADLINE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a fulfilment ended; note and key with API, the key with CANCELLED too."""

    by: EndedBy
    note: str | None = None
    api_key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts that were made, and the status of the last one's answer."""

    count: int = 0
    last_response_status: int | None = None


def completed(facts: RedemptionFacts, balance: Balance, api_key_id: UUID | None) -> Message:
    """`redemption.completed`, with the participant's balance after it."""
    data = facts.head | facts.order
    data |= {
        "balance": balance_of(balance, facts.scale),
        "journal_entry_id": facts.redemption["journal_entry_id"],
        "created_by_api_key_id": text_of(api_key_id),
        "occurred_at": facts.redemption["created_at"],
    }
    return facts.message(MessageType.REDEMPTION_COMPLETED, data)


def reversed_(facts: RedemptionFacts, reversal: Mapping[str, object], balance: Balance, api_key_id: UUID | None) -> Message:
    """`redemption.reversed`; the facts are of the redemption after it."""
    data = {"reversal": reversal} | facts.head
    data |= {name: reversal[name] for name in ("amount", "quantity", "reason")}
    data |= {
        "full": facts.redemption["status"] == "FULLY_REVERSED",
        "balance": balance_of(balance, facts.scale),
        "journal_entry_id": reversal["journal_entry_id"],
        "created_by_api_key_id": text_of(api_key_id),
        "occurred_at": reversal["created_at"],
    }
    return facts.message(MessageType.REDEMPTION_REVERSED, data)


def ended(
    facts: RedemptionFacts, ending: Ending, attempts: Attempts, moment: datetime, reversal_id: UUID | None = None
) -> Message:
    """`redemption.fulfilled` or `redemption.fulfillment_failed`, by what the redemption says after it."""
    data = facts.head | facts.order
    data |= {
        "by": ending.by,
        "note": ending.note,
        "attempt_count": attempts.count,
        "last_response_status": attempts.last_response_status,
    }
    has_failed = facts.redemption["fulfillment_status"] == "FAILED"
    if has_failed:
        data["reversal_id"] = text_of(reversal_id)
    data |= {"created_by_api_key_id": text_of(ending.api_key_id), "occurred_at": format_timestamp(moment)}
    type_ = MessageType.REDEMPTION_FULFILLMENT_FAILED if has_failed else MessageType.REDEMPTION_FULFILLED
    return facts.message(type_, data)


def fulfillment_request(facts: RedemptionFacts, reward: Mapping[str, object]) -> dict[str, object]:
    """The data of `fulfillment.requested`: the redemption and the reward as they are when it is made."""
    head = facts.head
    return {
        "redemption": head.pop("redemption"),
        "reward": reward,
        **head,
        "expires_at": facts.redemption["fulfillment_expires_at"],
    }
