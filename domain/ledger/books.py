"""The working set of one transaction: accounts and wallets loaded into it, and the effects to be flushed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.errors import AssetArchived
from domain.ledger.accounts import (
    Account,
    AccountKey,
    AssetTerms,
    Balance,
    Bucket,
    EntityType,
    Hold,
    Lot,
    OutsideAccount,
    Wallet,
    add,
)
from domain.ledger.entries import ActionType, Entry, LotMove, Origin, Posting
from domain.ledger.missing import MissingAccount, MissingAsset, MissingLots, MissingWallet

TICK = timedelta(microseconds=1)

# One side of an entry: a holder's account, a wallet, a SYSTEM account of the asset's organization, or an outside account.
Owner = Account | Wallet | EntityType | OutsideAccount
Line = tuple[Owner, Bucket, Decimal]


@dataclass(slots=True)
class _Frame:
    """What one attempt would have to undo: how long the journal was, old values of maps, accounts and wallets as they were."""

    journal_length: int
    replaced: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)
    originals: dict[Any, tuple[Account | Wallet, Account | Wallet]] = field(default_factory=dict)


_ABSENT = object()


class Books:
    """Accounts, wallets and assets by key, and what operations did to them, in order.

    `new_id` gives fresh identifiers, each above the last. Effects for the flush: `entries`, `changed_accounts`,
    `changed_wallets`, `new_lots`, `changed_lots`, `new_holds`, `changed_holds`.
    """

    def __init__(self, assets: Mapping[UUID, AssetTerms], new_id: Callable[[], UUID]) -> None:
        self.assets = dict(assets)
        self.new_id = new_id
        self.entries: list[Entry] = []
        self.changed_accounts: dict[AccountKey, Account] = {}
        self.changed_wallets: dict[tuple[UUID, UUID], Wallet] = {}
        self.new_lots: dict[UUID, tuple[AccountKey, Lot]] = {}
        self.changed_lots: dict[UUID, tuple[AccountKey, Lot]] = {}
        self.new_holds: dict[UUID, tuple[AccountKey, Hold]] = {}
        self.changed_holds: dict[UUID, tuple[AccountKey, Hold]] = {}
        self._accounts: dict[AccountKey, Account] = {}
        self._wallets: dict[tuple[UUID, UUID], Wallet] = {}
        self._frames: list[_Frame] = []

    # ------------------------------------------------------------------ what is loaded

    def add_asset(self, asset: AssetTerms) -> None:
        """Put an asset in, or renew it."""
        self.assets[asset.id] = asset

    def add_account(self, account: Account) -> None:
        """Put a loaded account in; one that is there already stays, with all that was done to it."""
        self._accounts.setdefault(account.key, account)

    def add_wallet(self, wallet: Wallet) -> None:
        """Put a loaded wallet in; one that is there already stays."""
        self._wallets.setdefault((wallet.program_id, wallet.asset_id), wallet)

    def account(self, key: AccountKey) -> Account:
        """The account; MissingAccount when it isn't loaded."""
        try:
            return self._accounts[key]
        except KeyError:
            raise MissingAccount(key) from None

    def account_with_lots(self, key: AccountKey) -> Account:
        """The account with its lots and hold records; MissingAccount or MissingLots."""
        account = self.account(key)
        if not account.lots_loaded:
            raise MissingLots(key)
        return account

    def find_account(self, key: AccountKey) -> Account | None:
        """The account, or None when it isn't loaded."""
        return self._accounts.get(key)

    def find_wallet(self, program_id: UUID, asset_id: UUID) -> Wallet | None:
        """The wallet, or None when it isn't loaded."""
        return self._wallets.get((program_id, asset_id))

    def wallet(self, program_id: UUID, asset_id: UUID) -> Wallet:
        """The program's wallet of a PREFUNDED asset; MissingWallet when it isn't loaded."""
        try:
            return self._wallets[program_id, asset_id]
        except KeyError:
            raise MissingWallet(program_id, asset_id) from None

    def asset(self, asset_id: UUID) -> AssetTerms:
        """The asset; MissingAsset when it isn't loaded."""
        try:
            return self.assets[asset_id]
        except KeyError:
            raise MissingAsset(asset_id) from None

    def live_asset(self, asset_id: UUID) -> AssetTerms:
        """The asset, for a new entry; AssetArchived when it takes none any more."""
        asset = self.asset(asset_id)
        if asset.is_archived:
            raise AssetArchived(asset_id=str(asset_id))
        return asset

    # ------------------------------------------------------------------ all or nothing

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo everything done inside when it raises; costs what was touched, not what is loaded. Attempts nest."""
        frame = _Frame(len(self.entries))
        self._frames.append(frame)
        try:
            yield
        except BaseException:
            self._frames.pop()
            self._undo(frame)
            raise
        self._frames.pop()
        if self._frames:
            outer = self._frames[-1]
            outer.replaced.extend(frame.replaced)
            for key, original in frame.originals.items():
                outer.originals.setdefault(key, original)

    def _undo(self, frame: _Frame) -> None:
        del self.entries[frame.journal_length :]
        for mapping, key, old in reversed(frame.replaced):
            if old is _ABSENT:
                del mapping[key]
            else:
                mapping[key] = old
        for current, original in frame.originals.values():
            # Lots loaded inside the attempt are knowledge, not an effect, but they can't be told from the changed ones.
            for name in fields(original):
                setattr(current, name.name, getattr(original, name.name))

    def _put(self, mapping: dict[Any, Any], key: object, value: object) -> None:
        if self._frames:
            self._frames[-1].replaced.append((mapping, key, mapping.get(key, _ABSENT)))
        mapping[key] = value

    def touch_account(self, account: Account) -> None:
        """Announce a change of the account: it can be undone, and will be flushed."""
        key = account.key
        if self._frames and key not in (originals := self._frames[-1].originals):
            originals[key] = (account, account.clone())
        if key not in self.changed_accounts:
            self._put(self.changed_accounts, key, account)

    def touch_wallet(self, wallet: Wallet) -> None:
        """Announce a change of the wallet."""
        key = (wallet.program_id, wallet.asset_id)
        if self._frames and key not in (originals := self._frames[-1].originals):
            originals[key] = (wallet, copy(wallet))
        if key not in self.changed_wallets:
            self._put(self.changed_wallets, key, wallet)

    # ------------------------------------------------------------------ changes

    def add_lot(self, account: Account, lot: Lot) -> None:
        """Record a new lot of a touched account, which may be spent already by an overdraft."""
        self._put(self.new_lots, lot.id, (account.key, lot))
        account.place(lot)
        account.expect(lot.due_at)

    def current(self, account: Account, lot: Lot) -> Lot:
        """A lot that was loaded for itself, perhaps a spent one, as it is now."""
        _, changed = self.changed_lots.get(lot.id) or self.new_lots.get(lot.id) or (None, None)
        return changed or account.find_open(lot) or lot

    def save_lot(self, account: Account, old: Lot, new: Lot) -> None:
        """Record the new state of a lot of a touched account."""
        self._put(self.new_lots if new.id in self.new_lots else self.changed_lots, new.id, (account.key, new))
        account.place(new)
        if old.due_at != new.due_at:
            account.due_is_stale = True
            account.expect(new.due_at)

    def open_hold(self, account: Account, hold: Hold) -> None:
        """Record a new hold record of a touched account."""
        self._put(self.new_holds, hold.id, (account.key, hold))
        account.holds[hold.id] = hold
        account.expect(hold.expires_at)

    def save_hold(self, account: Account, hold: Hold) -> None:
        """Record what is left of a hold record of a touched account."""
        self._put(self.new_holds if hold.id in self.new_holds else self.changed_holds, hold.id, (account.key, hold))
        if hold.remaining:
            account.holds[hold.id] = hold
        else:
            del account.holds[hold.id]
            account.due_is_stale = account.due_is_stale or hold.expires_at is not None

    # ------------------------------------------------------------------ entries

    def time_after(self, now: datetime, *owners: Owner) -> datetime:
        """The earliest moment from `now` on for an entry that touches these accounts: 1 µs above their latest entries."""
        for owner in owners:
            if isinstance(owner, (Account, Wallet)) and owner.last_entry_at is not None and now <= owner.last_entry_at:
                now = owner.last_entry_at + TICK
        return now

    def post(
        self,
        action: ActionType,
        asset: AssetTerms,
        lines: Sequence[Line],
        *,
        now: datetime,
        origin: Origin,
        lots: Sequence[LotMove] = (),
    ) -> Entry:
        """Write one entry: zero lines are left out, balances and times of the accounts move on."""
        created_at = self.time_after(now, *(owner for owner, _, _ in lines))
        after: dict[AccountKey, Balance] = {}
        postings = tuple(self._post_line(asset, line, created_at, after) for line in lines if line[2])
        entry = Entry(self.new_id(), action, origin, created_at, postings, after, tuple(lots))
        self.entries.append(entry)
        return entry

    def _post_line(self, asset: AssetTerms, line: Line, created_at: datetime, after: dict[AccountKey, Balance]) -> Posting:
        owner, bucket, amount = line
        if isinstance(owner, EntityType):
            return Posting(self.new_id(), owner, None, asset.id, bucket, amount)
        if isinstance(owner, OutsideAccount):
            return Posting(self.new_id(), EntityType.LEDGER_ENTITY, owner.entity_id, asset.id, bucket, amount)
        if isinstance(owner, Wallet):
            self.touch_wallet(owner)
            owner.available = left = whole = add(owner.available, amount)
            kind, entity_id = EntityType.PROGRAM, owner.program_id
        else:
            self.touch_account(owner)
            left = _move(owner, bucket, amount)
            whole = owner.total
            kind, entity_id = owner.key.kind, owner.key.holder_id
            after[owner.key] = owner.balance
        owner.account_seq += 1
        owner.last_entry_at = created_at
        return Posting(self.new_id(), kind, entity_id, asset.id, bucket, amount, owner.account_seq, left, whole)


def _move(account: Account, bucket: Bucket, amount: Decimal) -> Decimal:
    left = add(account.bucket(bucket), amount)
    if bucket is Bucket.AVAILABLE:
        account.available = left
    elif bucket is Bucket.HELD:
        account.held = left
    else:
        account.deferred = left
    return left
