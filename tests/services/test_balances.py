"""Balances on a real database: what services leave there obeys the ledger's invariants, also under concurrency."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest

from db.repositories import ledger
from db.session import Database
from domain.errors import DomainError
from domain.ledger.accounts import AccountKey, Bucket, EntityType
from domain.ledger.books import Books
from domain.ledger.credit import credit
from domain.ledger.entries import Origin
from runtime.ids import new_id
from services import balances, organizations, wallets
from services.movements import Adjustment, AdjustType, Movement
from services.state import Author, Entity, EntityKind
from services.transactions import transact
from services.wallets import WalletChange


class Shop:
    """A program with one asset and some participants, made of bare rows."""

    def __init__(self, database: Database, *, mode: str, policy: str, participants: int = 3) -> None:
        self.database = database
        with database.session() as session:
            organization = organizations.create_organization(session, "Shop")
        self.author = Author(organization.id, new_id())
        self.program, self.asset = new_id(), new_id()
        self.participants = [new_id() for _ in range(participants)]
        with database.connection() as conn:
            conn.execute(
                "INSERT INTO programs (id, organization_id, name, created_at, updated_at) VALUES (%s, %s, 'P', now(), now())",
                [self.program, organization.id],
            )
            conn.execute(
                "INSERT INTO assets (id, organization_id, name, symbol, inventory_mode, issuance_policy, scale, created_at, updated_at)"
                " VALUES (%s, %s, 'A', 'A', %s, %s, 2, now(), now())",
                [self.asset, organization.id, mode, policy],
            )
            conn.execute("INSERT INTO program_assets VALUES (%s, %s, %s, now())", [self.program, self.asset, organization.id])
            for id_ in self.participants:
                conn.execute(
                    "INSERT INTO holders (id, organization_id, kind) VALUES (%s, %s, 'PARTICIPANT')", [id_, organization.id]
                )
                conn.execute(
                    "INSERT INTO participants (id, organization_id, external_id, created_at, updated_at) VALUES (%s, %s, %s, now(), now())",
                    [id_, organization.id, str(id_)],
                )

    def key(self, participant: UUID) -> AccountKey:
        return AccountKey(EntityType.PARTICIPANT, participant, self.asset)

    def act(self, random: Random) -> bool:
        """One random operation; whether it was allowed."""
        who = random.choice(self.participants)
        amount = Decimal(random.randint(1, 3000)).scaleb(-2)
        work = random.choice([self.adjust, self.adjust, self.adjust, self.move, self.move, self.fund])
        try:
            transact(self.database, lambda session: work(session, random, who, amount))
        except DomainError:
            return False
        return True

    def adjust(self, session: object, random: Random, who: UUID, amount: Decimal) -> None:
        is_credit = random.random() < 0.6
        is_held = is_credit and random.random() < 0.3
        lots = self.is_lot and is_credit
        wanted = Adjustment(
            program_id=self.program,
            asset_id=self.asset,
            type=AdjustType.CREDIT if is_credit else AdjustType.DEBIT,
            amount=amount,
            description="x",
            bucket=Bucket.HELD if is_held else Bucket.AVAILABLE,
            allow_negative=not is_credit and random.random() < 0.2,
            reference_id=random.choice([None, "a"]),
            expires_at=timedelta(milliseconds=random.choice([20, 90_000])) if lots and random.random() < 0.5 else None,
            matures_at=timedelta(milliseconds=10) if lots and not is_held and random.random() < 0.3 else None,
        )
        balances.adjust(session, self.author, Entity(EntityKind.PARTICIPANT, who), wanted, is_strict=False)

    def move(self, session: object, random: Random, who: UUID, amount: Decimal) -> None:
        use_case: Callable[..., object] = random.choice(
            [
                balances.hold_balance,
                balances.hold_balance,
                balances.release_balance,
                balances.forfeit_balance,
                balances.void_hold_balance,
            ]
        )
        is_void = use_case is balances.void_hold_balance
        wanted = Movement(
            program_id=self.program,
            asset_id=self.asset,
            description="x",
            amount=None if is_void or random.random() < 0.2 else amount,
            bucket=Bucket.HELD if use_case is balances.forfeit_balance else Bucket.AVAILABLE,
            reference_id="a" if is_void else random.choice([None, "a", "b"]),
            expires_at=timedelta(seconds=1) if use_case is balances.hold_balance and random.random() < 0.3 else None,
        )
        use_case(session, self.author, Entity(EntityKind.PARTICIPANT, who), wanted, is_strict=False)

    def fund(self, session: object, random: Random, who: UUID, amount: Decimal) -> None:
        use_case = random.choice([wallets.fund_program, wallets.fund_program, wallets.burn_balance])
        use_case(session, self.author, WalletChange(self.program, self.asset, amount * 3), is_strict=False)

    @property
    def is_lot(self) -> bool:
        with self.database.connection() as conn:
            return bool(conn.execute("SELECT inventory_mode = 'LOT' FROM assets WHERE id = %s", [self.asset]).fetchone()[0])


VIOLATIONS = {
    "entries sum to zero": "SELECT entry_id FROM postings WHERE asset_id = %(a)s GROUP BY entry_id HAVING sum(amount) <> 0",
    "balances are their postings": """
        SELECT b.holder_id FROM balances b WHERE b.asset_id = %(a)s AND (b.available, b.held, b.deferred, b.account_seq, b.last_entry_at)
        <> (SELECT coalesce(sum(amount) FILTER (WHERE bucket = 'AVAILABLE'), 0),
            coalesce(sum(amount) FILTER (WHERE bucket = 'HELD'), 0), coalesce(sum(amount) FILTER (WHERE bucket = 'DEFERRED'), 0),
            count(*), max(created_at) FROM postings p WHERE p.entity_id = b.holder_id AND p.asset_id = b.asset_id)""",
    "wallets are their postings": """
        SELECT w.program_id FROM wallets w WHERE w.asset_id = %(a)s AND (w.available, w.account_seq) <>
        (SELECT coalesce(sum(amount), 0), count(*) FROM postings p WHERE p.entity_id = w.program_id AND p.asset_id = w.asset_id)""",
    "lots add up": """
        SELECT b.holder_id FROM balances b JOIN assets a ON a.id = b.asset_id AND a.inventory_mode = 'LOT' WHERE b.asset_id = %(a)s AND
        (greatest(b.available, 0), b.held, b.deferred) <> (SELECT coalesce(sum(remaining) FILTER (WHERE status = 'AVAILABLE'), 0),
            coalesce(sum(remaining) FILTER (WHERE status = 'HELD'), 0), coalesce(sum(remaining) FILTER (WHERE status = 'DEFERRED'), 0)
            FROM lots l WHERE l.holder_id = b.holder_id AND l.asset_id = b.asset_id)""",
    "hold records add up": """
        SELECT b.holder_id FROM balances b WHERE b.asset_id = %(a)s AND b.held <>
        (SELECT coalesce(sum(remaining), 0) FROM holds h WHERE h.holder_id = b.holder_id AND h.asset_id = b.asset_id)""",
    "held lots lie in open holds": """
        SELECT l.id FROM lots l LEFT JOIN holds h ON h.id = l.hold_id WHERE l.asset_id = %(a)s
        GROUP BY l.id, h.id HAVING (l.status = 'HELD') <> (coalesce(h.remaining, 0) > 0)""",
    "due moments are exact": """
        SELECT b.holder_id FROM balances b WHERE b.asset_id = %(a)s AND b.next_due_at IS DISTINCT FROM (SELECT min(at) FROM (
            SELECT expires_at FROM lots l WHERE l.holder_id = b.holder_id AND l.asset_id = b.asset_id AND status IN ('AVAILABLE', 'DEFERRED')
            UNION ALL SELECT matures_at FROM lots l WHERE l.holder_id = b.holder_id AND l.asset_id = b.asset_id AND status = 'DEFERRED'
            UNION ALL SELECT expires_at FROM holds h WHERE h.holder_id = b.holder_id AND h.asset_id = b.asset_id AND remaining > 0
        ) AS due (at))""",
    "running figures follow": """
        SELECT id FROM (SELECT id, account_seq, created_at, balance_after, total_after, row_number() OVER account AS place,
            sum(amount) OVER account AS total, sum(amount) OVER of_bucket AS balance,
            lag(created_at) OVER account AS before, lag(entry_id) OVER account AS entry_before, entry_id
            FROM postings WHERE asset_id = %(a)s AND entity_id IS NOT NULL
            WINDOW account AS (PARTITION BY entity_id ORDER BY account_seq), of_bucket AS (PARTITION BY entity_id, bucket ORDER BY account_seq)
        ) AS lines WHERE account_seq <> place OR balance_after <> balance OR total_after <> total
            OR (created_at <= before AND entry_id <> entry_before)""",
}


def assert_sound(shop: Shop) -> None:
    with shop.database.connection() as conn:
        for name, query in VIOLATIONS.items():
            assert conn.execute(query, {"a": shop.asset}).fetchall() == [], name


@pytest.mark.parametrize("mode", ["SIMPLE", "LOT"])
@pytest.mark.parametrize("policy", ["UNLIMITED", "PREFUNDED"])
def test_invariants_hold_after_concurrent_operations(database: Database, mode: str, policy: str) -> None:
    shop = Shop(database, mode=mode, policy=policy)
    seeds = [Random(f"{mode}{policy}{number}") for number in range(4)]
    with ThreadPoolExecutor(len(seeds)) as pool:
        allowed = list(pool.map(lambda random: sum(shop.act(random) for _ in range(30)), seeds))
    assert sum(allowed) > 30
    assert_sound(shop)
    with database.connection() as conn:
        assert conn.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()[0] == 0


def open_books(conn: object, shop: Shop, **options: bool) -> Books:
    books = Books(ledger.find_assets(conn, shop.author.organization_id, [shop.asset]), new_id)
    ledger.load_accounts(conn, books, [shop.key(id_) for id_ in shop.participants], **options)
    return books


def give(books: Books, key: AccountKey, shop: Shop, **options: object) -> None:
    credit(books, key, Decimal("1.50"), now=datetime.now(UTC), origin=Origin(shop.program, "x"), **options)


class TestFlush:
    def test_what_was_written_is_loaded_again(self, database: Database) -> None:
        shop = Shop(database, mode="LOT", policy="UNLIMITED", participants=2)
        key = shop.key(shop.participants[0])
        with database.connection() as conn:
            books = open_books(conn, shop, with_lots=True)
            give(books, key, shop, expires_at=timedelta(hours=1))
            give(books, key, shop, bucket=Bucket.HELD)
            written = books.account(key)
            ledger.flush(conn, books)
        with database.connection() as conn:
            read = open_books(conn, shop, with_lots=True).account(key)
        assert read.version == written.version + 1
        for name in ("balance", "account_seq", "last_entry_at", "next_due_at", "lots", "holds"):
            assert getattr(read, name) == getattr(written, name), name

    def test_a_changed_account_is_stale(self, database: Database) -> None:
        shop = Shop(database, mode="SIMPLE", policy="UNLIMITED", participants=1)
        key = shop.key(shop.participants[0])
        for _ in range(2):
            with database.connection() as first:
                books = open_books(first, shop, with_lots=False)
                with database.connection() as second:
                    theirs = open_books(second, shop, with_lots=False)
                    give(theirs, key, shop)
                    ledger.flush(second, theirs)
                give(books, key, shop)
                with pytest.raises(ledger.StaleBooks):
                    ledger.flush(first, books)
                first.rollback()
        assert_sound(shop)

    def test_lots_of_a_changed_account_are_not_mixed_in(self, database: Database) -> None:
        shop = Shop(database, mode="LOT", policy="UNLIMITED", participants=1)
        key = shop.key(shop.participants[0])
        with database.connection() as conn:
            books = open_books(conn, shop, with_lots=False)
            give(books, key, shop)
            ledger.flush(conn, books)
        with database.connection() as first:
            books = open_books(first, shop, with_lots=False)
            with database.connection() as second:
                theirs = open_books(second, shop, with_lots=True)
                give(theirs, key, shop)
                ledger.flush(second, theirs)
            with pytest.raises(ledger.StaleBooks):
                ledger.load_accounts(first, books, [key], with_lots=True)

    def test_the_journal_only_grows(self, database: Database) -> None:
        shop = Shop(database, mode="SIMPLE", policy="UNLIMITED", participants=1)
        with database.connection() as conn:
            books = open_books(conn, shop, with_lots=False)
            give(books, shop.key(shop.participants[0]), shop)
            ledger.flush(conn, books)
        for table in ("journal_entries", "postings"):
            for statement in (f"UPDATE {table} SET created_at = now()", f"DELETE FROM {table}", f"TRUNCATE {table}"):
                with pytest.raises(psycopg.Error), database.connection() as conn:
                    conn.execute(statement)

    def test_texts_of_all_kinds(self, database: Database) -> None:
        shop = Shop(database, mode="SIMPLE", policy="UNLIMITED", participants=1)
        texts = ['a "quoted" \\ back\nslash', "{NULL,}", "NULL", "", "Café 🎉 ", "%s %(x)s"]
        with database.connection() as conn:
            books = open_books(conn, shop, with_lots=False)
            for text in texts:
                origin = Origin(shop.program, text, reference_id="NULL")
                credit(books, shop.key(shop.participants[0]), Decimal(1), now=datetime.now(UTC), origin=origin)
            ledger.flush(conn, books)
            rows = conn.execute(
                "SELECT description, reference_id FROM journal_entries WHERE program_id = %s ORDER BY created_at", [shop.program]
            ).fetchall()
        assert rows == [(text, "NULL") for text in texts]


def test_lock_wallets_gives_missing_rows_of_links(database: Database) -> None:
    shop = Shop(database, mode="SIMPLE", policy="PREFUNDED", participants=1)
    pair, unknown = (shop.program, shop.asset), (shop.program, uuid4())
    with database.connection() as conn:
        assert ledger.lock_wallets(conn, [pair, unknown]) == {pair: 0}
