"""Postings in bulk: the ledger's own operations, hundreds to a transaction, written by the product's own flush."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from db.repositories import ledger
from db.repositories.ledger_terms import database_now
from db.session import Database
from domain.ledger.accounts import AccountKey, EntityType
from domain.ledger.books import Books
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.entries import Origin
from runtime.ids import new_id


@dataclass
class Bulk:
    """What is written for one asset in one program."""

    database: Database
    organization_id: UUID
    program_id: UUID
    asset_id: UUID
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        self.origin = Origin(self.program_id, "Bulk")

    def of_participant(self, id_: UUID) -> AccountKey:
        return AccountKey(EntityType.PARTICIPANT, id_, self.asset_id)

    def of_group(self, id_: UUID) -> AccountKey:
        return AccountKey(EntityType.GROUP, id_, self.asset_id, self.program_id)

    @contextmanager
    def books(self, keys: Collection[AccountKey] = ()) -> Iterator[tuple[Books, datetime]]:
        """Books with these accounts and the program's wallet, and the time; what is done to them is written at the end."""
        with self.database.connection() as conn:
            ledger.lock_holders(conn, {key.holder_id for key in keys})
            books = Books(ledger.find_assets(conn, self.organization_id, [self.asset_id]), new_id)
            if books.assets[self.asset_id].is_prefunded:
                pair = (self.program_id, self.asset_id)
                ledger.lock_wallets(conn, [pair])
                ledger.load_wallets(conn, books, [pair])
            ledger.load_accounts(conn, books, keys, with_lots=True)
            yield books, database_now(conn)
            ledger.flush(conn, books)

    def credit_in(self, books: Books, key: AccountKey, now: datetime) -> None:
        """A credit of 5 in books that are open."""
        credit(books, key, Decimal(5), now=now, origin=self.origin)

    def credit(self, key: AccountKey, count: int, amount: Decimal = Decimal(1), *, expires_at: timedelta | None = None) -> None:
        """So many credits, on a LOT asset so many lots."""
        with self.books([key]) as (books, now):
            for _ in range(count):
                credit(books, key, amount, now=now, origin=self.origin, expires_at=expires_at)

    def debit(self, key: AccountKey, amount: Decimal) -> None:
        """One debit."""
        with self.books([key]) as (books, now):
            debit(books, key, amount, now=now, origin=self.origin)

    def spend(self, key: AccountKey, count: int, at_once: int = 1000) -> None:
        """So many lots of 1, each credited in one transaction and spent in a later one."""
        for start in range(0, count, at_once):
            lots = min(at_once, count - start)
            self.credit(key, lots)
            self.debit(key, Decimal(lots))


def make_participants(database: Database, organization_id: UUID, count: int) -> list[UUID]:
    """New participants, with their id as external id."""
    ids = [new_id() for _ in range(count)]
    with database.connection() as conn:
        conn.execute(
            """
            WITH made AS (
                INSERT INTO holders (id, organization_id, kind)
                SELECT id, %(organization)s, 'PARTICIPANT' FROM unnest(%(ids)s) AS id RETURNING id)
            INSERT INTO participants (id, organization_id, external_id, created_at, updated_at)
            SELECT id, %(organization)s, id::text, openscrip_now(), openscrip_now() FROM made
            """,
            {"organization": organization_id, "ids": ids},
        )
    return ids
