"""FUND and BURN of a program's wallet (programs-assets.md, Wallets)."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.ledger.accounts import Bucket, EntityType, negate
from domain.ledger.books import Books, Line
from domain.ledger.checks import require_cover, require_wallet_room
from domain.ledger.entries import ActionType, Entry, Origin


def fund(books: Books, asset_id: UUID, amount: Decimal, *, now: datetime, origin: Origin) -> Entry:
    """Mint the amount into the wallet of the origin's program. Refused: AssetArchived, BalanceOutOfRange."""
    asset = books.live_asset(asset_id)
    wallet = books.wallet(origin.program_id, asset_id)
    require_wallet_room(asset, wallet, amount, amount)
    lines: list[Line] = [(EntityType.SYSTEM_ISSUANCE, Bucket.AVAILABLE, negate(amount)), (wallet, Bucket.AVAILABLE, amount)]
    return books.post(ActionType.FUND, asset, lines, now=now, origin=origin)


def burn(books: Books, asset_id: UUID, amount: Decimal, *, now: datetime, origin: Origin) -> Entry:
    """Sink the amount from the wallet of the origin's program. Refused: AssetArchived, InsufficientWallet."""
    asset = books.live_asset(asset_id)
    wallet = books.wallet(origin.program_id, asset_id)
    require_cover(asset, wallet, amount)
    lines: list[Line] = [(wallet, Bucket.AVAILABLE, negate(amount)), (EntityType.SYSTEM_BREAKAGE, Bucket.AVAILABLE, amount)]
    return books.post(ActionType.BURN, asset, lines, now=now, origin=origin)
