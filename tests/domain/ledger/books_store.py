"""A database in memory for books: loads on demand, takes in what a flush would write."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import count
from typing import TypeVar
from uuid import UUID

from domain.ledger.accounts import Account, AccountKey, AssetTerms, Hold, Lot, Wallet
from domain.ledger.books import Books
from domain.ledger.entries import Entry
from domain.ledger.missing import MissingAccount, MissingLots, MissingState, MissingWallet

T = TypeVar("T")


def counter() -> Callable[[], UUID]:
    """Rising identifiers."""
    numbers = count(1)
    return lambda: UUID(int=next(numbers))


class Store:
    def __init__(self, *assets: AssetTerms) -> None:
        self.assets = {asset.id: asset for asset in assets}
        self.new_id = counter()
        self.accounts: dict[AccountKey, Account] = {}
        self.wallets: dict[tuple[UUID, UUID], Wallet] = {}
        self.lots: dict[UUID, tuple[AccountKey, Lot]] = {}
        self.holds: dict[UUID, tuple[AccountKey, Hold]] = {}
        self.entries: list[Entry] = []
        self.books = self.open()

    def open(self) -> Books:
        return Books(self.assets, self.new_id)

    def run(self, operation: Callable[[Books], T]) -> T:
        """Do it as an attempt, loading what it misses."""
        while True:
            try:
                with self.books.attempt():
                    return operation(self.books)
            except MissingState as missing:
                self.load(missing)

    def load(self, missing: MissingState) -> None:
        if isinstance(missing, MissingAccount):
            stored = self.accounts.get(missing.key)
            account = stored.clone() if stored else Account(missing.key, lots_loaded=True)
            self.books.add_account(account)
        elif isinstance(missing, MissingWallet):
            pair = (missing.program_id, missing.asset_id)
            stored_wallet = self.wallets.get(pair)
            copied = [getattr(stored_wallet, field.name) for field in fields(Wallet)] if stored_wallet else pair
            self.books.add_wallet(Wallet(*copied))
        elif isinstance(missing, MissingLots):
            lots = [lot for key, lot in self.lots.values() if key == missing.key and lot.remaining]
            holds = [hold for key, hold in self.holds.values() if key == missing.key and hold.remaining]
            self.books.account(missing.key).attach(lots, holds)
        else:
            raise missing

    def commit(self) -> None:
        """Keep what the books did, and begin anew."""
        books = self.books
        assert not self.lots.keys() & books.new_lots.keys()
        assert books.changed_lots.keys() <= self.lots.keys()
        assert not self.holds.keys() & books.new_holds.keys()
        assert books.changed_holds.keys() <= self.holds.keys()
        self.entries = self.all_entries()
        self.lots = self.all_lots()
        self.holds = self.all_holds()
        for key, account in books.changed_accounts.items():
            account.recompute_due()
            kept = account.clone()
            kept.lots, kept.holds, kept.lots_loaded, kept.version = [], {}, False, account.version + 1
            self.accounts[key] = kept
        self.wallets |= books.changed_wallets
        self.books = self.open()

    # What the database would hold if the books were flushed now.
    def all_entries(self) -> list[Entry]:
        return self.entries + self.books.entries

    def all_lots(self) -> dict[UUID, tuple[AccountKey, Lot]]:
        return self.lots | self.books.changed_lots | self.books.new_lots

    def all_holds(self) -> dict[UUID, tuple[AccountKey, Hold]]:
        return self.holds | self.books.changed_holds | self.books.new_holds

    def lots_of(self, key: AccountKey) -> list[Lot]:
        mine = [lot for owner, lot in self.all_lots().values() if owner == key]
        return sorted(mine, key=lambda lot: (lot.created_at, lot.id))

    def holds_of(self, key: AccountKey) -> list[Hold]:
        return [hold for owner, hold in self.all_holds().values() if owner == key and hold.remaining]

    def account(self, key: AccountKey) -> Account:
        return self.books.find_account(key) or self.accounts.get(key) or Account(key)

    def wallet(self, program_id: UUID, asset_id: UUID) -> Wallet:
        return (
            self.books.find_wallet(program_id, asset_id)
            or self.wallets.get((program_id, asset_id))
            or Wallet(program_id, asset_id)
        )

    def trace(self) -> Iterator[object]:
        """Everything that a refused operation must leave as it was."""
        books = self.books
        yield list(books.entries)
        for effects in (books.new_lots, books.changed_lots, books.new_holds, books.changed_holds):
            yield dict(effects)
        # Lots that were loaded on the way may stay.
        known = ("lots_loaded", "lots", "holds")
        names = [field.name for field in fields(Account) if field.name not in known]
        yield {key: [getattr(account, name) for name in names] for key, account in books.changed_accounts.items()}
        yield {key: repr(wallet) for key, wallet in books.changed_wallets.items()}
