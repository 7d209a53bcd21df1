"""Random histories of every kind of entry, written by the ledger's own operations in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from db.repositories import ledger
from db.repositories.ledger_terms import database_now
from db.session import Database
from domain.errors import DomainError
from domain.ledger.accounts import NIL, AccountKey, Bucket, EntityType
from domain.ledger.books import Books
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.entries import Origin
from domain.ledger.moves import forfeit, hold, release, void_hold
from domain.ledger.redeem import Target, redeem, reverse
from domain.ledger.transfer import Leg, transfer
from domain.ledger.wallets import burn, fund
from runtime.ids import new_id

SPANS = (timedelta(hours=1), timedelta(days=2), timedelta(days=90))


@dataclass
class RandomLedger:
    """Two people and a group in two programs; the first asset is SIMPLE, the others have lots, the last one wallets."""

    database: Database
    organization_id: UUID
    programs: Sequence[UUID]
    assets: Sequence[UUID]
    people: Sequence[UUID]
    group: UUID
    random: Random
    redeemed: list[tuple[AccountKey, Target, UUID]] = field(default_factory=list)

    def write(self, count: int) -> None:
        """So many operations over the sixty days before now; what the books refuse is left out."""
        with self.database.connection() as conn:
            ledger.lock_holders(conn, {*self.people, self.group})
            books = Books(ledger.find_assets(conn, self.organization_id, list(self.assets)), new_id)
            wallets = sorted((program, self.assets[-1]) for program in self.programs)
            ledger.lock_wallets(conn, wallets)
            ledger.load_wallets(conn, books, wallets)
            ledger.load_accounts(conn, books, self._keys(), with_lots=True)
            now = database_now(conn) - timedelta(days=60)
            for program, asset in wallets:
                fund(books, asset, Decimal(2000), now=now, origin=Origin(program, "Fund"))
            for _ in range(count):
                now += timedelta(days=59) / count
                self._do_one(books, now)
            ledger.flush(conn, books)

    def _keys(self) -> list[AccountKey]:
        people = [AccountKey(EntityType.PARTICIPANT, id_, asset) for id_ in self.people for asset in self.assets]
        pairs = [(asset, program) for asset in self.assets for program in self.programs]
        return people + [AccountKey(EntityType.GROUP, self.group, asset, program) for asset, program in pairs]

    def _do_one(self, books: Books, now: datetime) -> None:
        operations: list[Callable[[Books, datetime, UUID, UUID], object]] = [
            *(self._credit,) * 5, self._accrue, self._settle, self._void, self._debit, self._move, self._move, self._forfeit,
            *(self._redeem,) * 3, *(self._reverse,) * 2, self._transfer, self._wallet,
        ]  # fmt: skip
        program, asset = self.random.choice(self.programs), self.random.choice(self.assets)
        try:
            with books.attempt():
                self.random.choice(operations)(books, now, program, asset)
        except DomainError:
            return

    # ------------------------------------------------------------ drawing
    def _holder(self, program: UUID, asset: UUID) -> AccountKey:
        id_ = self.random.choice([*self.people, self.people[0], self.group])
        if id_ == self.group:
            return AccountKey(EntityType.GROUP, id_, asset, program)
        return AccountKey(EntityType.PARTICIPANT, id_, asset, NIL)

    def _amount(self, most: int = 3000) -> Decimal:
        return Decimal(self.random.randint(1, most)).scaleb(-2)

    def _origin(self, program: UUID, *, is_referred: bool = False) -> Origin:
        return Origin(program, "Random", reference_id=self.random.choice("ab") if is_referred else None)

    # ------------------------------------------------------------ operations
    def _credit(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        has_lots = asset != self.assets[0]
        expires = self.random.choice((None, *SPANS)) if has_lots else None
        matures = timedelta(minutes=30) if has_lots and self.random.random() < 0.2 else None
        key = self._holder(program, asset)
        credit(books, key, self._amount(), now=now, origin=self._origin(program), expires_at=expires, matures_at=matures)

    def _accrue(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        origin = self._origin(program, is_referred=True)
        credit(books, self._holder(program, asset), self._amount(), now=now, origin=origin, bucket=Bucket.HELD)

    def _settle(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        """Accrue and settle at once: above, below, or to the very amount."""
        origin, key, amount = self._origin(program, is_referred=True), self._holder(program, asset), self._amount()
        credit(books, key, amount, now=now, origin=origin, bucket=Bucket.HELD)
        credit(books, key, self.random.choice([amount, self._amount()]), now=now, origin=origin)

    def _void(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        void_hold(books, self._holder(program, asset), now=now, origin=self._origin(program, is_referred=True))

    def _debit(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        may_overdraw = self.random.random() < 0.3
        key = self._holder(program, asset)
        debit(books, key, self._amount(500), now=now, origin=self._origin(program), allow_negative=may_overdraw)

    def _move(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        key, origin = self._holder(program, asset), self._origin(program)
        if self.random.random() < 0.5:
            hold(books, key, self._amount(500), now=now, origin=origin, expires_at=self.random.choice((None, *SPANS)))
        else:
            release(books, key, None, now=now, origin=origin)

    def _forfeit(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        bucket = self.random.choice([Bucket.AVAILABLE, Bucket.HELD])
        forfeit(books, self._holder(program, asset), self._amount(300), now=now, origin=self._origin(program), bucket=bucket)

    def _redeem(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        key, target = self._holder(program, asset), self._holder(program, asset)
        sink: Target = EntityType.SYSTEM_REDEMPTION if target == key or self.random.random() < 0.5 else target
        redeem(books, key, self._amount(1000), sink, now=now, origin=self._origin(program))
        self.redeemed.append((key, sink, program))

    def _reverse(self, books: Books, now: datetime, _program: UUID, asset: UUID) -> None:
        """Of an asset without lots, so that nothing is owed to any."""
        fitting = [one for one in self.redeemed if one[0].asset_id == asset == self.assets[0]]
        if fitting:
            key, target, program = self.random.choice(fitting)
            reverse(books, key, self._amount(300), target, (), now=now, origin=self._origin(program))

    def _transfer(self, books: Books, now: datetime, program: UUID, asset: UUID) -> None:
        source = self._holder(program, asset)
        others = [key for key in (self._holder(program, asset) for _ in range(3)) if key != source]
        if others:
            transfer(books, source, [Leg(key, self._amount(200)) for key in others], now=now, origin=self._origin(program))

    def _wallet(self, books: Books, now: datetime, program: UUID, _asset: UUID) -> None:
        operation = self.random.choice([fund, burn])
        operation(books, self.assets[-1], self._amount(), now=now, origin=self._origin(program))
