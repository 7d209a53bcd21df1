"""Transfers: value moves from one holder to others within one program (participants-groups.md, Transfers)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger, parties
from db.session import Connection, psycopg_of
from domain.errors import SelfTransfer, not_found
from domain.ledger.accounts import AccountKey, AssetTerms, total
from domain.ledger.due import is_due
from domain.ledger.entries import Origin
from domain.ledger.transfer import Leg, transfer
from services import due
from services.posting import Desk, account_of, named_terms, open_desk, recorded, require_active, require_usable
from services.state import Author, Entity, EntityKind


@dataclass(frozen=True, slots=True)
class Party:
    """A holder as a request names it, by one of three ids; `field` is where that id stands."""

    field: str
    external_id: str | None = None
    participant_id: UUID | None = None
    group_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets how much; `field` is where the amount stands."""

    party: Party
    amount: Decimal
    field: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """What is asked for; its form is checked."""

    program_id: UUID
    asset_id: UUID
    description: str
    source: Party
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Transferred:
    """What was done; `amount` is the sum of the recorded legs."""

    asset: AssetTerms
    source_id: UUID
    recipient_count: int
    amount: Decimal
    journal_entry_id: UUID


def create_transfer(session: Session, author: Author, wanted: Transfer, *, is_strict: bool) -> Transferred:
    """Move value, all or nothing.

    NotFound; BadRequest for a leg that rounds to zero, InvalidScale when strict, SelfTransfer; ProgramInactive, AssetArchived,
    AssetNotLinked, ParticipantInactive, GroupArchived; InsufficientBalance, MaxTransactionAmountExceeded, BalanceOutOfRange.
    """
    conn = psycopg_of(session)
    _, asset = named_terms(conn, author.organization_id, wanted.program_id, wanted.asset_id)
    source, *recipients = _holders(conn, author.organization_id, wanted)
    amounts = [recorded(leg.amount, asset, is_strict=is_strict, field=leg.field) for leg in wanted.recipients]
    if source in recipients:
        raise SelfTransfer(recipient_index=recipients.index(source), source_id=str(source.id))
    statuses = _locked(conn, author.organization_id, [source, *recipients])
    # Read again under the locks: they may have been waited for.
    terms, asset = named_terms(conn, author.organization_id, wanted.program_id, wanted.asset_id)
    require_active(terms, asset, wanted.program_id)
    for holder in (source, *recipients):
        require_usable(holder, statuses[holder.id])
    giver, *takers = (account_of(holder, asset.id, wanted.program_id) for holder in (source, *recipients))
    desk = _open(conn, asset, [giver, *takers])
    legs = [Leg(key, amount) for key, amount in zip(takers, amounts, strict=True)]
    origin = Origin(wanted.program_id, wanted.description, api_key_id=author.api_key_id)
    entry = desk.do(lambda books: transfer(books, giver, legs, now=desk.now, origin=origin))
    desk.flush()
    return Transferred(asset, source.id, len(legs), total(amounts), entry.id)


def settle_parties(session: Session, organization_id: UUID, wanted: Transfer) -> None:
    """Write what is due for those who are known of a refused transfer: it isn't an effect of the request."""
    conn = psycopg_of(session)
    known = _find(conn, organization_id, [wanted.source, *(leg.party for leg in wanted.recipients)])
    for holder_id in sorted({holder.id for holder in known if holder is not None}):
        due.settle(session, organization_id, holder_id)


def _holders(conn: Connection, organization_id: UUID, wanted: Transfer) -> list[Entity]:
    named = [wanted.source, *(leg.party for leg in wanted.recipients)]
    found = []
    for party, holder in zip(named, _find(conn, organization_id, named), strict=True):
        if holder is None:
            resource = "participant" if party.group_id is None else "group"
            raise not_found(resource, party.external_id or party.participant_id or party.group_id, party.field)
        found.append(holder)
    return found


def _find(conn: Connection, organization_id: UUID, named: Sequence[Party]) -> list[Entity | None]:
    texts = {party.external_id for party in named if party.external_id is not None}
    people = {party.participant_id for party in named if party.participant_id is not None}
    teams = {party.group_id for party in named if party.group_id is not None}
    by_text = parties.by_external_id(conn, organization_id, texts) if texts else {}
    participants = parties.participant_statuses(conn, organization_id, people) if people else {}
    groups = parties.group_statuses(conn, organization_id, teams) if teams else {}
    return [_entity(party, by_text, participants, groups) for party in named]


def _entity(
    party: Party, by_text: Mapping[str, UUID], participants: Mapping[UUID, str], groups: Mapping[UUID, str]
) -> Entity | None:
    if party.group_id is not None:
        return Entity(EntityKind.GROUP, party.group_id) if party.group_id in groups else None
    if party.participant_id is not None:
        return Entity(EntityKind.PARTICIPANT, party.participant_id) if party.participant_id in participants else None
    found = by_text.get(party.external_id or "")
    return None if found is None else Entity(EntityKind.PARTICIPANT, found)


def _locked(conn: Connection, organization_id: UUID, holders: Sequence[Entity]) -> dict[UUID, str]:
    ledger.lock_holders(conn, {holder.id for holder in holders})
    people = {holder.id for holder in holders if holder.kind is EntityKind.PARTICIPANT}
    teams = {holder.id for holder in holders if holder.kind is EntityKind.GROUP}
    statuses = parties.participant_statuses(conn, organization_id, people) if people else {}
    return statuses | (parties.group_statuses(conn, organization_id, teams) if teams else {})


def _open(conn: Connection, asset: AssetTerms, keys: Sequence[AccountKey]) -> Desk:
    """A desk with all accounts, and the lots of those that will be asked for them."""
    desk = open_desk(conn, asset, None)
    ledger.load_accounts(conn, desk.books, keys, with_lots=False)
    overdue = [key for key in keys if is_due(desk.books.account(key), asset, desk.now)]
    ledger.load_accounts(conn, desk.books, [keys[0], *overdue] if asset.is_lot else overdue, with_lots=True)
    return desk
