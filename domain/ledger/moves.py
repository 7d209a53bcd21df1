"""HOLD, RELEASE, FORFEIT, VOID_HOLD (ledger.md, Holds). The origin's reference stamps a hold and selects in the other three."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from domain.ledger.accounts import (
    AccountKey,
    AssetTerms,
    Bucket,
    EntityType,
    Hold,
    HoldKind,
    LotStatus,
    negate,
)
from domain.ledger.books import Books, Owner
from domain.ledger.checks import insufficient, require_wallet_room, source_of
from domain.ledger.credit import When, resolve
from domain.ledger.due import post_due, ready
from domain.ledger.entries import ActionType, Entry, LotMove, Origin
from domain.ledger.lots import (
    EVERYTHING,
    Pick,
    Selection,
    consume,
    draw,
    lower_holds,
    moves_of,
    pick,
    pick_provisional,
    pick_reference,
    release_pick,
    shift,
)


@dataclass(frozen=True, slots=True)
class MoveResult:
    """The entry and the amount moved; `hold` is the new hold record of a HOLD."""

    entry: Entry
    amount: Decimal
    hold: Hold | None = None

    @property
    def lots(self) -> tuple[LotMove, ...]:
        """Each lot touched, in order; a split names the moved lot. Empty on SIMPLE assets."""
        return self.entry.lots


def hold(
    books: Books,
    key: AccountKey,
    amount: Decimal | None,
    *,
    now: datetime,
    origin: Origin,
    selection: Selection = EVERYTHING,
    expires_at: When | None = None,
) -> MoveResult:
    """AVAILABLE -> HELD, everything selected when `amount` is None. Refused: AssetArchived, InsufficientBalance."""
    asset = books.live_asset(key.asset_id)
    account = ready(books, key, now)
    chosen = pick(books, account, asset, Bucket.AVAILABLE, selection)
    size = _require_exactly(asset, Bucket.AVAILABLE, chosen, amount)
    draws = draw(chosen.lots, size, books.new_id)
    lines = [(account, Bucket.AVAILABLE, negate(size)), (account, Bucket.HELD, size)]
    entry = books.post(ActionType.HOLD, asset, lines, now=now, origin=origin, lots=moves_of(draws, Bucket.AVAILABLE))
    record = Hold(
        id=books.new_id(),
        program_id=origin.program_id,
        kind=HoldKind.MOVED,
        amount=size,
        remaining=size,
        created_at=entry.created_at,
        entry_id=entry.id,
        reference_id=origin.reference_id,
        expires_at=resolve(expires_at, entry.created_at),
    )
    books.open_hold(account, record)
    shift(books, account, draws, LotStatus.HELD, entry, record)
    post_due(books, key, entry.created_at)
    return MoveResult(entry, size, record)


def release(
    books: Books, key: AccountKey, amount: Decimal | None, *, now: datetime, origin: Origin, selection: Selection = EVERYTHING
) -> MoveResult:
    """HELD -> AVAILABLE: up to the amount, but exactly it on SIMPLE assets without a reference; then expiry of what is due.

    Refused: AssetArchived, InsufficientBalance.
    """
    asset = books.live_asset(key.asset_id)
    account = ready(books, key, now)
    chosen = _pick_held(books, key, asset, origin, selection)
    is_exact = not asset.is_lot and origin.reference_id is None
    if amount is not None and chosen.amount and not is_exact:
        amount = min(amount, chosen.amount)
    size = _require_exactly(asset, Bucket.HELD, chosen, amount)
    entry = release_pick(books, account, asset, chosen, size, now=now, origin=origin)
    post_due(books, key, entry.created_at)
    return MoveResult(entry, size)


def forfeit(
    books: Books,
    key: AccountKey,
    amount: Decimal | None,
    *,
    now: datetime,
    origin: Origin,
    bucket: Bucket = Bucket.AVAILABLE,
    selection: Selection = EVERYTHING,
) -> MoveResult:
    """Bucket -> SYSTEM_BREAKAGE, everything selected when `amount` is None. Refused: AssetArchived, InsufficientBalance."""
    asset = books.live_asset(key.asset_id)
    account = ready(books, key, now)
    if bucket is Bucket.HELD:
        chosen = _pick_held(books, key, asset, origin, selection)
    else:
        chosen = pick(books, account, asset, bucket, selection)
    size = _require_exactly(asset, bucket, chosen, amount)
    return _leave(books, key, asset, bucket, chosen, size, ActionType.FORFEIT, EntityType.SYSTEM_BREAKAGE, now, origin)


def void_hold(books: Books, key: AccountKey, *, now: datetime, origin: Origin) -> MoveResult:
    """All provisional lots of the origin's reference and program -> their source. LOT assets only.

    Refused: AssetArchived, InsufficientBalance, BalanceOutOfRange (the wallet).
    """
    asset = books.live_asset(key.asset_id)
    source = source_of(books, asset, origin.program_id)
    account = ready(books, key, now, source)
    chosen = pick_provisional(books, account, origin)
    size = _require_exactly(asset, Bucket.HELD, chosen, None)
    require_wallet_room(asset, source, size, size)
    return _leave(books, key, asset, Bucket.HELD, chosen, size, ActionType.VOID_HOLD, source, now, origin)


def _pick_held(books: Books, key: AccountKey, asset: AssetTerms, origin: Origin, selection: Selection) -> Pick:
    account = books.account(key)
    if origin.reference_id is None:
        return pick(books, account, asset, Bucket.HELD, selection)
    return pick_reference(books, account, asset, origin, selection)


def _require_exactly(asset: AssetTerms, bucket: Bucket, chosen: Pick, amount: Decimal | None) -> Decimal:
    if not chosen.amount or (amount is not None and amount > chosen.amount):
        raise insufficient(asset, bucket, chosen.amount, amount)
    return chosen.amount if amount is None else amount


def _leave(
    books: Books,
    key: AccountKey,
    asset: AssetTerms,
    bucket: Bucket,
    chosen: Pick,
    size: Decimal,
    action: ActionType,
    sink: Owner,
    now: datetime,
    origin: Origin,
) -> MoveResult:
    account = books.account(key)
    draws = draw(chosen.lots, size)
    lines = [(account, bucket, negate(size)), (sink, Bucket.AVAILABLE, size)]
    entry = books.post(action, asset, lines, now=now, origin=origin, lots=moves_of(draws, bucket))
    consume(books, account, draws)
    lower_holds(books, account, chosen.holds, size)
    return MoveResult(entry, size)
