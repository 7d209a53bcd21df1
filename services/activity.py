"""What happened on accounts: balances, lots, histories and statements of participants and wallets."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger, ledger_reads
from db.repositories.ledger_reads import BalanceRow, HistoryFilter, HistoryRow, LotFilter, LotRow
from db.session import Connection, psycopg_of
from domain.errors import bad_request, not_found
from domain.ledger.accounts import AssetTerms, Bucket, LotStatus
from domain.money import ZERO
from services import due, groups, participants, programs
from services.paging import Keyset, Slice
from services.state import Entity, EntityKind

__all__ = ["AssetTerms", "BalanceRow", "Bucket", "HistoryFilter", "HistoryRow", "LotFilter", "LotRow", "LotStatus"]


@dataclass(frozen=True, slots=True)
class LotList:
    """A page of lots, and the asset that says how to write their amounts."""

    asset: AssetTerms
    page: Slice[LotRow]


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """One page of a statement of one account, oldest first.

    `limit` lines after the place `after`; `until` is the last place that any page shows, None on the first page.
    """

    asset_id: UUID
    bucket: Bucket | None = None
    from_: datetime | None = None
    to: datetime | None = None
    limit: int = 50
    after: int = 0
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines with running balances; `page.last` has the place of the last line and of the statement's end."""

    asset: AssetTerms
    opening_balance: Decimal
    closing_balance: Decimal
    page: Slice[HistoryRow]


def find_asset(conn: Connection, organization_id: UUID, asset_id: UUID) -> AssetTerms:
    """An asset that a query names; NotFound."""
    found = ledger.find_assets(conn, organization_id, [asset_id]).get(asset_id)
    if found is None:
        raise not_found("asset", asset_id, "asset_id")
    return found


def get_balances(session: Session, organization_id: UUID, participant_id: UUID, asset_id: UUID | None) -> list[BalanceRow]:
    """A participant's balances after what is due; with `asset_id` exactly one row, zeros if untouched. NotFound."""
    conn = settled(session, organization_id, Entity(EntityKind.PARTICIPANT, participant_id))
    if asset_id is None:
        return ledger_reads.balances(conn, participant_id)
    asset = find_asset(conn, organization_id, asset_id)
    return ledger_reads.balances(conn, participant_id, asset_id) or [
        BalanceRow(asset.id, asset.symbol, asset.scale, ZERO, ZERO, ZERO)
    ]


def list_lots(
    session: Session, organization_id: UUID, holder: Entity, asset_id: UUID, wanted: LotFilter, keyset: Keyset
) -> LotList:
    """One page of a holder's lots of an asset, a group's of all its pairs; NotFound, BadRequest for an asset without lots."""
    conn = settled(session, organization_id, holder)
    asset = find_asset(conn, organization_id, asset_id)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    if not asset.is_lot:
        raise bad_request("asset_id", "not_allowed", "This asset has no lots")
    return LotList(asset, ledger_reads.lots(conn, holder.id, asset_id, wanted, keyset))


def holder_history(
    session: Session, organization_id: UUID, holder: Entity, wanted: HistoryFilter, keyset: Keyset
) -> Slice[HistoryRow]:
    """One page of the postings on a participant, or on a group over all its pairs; NotFound."""
    conn = settled(session, organization_id, holder)
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    if wanted.asset_id is not None:
        find_asset(conn, organization_id, wanted.asset_id)
    return ledger_reads.history(conn, holder.id, wanted, keyset)


def participant_statement(session: Session, organization_id: UUID, participant_id: UUID, wanted: StatementQuery) -> Statement:
    """One page of a participant's statement of one asset; NotFound."""
    conn = settled(session, organization_id, Entity(EntityKind.PARTICIPANT, participant_id))
    return read_statement(conn, participant_id, find_asset(conn, organization_id, wanted.asset_id), wanted)


def settled(session: Session, organization_id: UUID, holder: Entity) -> Connection:
    """The connection, once what is due for the holder is written; NotFound."""
    if holder.kind is EntityKind.GROUP:
        groups.require_group(session, organization_id, holder.id)
    else:
        participants.require_participant(session, organization_id, holder.id)
    due.settle(session, organization_id, holder.id)
    return psycopg_of(session)


def read_statement(conn: Connection, entity_id: UUID, asset: AssetTerms, wanted: StatementQuery) -> Statement:
    """One page of the statement of an account: running balances come from its whole history, whatever the window."""
    until = wanted.until
    if until is None:
        until = ledger_reads.standing(conn, entity_id, asset.id, None, until=wanted.to).account_seq
    start = 0
    if wanted.from_ is not None:
        start = ledger_reads.standing(conn, entity_id, asset.id, None, before=wanted.from_).account_seq
    bucket = None if wanted.bucket is None else str(wanted.bucket)
    lines = ledger_reads.statement_lines(
        conn, entity_id, asset.id, bucket, after_seq=max(start, wanted.after), until_seq=until, limit=wanted.limit
    )
    page = list(lines[: wanted.limit])
    last = (page[-1].account_seq, until) if len(lines) > wanted.limit else None
    opening = ledger_reads.standing(conn, entity_id, asset.id, bucket, at_seq=start)
    closing = ledger_reads.standing(conn, entity_id, asset.id, bucket, at_seq=until)
    return Statement(asset, opening.balance, closing.balance, Slice(page, last))
