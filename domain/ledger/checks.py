"""Refusals of the ledger, with their details as conventions.md lists them, and where value comes from."""

from decimal import Decimal
from uuid import UUID

from domain.errors import BalanceOutOfRange, InsufficientBalance, InsufficientWallet, MaxTransactionAmountExceeded
from domain.ledger.accounts import Account, AssetTerms, Bucket, EntityType, Wallet, add
from domain.ledger.books import Books
from domain.money import CEILING, ZERO, format_amount


class NothingToMove(InsufficientBalance):
    """The selection is empty: a refusal on the API, a recorded no-op in rules."""


def source_of(books: Books, asset: AssetTerms, program_id: UUID) -> Wallet | EntityType:
    """Where credits come from: the program's wallet of a PREFUNDED asset, else SYSTEM_ISSUANCE; MissingWallet."""
    return books.wallet(program_id, asset.id) if asset.is_prefunded else EntityType.SYSTEM_ISSUANCE


def insufficient(asset: AssetTerms, bucket: Bucket, available: Decimal, requested: Decimal | None) -> InsufficientBalance:
    """The refusal of more than a bucket, or a selection in it, has; `requested` None means everything."""
    kind = InsufficientBalance if available > 0 else NothingToMove
    asked = None if requested is None else format_amount(requested, asset.scale)
    shown = format_amount(max(available, ZERO), asset.scale)
    return kind(
        f"available {shown}, requested {'everything' if asked is None else asked} {asset.symbol}",
        asset_id=str(asset.id),
        bucket=str(bucket),
        available=shown,
        requested=asked,
    )


def require_within_maximum(asset: AssetTerms, amount: Decimal) -> None:
    """MaxTransactionAmountExceeded when the amount is over the asset's ceiling; equal passes."""
    ceiling = asset.max_transaction_amount
    if ceiling is not None and amount > ceiling:
        maximum, asked = format_amount(ceiling, asset.scale), format_amount(amount, asset.scale)
        raise MaxTransactionAmountExceeded(
            f"maximum {maximum}, requested {asked} {asset.symbol}",
            asset_id=str(asset.id),
            max_transaction_amount=maximum,
            requested=asked,
        )


def require_cover(asset: AssetTerms, source: Wallet | EntityType, drawn: Decimal) -> None:
    """InsufficientWallet when `source` is a wallet with less than what is drawn from it."""
    if isinstance(source, Wallet) and drawn > source.available:
        has, asked = format_amount(source.available, asset.scale), format_amount(drawn, asset.scale)
        raise InsufficientWallet(
            f"available {has}, requested {asked} {asset.symbol}",
            asset_id=str(asset.id),
            program_id=str(source.program_id),
            available=has,
            requested=asked,
        )


def require_room(
    asset: AssetTerms, account: Account, requested: Decimal, *, available: Decimal = ZERO, other: Decimal = ZERO
) -> None:
    """BalanceOutOfRange when the changes of AVAILABLE and of the other buckets bring the holder to more than 20 digits."""
    size = add(add(account.available, available).copy_abs(), add(add(account.held, account.deferred), other))
    if size >= CEILING:
        raise _out_of_range(asset, account.key.kind, account.key.holder_id, requested)


def require_wallet_room(asset: AssetTerms, source: Wallet | EntityType, returned: Decimal, requested: Decimal) -> None:
    """BalanceOutOfRange when `source` is a wallet that the returned amount brings to more than 20 digits."""
    if isinstance(source, Wallet) and add(source.available, returned) >= CEILING:
        raise _out_of_range(asset, EntityType.PROGRAM, source.program_id, requested)


def _out_of_range(asset: AssetTerms, kind: EntityType, entity_id: UUID, requested: Decimal) -> BalanceOutOfRange:
    return BalanceOutOfRange(
        asset_id=str(asset.id),
        entity_type=str(kind),
        entity_id=str(entity_id),
        requested=format_amount(requested, asset.scale),
    )
