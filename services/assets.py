"""Assets and their links to programs (programs-assets.md, Assets and Linking assets)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from db.repositories import assets as repository
from db.repositories import organizations as clock
from db.tables.core import Asset, ProgramAsset
from domain.errors import AlreadyLinked, AssetArchived, InvalidScale, InvalidState, SymbolConflict, bad_request, not_found
from domain.money import format_plain, has_more_decimals, to_scale
from runtime.ids import new_id
from services import programs
from services.paging import Keyset, Slice


class InventoryMode(StrEnum):
    SIMPLE = "SIMPLE"
    LOT = "LOT"


class IssuancePolicy(StrEnum):
    UNLIMITED = "UNLIMITED"
    PREFUNDED = "PREFUNDED"


class AssetStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True)
class NewAsset:
    """What an asset is created with."""

    program_id: UUID
    name: str
    symbol: str
    inventory_mode: InventoryMode
    issuance_policy: IssuancePolicy
    scale: int
    max_transaction_amount: Decimal | None
    expiry_notice_days: int | None


@dataclass(frozen=True, slots=True)
class AssetView:
    """An asset with the programs it is linked to, in order of linking."""

    asset: Asset
    program_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class AssetFilter:
    """What a list of assets is narrowed to."""

    program_id: UUID | None = None
    status: AssetStatus | None = None
    search: str | None = None


def create_asset(session: Session, organization_id: UUID, new: NewAsset, *, is_strict: bool) -> AssetView:
    """Create an asset and link it to its program.

    NotFound program; BadRequest for a ceiling that rounds to zero, InvalidScale when strict; ProgramArchived,
    SymbolConflict.
    """
    program = programs.get_program(session, organization_id, new.program_id, field="program_id")
    ceiling = _ceiling(new.max_transaction_amount, new.scale, None, is_strict=is_strict)
    programs.require_open(program)
    now = clock.now(session)
    asset = Asset(
        id=new_id(),
        organization_id=organization_id,
        name=new.name,
        symbol=new.symbol,
        inventory_mode=new.inventory_mode,
        issuance_policy=new.issuance_policy,
        scale=new.scale,
        max_transaction_amount=ceiling,
        expiry_notice_days=new.expiry_notice_days,
        created_at=now,
        updated_at=now,
    )
    session.add(asset)
    _flush(session, new.symbol)
    _link(session, asset, new.program_id, now)
    return AssetView(asset, [new.program_id])


def list_assets(session: Session, organization_id: UUID, wanted: AssetFilter, keyset: Keyset) -> Slice[AssetView]:
    """One page of assets, archived ones included; NotFound for the program of the filter."""
    if wanted.program_id is not None:
        programs.get_program(session, organization_id, wanted.program_id, field="program_id")
    found = repository.page(
        session, organization_id, keyset, program_id=wanted.program_id, status=wanted.status, search=wanted.search
    )
    return Slice(_views(session, found.rows), found.last)


def get_asset(session: Session, organization_id: UUID, asset_id: UUID) -> AssetView:
    """An asset, archived or not; NotFound."""
    asset = repository.find(session, organization_id, asset_id)
    if asset is None:
        raise not_found("asset", asset_id)
    return _views(session, [asset])[0]


def update_asset(
    session: Session, organization_id: UUID, asset_id: UUID, changes: dict[str, Any], *, is_strict: bool
) -> AssetView:
    """Change the fields given; archiving is final.

    NotFound; BadRequest for a notice on a SIMPLE asset or a ceiling that rounds to zero, InvalidScale when strict;
    AssetArchived for any change of an archived asset, SymbolConflict.
    """
    asset = repository.find(session, organization_id, asset_id, lock="update")
    if asset is None:
        raise not_found("asset", asset_id)
    wanted = dict(changes)
    if "expiry_notice_days" in wanted and asset.inventory_mode == InventoryMode.SIMPLE:
        raise bad_request("expiry_notice_days", "not_allowed", "Only assets with lots expire")
    if "max_transaction_amount" in wanted:
        wanted["max_transaction_amount"] = _ceiling(wanted["max_transaction_amount"], asset.scale, asset_id, is_strict=is_strict)
    if wanted and asset.status == AssetStatus.ARCHIVED:
        raise AssetArchived(asset_id=str(asset_id))
    different = {name: value for name, value in wanted.items() if getattr(asset, name) != value}
    if different:
        asset.updated_at = clock.now(session)
        for name, value in different.items():
            setattr(asset, name, value)
        if "status" in different:
            asset.deleted_at = asset.updated_at
        _flush(session, asset.symbol)
    return _views(session, [asset])[0]


def link_asset(session: Session, organization_id: UUID, program_id: UUID, asset_id: UUID) -> AssetView:
    """Link an asset to another program; NotFound, ProgramArchived, AssetArchived, AlreadyLinked."""
    program = programs.get_program(session, organization_id, program_id)
    asset = repository.find(session, organization_id, asset_id, lock="update")
    if asset is None:
        raise not_found("asset", asset_id, "asset_id")
    programs.require_open(program)
    if asset.status == AssetStatus.ARCHIVED:
        raise AssetArchived(asset_id=str(asset_id))
    if repository.find_link(session, program_id, asset_id) is not None:
        raise AlreadyLinked(asset_id=str(asset_id), program_id=str(program_id))
    _link(session, asset, program_id, clock.now(session))
    return _views(session, [asset])[0]


def list_program_assets(session: Session, organization_id: UUID, program_id: UUID, keyset: Keyset) -> Slice[AssetView]:
    """One page of the assets linked to a program, in order of linking; NotFound."""
    programs.get_program(session, organization_id, program_id)
    found = repository.page_of_program(session, program_id, keyset)
    return Slice(_views(session, [row.asset for row in found.rows]), found.last)


def unlink_asset(session: Session, organization_id: UUID, program_id: UUID, asset_id: UUID) -> None:
    """Unlink an asset that was never used there; NotFound when it isn't linked, ProgramArchived, InvalidState."""
    program = programs.get_program(session, organization_id, program_id)
    if repository.find_link(session, program_id, asset_id, is_locked=True) is None:
        raise not_found("asset", asset_id)
    programs.require_open(program)
    # Who posts on the wallet now has an entry that counts.
    repository.lock_wallet(session, program_id, asset_id)
    if repository.has_entries(session, program_id, asset_id):
        raise InvalidState("The asset has ledger entries in this program", reason="has_entries")
    if repository.is_in_use(session, program_id, asset_id):
        raise InvalidState("A rule or reward of the program names the asset", reason="in_use")
    repository.delete_link(session, program_id, asset_id)


