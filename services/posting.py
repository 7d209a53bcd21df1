"""The frame of every use case that posts: lock, load, let the domain decide, flush (design.md, The shape)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from db.repositories import ledger
from db.repositories.ledger_terms import Terms, database_now, find_terms, lock_holder
from db.session import Connection
from domain.errors import (
    AssetArchived,
    AssetNotLinked,
    GroupArchived,
    InvalidScale,
    ParticipantInactive,
    ProgramArchived,
    ProgramInactive,
    bad_request,
    not_found,
)
from domain.ledger.accounts import NIL, AccountKey, AssetTerms, EntityType
from domain.ledger.books import Books
from domain.ledger.missing import MissingAccount, MissingLots, MissingState, MissingWallet
from domain.money import format_plain, has_more_decimals, to_scale
from runtime.ids import new_id
from services.messages import ledger as messages
from services.messages.ledger import Occasion
from services.state import Entity, EntityKind

T = TypeVar("T")

MOST_LOADS = 8


@dataclass(frozen=True, slots=True)
class Desk:
    """One use case's working set; `now` was taken after its locks."""

    conn: Connection
    books: Books
    now: datetime

    def do(self, operation: Callable[[Books], T]) -> T:
        """Do one operation whole or not at all, loading what it turns out to need."""
        for _ in range(MOST_LOADS):
            try:
                with self.books.attempt():
                    return operation(self.books)
            except MissingState as missing:
                self._load(missing)
        raise RuntimeError("an operation keeps asking for what isn't loaded")

    def _load(self, missing: MissingState) -> None:
        if isinstance(missing, MissingAccount):
            ledger.load_accounts(self.conn, self.books, [missing.key], with_lots=False)
        elif isinstance(missing, MissingLots):
            ledger.load_accounts(self.conn, self.books, [missing.key], with_lots=True)
        elif isinstance(missing, MissingWallet):
            ledger.load_wallets(self.conn, self.books, [(missing.program_id, missing.asset_id)])
        else:
            raise missing

    def flush(self, occasion: Occasion | None = None) -> None:
        """Write what was done, and the messages about it."""
        messages.flush(self.conn, self.books, occasion)


def open_desk(conn: Connection, asset: AssetTerms, key: AccountKey | None, wallet_of: UUID | None = None) -> Desk:
    """A desk for one asset. The caller has locked the holder of `key`; the wallet of the program `wallet_of` is locked here."""
    books = Books({asset.id: asset}, new_id)
    if wallet_of is not None and asset.is_prefunded:
        ledger.lock_wallets(conn, [(wallet_of, asset.id)])
        ledger.load_wallets(conn, books, [(wallet_of, asset.id)])
    if key is not None:
        ledger.load_accounts(conn, books, [key], with_lots=False)
    return Desk(conn, books, database_now(conn))


def account_of(holder: Entity, asset_id: UUID, program_id: UUID) -> AccountKey:
    """A holder's account of an asset: a participant's is shared by all programs, a group's is that of its pair."""
    is_group = holder.kind is EntityKind.GROUP
    return AccountKey(EntityType(holder.kind.value), holder.id, asset_id, program_id if is_group else NIL)


def locked_status(conn: Connection, organization_id: UUID, holder: Entity) -> str:
    """Lock a holder that the path names; its status as it is then. NotFound."""
    status = lock_holder(conn, organization_id, EntityType(holder.kind.value), holder.id)
    if status is None:
        raise not_found(holder.kind.lower(), holder.id)
    return status


def require_usable(holder: Entity, status: str, *, needs_active: bool = True) -> None:
    """GroupArchived for an ARCHIVED group; ParticipantInactive for a participant that must be ACTIVE and isn't."""
    if holder.kind is EntityKind.GROUP:
        if status == "ARCHIVED":
            raise GroupArchived(group_id=str(holder.id))
    elif needs_active and status != "ACTIVE":
        raise ParticipantInactive(participant_id=str(holder.id), status=status)


def named_terms(
    conn: Connection, organization_id: UUID, program_id: UUID, asset_id: UUID, *, is_in_path: bool = False
) -> tuple[Terms, AssetTerms]:
    """The program and asset that a request names; NotFound, with the field unless they came in the path."""
    terms = find_terms(conn, organization_id, program_id, asset_id)
    if terms.program_status is None:
        raise not_found("program", program_id, None if is_in_path else "program_id")
    if terms.asset is None:
        raise not_found("asset", asset_id, None if is_in_path else "asset_id")
    return terms, terms.asset


def recorded(amount: Decimal, asset: AssetTerms, *, is_strict: bool, field: str = "amount") -> Decimal:
    """The amount at the asset's scale; InvalidScale when strict, BadRequest when it rounds to zero. `field`: where it stood."""
    if is_strict and has_more_decimals(amount, asset.scale):
        raise InvalidScale(field=field, asset_id=str(asset.id), scale=asset.scale, received=format_plain(amount))
    rounded = to_scale(amount, asset.scale)
    if not rounded:
        message = f"Rounds to zero at scale {asset.scale}"
        raise bad_request(field, "out_of_range", message, expected="decimal string", received=format_plain(amount))
    return rounded


def require_open(terms: Terms, asset: AssetTerms, program_id: UUID) -> None:
    """ProgramArchived, AssetArchived, AssetNotLinked: what excludes any posting, in this order."""
    if terms.program_status == "ARCHIVED":
        raise ProgramArchived(program_id=str(program_id))
    _require_linked(terms, asset, program_id)


def require_active(terms: Terms, asset: AssetTerms, program_id: UUID) -> None:
    """As `require_open`, for what only ACTIVE programs allow: ProgramInactive, AssetArchived, AssetNotLinked."""
    if terms.program_status != "ACTIVE":
        raise ProgramInactive(program_id=str(program_id), status=terms.program_status)
    _require_linked(terms, asset, program_id)


def _require_linked(terms: Terms, asset: AssetTerms, program_id: UUID) -> None:
    if asset.is_archived:
        raise AssetArchived(asset_id=str(asset.id))
    if not terms.is_linked:
        raise AssetNotLinked(asset_id=str(asset.id), program_id=str(program_id))
