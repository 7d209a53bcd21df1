"""Due entries: what time does to an account, written before anything touches or shows it (ledger.md, Maturity and expiry)."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.ledger.accounts import (
    LOT_STATUS_OF,
    Account,
    AccountKey,
    AssetTerms,
    Bucket,
    EntityType,
    Lot,
    LotStatus,
    negate,
    total,
)
from domain.ledger.books import Books, Owner
from domain.ledger.entries import ActionType, Origin
from domain.ledger.lots import Draw, Pick, arrive, moves_of, overdraft_of, pick_lots, release_pick, shift
from domain.money import ZERO

HOLD_EXPIRED = "Hold expired"
LOTS_MATURED = "Lots matured"
LOTS_EXPIRED = "Lots expired"


def is_due(account: Account, asset: AssetTerms, now: datetime) -> bool:
    """Whether the account may have something due; an archived asset's never has."""
    return account.next_due_at is not None and account.next_due_at <= now and not asset.is_archived


def post_due(books: Books, key: AccountKey, now: datetime) -> None:
    """Write what is due on one account: hold deadlines, then maturities, then expiries. MissingLots when there may be some."""
    account = books.account(key)
    asset = books.asset(key.asset_id)
    while is_due(account, asset, moment := books.time_after(now, account)):
        books.account_with_lots(key)
        books.touch_account(account)
        account.recompute_due()
        if not is_due(account, asset, moment):
            return
        _release_ended(books, account, asset, moment)
        _mature(books, account, asset, moment)
        _expire(books, account, asset, moment)
        account.due_is_stale = True
        account.recompute_due()


def ready(books: Books, key: AccountKey, now: datetime, *others: Owner) -> Account:
    """The account with nothing due at the time of an entry that touches it and the others."""
    account = books.account(key)
    post_due(books, key, books.time_after(now, *others))
    return account


def ready_all(books: Books, keys: Iterable[AccountKey], now: datetime) -> datetime:
    """Write what is due on all accounts at the time of an entry that touches them all; that time."""
    accounts = {key: books.account(key) for key in keys}
    moment = books.time_after(now, *accounts.values())
    while True:
        for key in accounts:
            post_due(books, key, moment)
        settled, moment = moment, books.time_after(now, *accounts.values())
        if moment == settled:
            return moment


def _release_ended(books: Books, account: Account, asset: AssetTerms, moment: datetime) -> None:
    dated = [(hold.expires_at, hold) for hold in account.holds.values() if hold.expires_at is not None]
    # A stable sort: records lie oldest first.
    for _, hold in sorted((item for item in dated if item[0] <= moment), key=lambda item: item[0]):
        chosen = Pick(hold.remaining, holds=(hold,))
        if asset.is_lot:
            chosen = pick_lots(lot for lot in account.open_lots(LotStatus.HELD) if lot.hold_id == hold.id)
        origin = Origin(hold.program_id, HOLD_EXPIRED, reference_id=hold.reference_id)
        release_pick(books, account, asset, chosen, chosen.amount, now=moment, origin=origin)


def _by_program(lots: Iterable[Lot]) -> dict[UUID, list[Draw]]:
    groups: dict[UUID, list[Draw]] = {}
    for lot in lots:
        groups.setdefault(lot.program_id, []).append(Draw(lot, lot.remaining, lot.id))
    return groups


def _mature(books: Books, account: Account, asset: AssetTerms, moment: datetime) -> None:
    matured = (
        lot
        for lot in account.open_lots(LotStatus.DEFERRED)
        if lot.matures_at is not None and lot.matures_at <= moment and not lot.is_expired(moment)
    )
    for program_id, draws in _by_program(matured).items():
        amount = total(taken.part for taken in draws)
        overdraft = overdraft_of(account)
        entry = books.post(
            ActionType.MATURITY,
            asset,
            [(account, Bucket.DEFERRED, negate(amount)), (account, Bucket.AVAILABLE, amount)],
            now=moment,
            origin=Origin(program_id, LOTS_MATURED),
            lots=moves_of(draws, Bucket.DEFERRED),
        )
        arrive(books, account, shift(books, account, draws, LotStatus.AVAILABLE, entry), overdraft)


def _expire(books: Books, account: Account, asset: AssetTerms, moment: datetime) -> None:
    expired = (lot for lot in account.lots if lot.status is not LotStatus.HELD and lot.is_expired(moment))
    for program_id, draws in _by_program(expired).items():
        parts = [
            (account, bucket, negate(total(taken.part for taken in draws if taken.lot.status is LOT_STATUS_OF[bucket])))
            for bucket in (Bucket.AVAILABLE, Bucket.DEFERRED)
        ]
        amount = total(taken.part for taken in draws)
        books.post(
            ActionType.EXPIRY,
            asset,
            [*parts, (EntityType.SYSTEM_BREAKAGE, Bucket.AVAILABLE, amount)],
            now=moment,
            origin=Origin(program_id, LOTS_EXPIRED),
            lots=[move for taken in draws for move in moves_of((taken,), Bucket(taken.lot.status))],
        )
        for lot, _, _ in draws:
            books.save_lot(account, lot, replace(lot, remaining=ZERO, status=LotStatus.EXPIRED))
