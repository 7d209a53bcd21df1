"""Wallets of programs: fund, burn, balance, history, statement (programs-assets.md, Wallets)."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger as repository
from db.repositories import ledger_reads, ledger_wallets
from db.repositories.ledger_wallets import WalletRow, lock_program
from db.session import psycopg_of
from domain.errors import AssetNotLinked, InvalidState, bad_request
from domain.ledger.accounts import AssetTerms
from domain.ledger.books import Books
from domain.ledger.entries import Entry, Origin
from domain.ledger.wallets import burn, fund
from services import programs
from services.activity import HistoryFilter, HistoryRow, Statement, StatementQuery, find_asset, read_statement
from services.paging import Keyset, Slice
from services.posting import Desk, named_terms, open_desk, recorded, require_open
from services.state import Author

__all__ = ["WalletRow"]

FUNDED = "Program funded"
BURNED = "Program burned"


@dataclass(frozen=True, slots=True)
class WalletChange:
    """A fund or burn of a program's wallet; without a description it has its own."""

    program_id: UUID
    asset_id: UUID
    amount: Decimal
    description: str | None = None


@dataclass(frozen=True, slots=True)
class WalletChanged:
    """The wallet after it."""

    asset: AssetTerms
    available: Decimal
    journal_entry_id: UUID


def fund_program(session: Session, author: Author, wanted: WalletChange, *, is_strict: bool) -> WalletChanged:
    """Mint into the wallet.

    NotFound; BadRequest, InvalidScale; ProgramArchived, AssetArchived, AssetNotLinked, InvalidState for an UNLIMITED asset;
    BalanceOutOfRange.
    """

    def work(books: Books, amount: Decimal, desk: Desk) -> Entry:
        return fund(books, wanted.asset_id, amount, now=desk.now, origin=_origin(author, wanted, FUNDED))

    return _change(session, author, wanted, work, is_strict=is_strict)


def burn_balance(session: Session, author: Author, wanted: WalletChange, *, is_strict: bool) -> WalletChanged:
    """Sink from the wallet; refused as `fund_program`, but InsufficientWallet."""

    def work(books: Books, amount: Decimal, desk: Desk) -> Entry:
        return burn(books, wanted.asset_id, amount, now=desk.now, origin=_origin(author, wanted, BURNED))

    return _change(session, author, wanted, work, is_strict=is_strict)


def _change(
    session: Session, author: Author, wanted: WalletChange, work: Callable[[Books, Decimal, Desk], Entry], *, is_strict: bool
) -> WalletChanged:
    conn = psycopg_of(session)
    _, asset = named_terms(conn, author.organization_id, wanted.program_id, wanted.asset_id, is_in_path=True)
    amount = recorded(wanted.amount, asset, is_strict=is_strict)
    # The program's messages have one order, whichever of its wallets they are about.
    lock_program(conn, wanted.program_id)
    desk = open_desk(conn, asset, None, wanted.program_id)
    # Read again under the wallet's lock: an unlinking may have been waited for.
    terms, asset = named_terms(conn, author.organization_id, wanted.program_id, wanted.asset_id, is_in_path=True)
    require_open(terms, asset, wanted.program_id)
    if not asset.is_prefunded:
        raise InvalidState("An UNLIMITED asset has no wallets", reason="unlimited_asset")
    entry = desk.do(lambda books: work(books, amount, desk))
    desk.flush()
    return WalletChanged(asset, desk.books.wallet(wanted.program_id, asset.id).available, entry.id)


def _origin(author: Author, wanted: WalletChange, default: str) -> Origin:
    return Origin(wanted.program_id, wanted.description or default, api_key_id=author.api_key_id)


def program_balance(
    session: Session, organization_id: UUID, program_id: UUID, asset_id: UUID | None, keyset: Keyset
) -> Slice[WalletRow]:
    """One page of a program's wallets, in order of linking; NotFound."""
    programs.get_program(session, organization_id, program_id)
    conn = psycopg_of(session)
    if asset_id is not None:
        find_asset(conn, organization_id, asset_id)
    return ledger_wallets.wallets_of(conn, program_id, asset_id, keyset)


def wallet_history(
    session: Session, organization_id: UUID, program_id: UUID, wanted: HistoryFilter, keyset: Keyset
) -> Slice[HistoryRow]:
    """One page of the postings on a program's wallets; NotFound."""
    programs.get_program(session, organization_id, program_id)
    conn = psycopg_of(session)
    if wanted.asset_id is not None:
        find_asset(conn, organization_id, wanted.asset_id)
    return ledger_reads.history(conn, program_id, wanted, keyset)


def wallet_statement(session: Session, organization_id: UUID, program_id: UUID, wanted: StatementQuery) -> Statement:
    """One page of a wallet's statement; NotFound, BadRequest for an UNLIMITED asset, AssetNotLinked."""
    programs.get_program(session, organization_id, program_id)
    conn = psycopg_of(session)
    asset = find_asset(conn, organization_id, wanted.asset_id)
    if not repository.linked(conn, program_id, asset.id):
        raise AssetNotLinked(asset_id=str(asset.id), program_id=str(program_id))
    if not asset.is_prefunded:
        raise bad_request("asset_id", "not_allowed", "An UNLIMITED asset has no wallets")
    return read_statement(conn, program_id, asset, wanted)