def _link(session: Session, asset: Asset, program_id: UUID, now: datetime) -> None:
    session.add(ProgramAsset(program_id=program_id, asset_id=asset.id, organization_id=asset.organization_id, linked_at=now))
    session.flush()
    if asset.issuance_policy == IssuancePolicy.PREFUNDED:
        repository.insert_wallet(session, asset.organization_id, program_id, asset.id)


def _views(session: Session, assets: list[Asset]) -> list[AssetView]:
    programs_by_asset = repository.programs_of(session, [asset.id for asset in assets])
    return [AssetView(asset, programs_by_asset.get(asset.id, [])) for asset in assets]


def _ceiling(amount: Decimal | None, scale: int, asset_id: UUID | None, *, is_strict: bool) -> Decimal | None:
    if amount is None:
        return None
    if is_strict and has_more_decimals(amount, scale):
        raise InvalidScale(
            field="max_transaction_amount",
            asset_id=None if asset_id is None else str(asset_id),
            scale=scale,
            received=format_plain(amount),
        )
    rounded = to_scale(amount, scale)
    if not rounded:
        raise bad_request("max_transaction_amount", "out_of_range", "Rounds to zero", received=format_plain(amount))
    return rounded


def _flush(session: Session, symbol: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "assets_symbol" not in str(error.orig):
            raise
        raise SymbolConflict(symbol=symbol) from None
