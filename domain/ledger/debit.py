"""DEBIT: value returns to its source; AVAILABLE may be overdrawn where that is allowed (ledger.md, Overdraft)."""

from datetime import datetime
from decimal import Decimal

from domain.ledger.accounts import AccountKey, Bucket, negate, subtract
from domain.ledger.books import Books
from domain.ledger.checks import insufficient, require_room, require_wallet_room, require_within_maximum, source_of
from domain.ledger.due import ready
from domain.ledger.entries import ActionType, Entry, Origin
from domain.ledger.lots import consume, draw, lower_holds, moves_of, pick


def debit(
    books: Books,
    key: AccountKey,
    amount: Decimal,
    *,
    now: datetime,
    origin: Origin,
    bucket: Bucket = Bucket.AVAILABLE,
    allow_negative: bool = False,
) -> Entry:
    """Take the amount from AVAILABLE or HELD, FIFO; `allow_negative` counts for AVAILABLE only.

    Refused: AssetArchived, MaxTransactionAmountExceeded, InsufficientBalance, BalanceOutOfRange.
    """
    asset = books.live_asset(key.asset_id)
    source = source_of(books, asset, origin.program_id)
    account = ready(books, key, now, source)
    require_within_maximum(asset, amount)
    chosen = pick(books, account, asset, bucket)
    overdraft = subtract(amount, min(amount, chosen.amount))
    if overdraft and not (allow_negative and bucket is Bucket.AVAILABLE):
        raise insufficient(asset, bucket, chosen.amount, amount)
    if overdraft:
        require_room(asset, account, amount, available=negate(amount))
    require_wallet_room(asset, source, amount, amount)
    draws = draw(chosen.lots, subtract(amount, overdraft))
    lines = [(account, bucket, negate(amount)), (source, Bucket.AVAILABLE, amount)]
    entry = books.post(ActionType.DEBIT, asset, lines, now=now, origin=origin, lots=moves_of(draws, bucket))
    consume(books, account, draws)
    lower_holds(books, account, chosen.holds, amount)
    return entry
