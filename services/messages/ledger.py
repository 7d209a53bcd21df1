"""Telling the subscribers what journal entries did (webhooks.md 5.1-5.5, 5.8, 5.12).

Whoever writes entries does it by `flush`; the lanes, whose messages go between those of their events, by `entry_messages`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from db.repositories import ledger
from db.repositories import messages as rows
from db.session import Connection
from domain.ledger.books import Books
from domain.ledger.entries import Entry
from domain.messages.balances import balance_message
from domain.messages.notices import Cause, Facts, Notice, notices_of, participants_in
from domain.messages.transfers import transfer_message
from domain.messages.wallets import wallet_message
from domain.outbox import Audience, Message, MessageType
from services import outbox

_WRITERS: Mapping[MessageType, Callable[[Notice, Facts], Message]] = {
    MessageType.BALANCE_CREDITED: balance_message,
    MessageType.BALANCE_DEBITED: balance_message,
    MessageType.BALANCE_HELD: balance_message,
    MessageType.BALANCE_RELEASED: balance_message,
    MessageType.BALANCE_EXPIRED: balance_message,
    MessageType.TRANSFER_COMPLETED: transfer_message,
    MessageType.PROGRAM_FUNDED: wallet_message,
    MessageType.PROGRAM_BURNED: wallet_message,
}
_OF_WALLETS = (MessageType.PROGRAM_FUNDED, MessageType.PROGRAM_BURNED)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What one of the entries was made for, and what is told of that before the entry's own messages.

    `tell` is asked only when somebody subscribes to anything, with who that is.
    """

    entry_id: UUID
    cause: Cause
    tell: Callable[[Audience], Sequence[Message]] = lambda _: ()


def flush(conn: Connection, books: Books, occasion: Occasion | None = None) -> None:
    """Write what was done in the books, and the messages about it, under the caller's locks. StaleBooks."""
    owners = {books.assets[entry.postings[0].asset_id].organization_id for entry in books.entries}
    if not owners:
        ledger.flush(conn, books)
        return
    with conn.pipeline():
        answer = outbox.look_up(conn, owners)
        ledger.flush(conn, books)
    audience = answer()
    if not audience:
        return
    told = _by_entry(conn, audience, books, books.entries, {} if occasion is None else {occasion.entry_id: occasion.cause})
    messages: list[Message] = []
    for entry in books.entries:
        if occasion is not None and entry.id == occasion.entry_id:
            messages += occasion.tell(audience)
        messages += told.get(entry.id, ())
    outbox.record(conn, audience, messages)


def entry_messages(conn: Connection, audience: Audience, books: Books) -> Mapping[UUID, Sequence[Message]]:
    """The messages that somebody wants about the entries of the books, by entry; at most two statements."""
    return _by_entry(conn, audience, books, books.entries, {})


def _by_entry(
    conn: Connection, audience: Audience, books: Books, entries: Sequence[Entry], causes: Mapping[UUID, Cause]
) -> dict[UUID, list[Message]]:
    notices = list(_wanted(audience, books, entries))
    facts = _facts(conn, books, notices, causes)
    told: dict[UUID, list[Message]] = {}
    for notice in notices:
        told.setdefault(notice.entry.id, []).append(_WRITERS[notice.type](notice, facts))
    return told


def _wanted(audience: Audience, books: Books, entries: Sequence[Entry]) -> Iterator[Notice]:
    if not audience:
        return
    for entry in entries:
        organization_id = books.assets[entry.postings[0].asset_id].organization_id
        yield from (notice for notice in notices_of(entry) if audience.endpoints(organization_id, notice.type))


def _facts(conn: Connection, books: Books, notices: Collection[Notice], causes: Mapping[UUID, Cause]) -> Facts:
    people = {id_ for notice in notices for id_ in participants_in(notice)}
    programs = {notice.entry.origin.program_id for notice in notices if notice.type in _OF_WALLETS}
    holds = any(notice.type is MessageType.BALANCE_HELD for notice in notices)
    return Facts(
        books,
        rows.external_ids(conn, people) if people else {},
        rows.program_names(conn, programs) if programs else {},
        {hold.entry_id: hold.expires_at for _, hold in books.new_holds.values()} if holds else {},
        causes,
    )
