"""Which messages a journal entry sends (webhooks.md 5.15). What they say is in the modules beside this one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from domain.ledger.accounts import AccountKey, AssetTerms, EntityType, total
from domain.ledger.books import Books
from domain.ledger.entries import ActionType, Entry
from domain.outbox import MessageType

OF_THE_HOLDER: Mapping[ActionType, MessageType] = {
    ActionType.CREDIT: MessageType.BALANCE_CREDITED,
    ActionType.SETTLE: MessageType.BALANCE_CREDITED,
    ActionType.DEBIT: MessageType.BALANCE_DEBITED,
    ActionType.FORFEIT: MessageType.BALANCE_DEBITED,
    ActionType.VOID_HOLD: MessageType.BALANCE_DEBITED,
    ActionType.HOLD: MessageType.BALANCE_HELD,
    ActionType.RELEASE: MessageType.BALANCE_RELEASED,
    ActionType.EXPIRY: MessageType.BALANCE_EXPIRED,
}
OF_THE_WHOLE: Mapping[ActionType, MessageType] = {
    ActionType.TRANSFER: MessageType.TRANSFER_COMPLETED,
    ActionType.FUND: MessageType.PROGRAM_FUNDED,
    ActionType.BURN: MessageType.PROGRAM_BURNED,
}
REDEEMING = frozenset({ActionType.REDEMPTION, ActionType.REDEMPTION_REVERSAL})


class Notice(NamedTuple):
    """A message that an entry sends; `holder` is the account that a balance message is about."""

    type: MessageType
    entry: Entry
    holder: AccountKey | None = None


class Cause(NamedTuple):
    """The redemption, or the reversal of one, that an entry was made for."""

    redemption_id: UUID
    reversal_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What messages say beside their entries; `books` are those that the entries were made in."""

    books: Books
    external_ids: Mapping[UUID, str] = field(default_factory=dict)
    program_names: Mapping[UUID, str] = field(default_factory=dict)
    hold_ends: Mapping[UUID, datetime | None] = field(default_factory=dict)
    """When the hold that an entry opened ends, by the entry's id."""
    causes: Mapping[UUID, Cause] = field(default_factory=dict)
    """By the entry's id."""

    def asset_of(self, entry: Entry) -> AssetTerms:
        """The one asset that an entry moves."""
        return self.books.assets[entry.postings[0].asset_id]


def notices_of(entry: Entry) -> Iterator[Notice]:
    """The messages that an entry sends by itself, in their order.

    The redeemer's side of a REDEMPTION isn't among them: `redemption.completed` tells of it.
    """
    whole = OF_THE_WHOLE.get(entry.action_type)
    if whole is not None:
        yield Notice(whole, entry)
    elif entry.action_type in REDEEMING:
        gains = {key: gain_of(entry, key) for key in entry.after}
        yield from (Notice(MessageType.BALANCE_CREDITED, entry, key) for key, gain in gains.items() if gain > 0)
        if entry.action_type is ActionType.REDEMPTION_REVERSAL:
            yield from (Notice(MessageType.BALANCE_DEBITED, entry, key) for key, gain in gains.items() if gain < 0)
    elif entry.action_type in OF_THE_HOLDER:
        yield from (Notice(OF_THE_HOLDER[entry.action_type], entry, key) for key in entry.after)


def gain_of(entry: Entry, key: AccountKey) -> Decimal:
    """How much an entry brought to a holder, all buckets together."""
    return total(posting.amount for posting in entry.postings if posting.entity_id == key.holder_id)


def participants_in(notice: Notice) -> Iterator[UUID]:
    """The participants that a message names."""
    if notice.type is MessageType.TRANSFER_COMPLETED:
        for posting in notice.entry.postings:
            if posting.entity_type is EntityType.PARTICIPANT and posting.entity_id is not None:
                yield posting.entity_id
    elif notice.holder is not None and notice.holder.kind is EntityType.PARTICIPANT:
        yield notice.holder.holder_id
