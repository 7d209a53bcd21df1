"""Each named check finds what is tampered with in the database, whole and in a window, and nothing of other organizations."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import Session

from db.session import Database, psycopg_of
from runtime.embedded import EmbeddedPostgres
from services import balances, groups
from services.books import UnpostedAccounts, unposted_accounts
from services.invariants import ALL, Window, violations
from services.movements import Adjustment, AdjustType
from services.state import Entity, EntityKind
from tests.services.full_books import FullBooks
from tests.support.databases import make_database
from tests.support.sealing import seal_all

OWN = "organization_id = %(organization)s"
HOLDER = "entity_type = 'PARTICIPANT'"
# what is done to the tables -> the checks that tell
TAMPERED = {
    f"UPDATE postings SET amount = amount + 1 WHERE {OWN} AND id = (SELECT id FROM postings WHERE {OWN} AND {HOLDER} LIMIT 1)": {
        "postings_balanced",
        "value_conservation",
        "running_balances",
        "balances_match",
    },
    f"UPDATE postings SET amount = amount + 0.001 WHERE {OWN} AND bucket = 'HELD'": {"amounts_scaled", "holds_posted"},
    f"UPDATE postings SET balance_after = balance_after + 1 WHERE {OWN} AND {HOLDER} AND bucket = 'HELD'": {"running_balances"},
    f"UPDATE postings SET balance_after = -1 WHERE {OWN} AND bucket = 'HELD'": {"never_negative", "running_balances"},
    f"UPDATE postings SET account_seq = NULL WHERE {OWN} AND bucket = 'HELD'": {"postings_numbered", "balances_match"},
    f"UPDATE postings SET entity_type = 'GROUP' WHERE {OWN} AND bucket = 'HELD'": {"moves_conserve", "balances_match"},
    f"UPDATE postings SET action_type = 'DEBIT' WHERE {OWN} AND bucket = 'HELD'": {"entries_complete"},
    f"DELETE FROM postings WHERE {OWN} AND entry_id = (SELECT id FROM journal_entries WHERE {OWN} AND action_type = 'FUND')": {
        "entries_complete",
        "wallets_match",
    },
    f"""WITH late AS (UPDATE journal_entries SET created_at = created_at - interval '1 hour' WHERE {OWN}
            AND action_type = 'REDEMPTION_REVERSAL' RETURNING id)
        UPDATE postings SET created_at = created_at - interval '1 hour' WHERE entry_id IN (SELECT id FROM late)""": {
        "times_rise"
    },
    f"UPDATE balances SET available = available + 1 WHERE {OWN} AND held > 0": {"balances_match", "lots_match"},
    f"UPDATE balances SET account_seq = account_seq + 1 WHERE {OWN} AND held > 0": {"balances_match"},
    f"UPDATE wallets SET available = available - 1 WHERE {OWN}": {"wallets_match"},
    f"UPDATE lots SET remaining = remaining - 1 WHERE {OWN} AND status = 'AVAILABLE'": {"lots_match"},
    f"UPDATE lots SET amount = amount + 1 WHERE {OWN} AND status = 'AVAILABLE'": {"lots_credited"},
    f"UPDATE lots SET expires_at = created_at + interval '9 y' WHERE {OWN} AND parent_lot_id IS NOT NULL": {"lots_credited"},
    f"DELETE FROM lots WHERE {OWN} AND status = 'CONSUMED'": {"lots_credited"},
    f"""INSERT INTO lots (id, organization_id, holder_id, asset_id, pair_program_id, program_id, amount, remaining, status,
            created_at, entry_id)
        SELECT gen_random_uuid(), organization_id, holder_id, asset_id, program_id, holder_id, 5, 5, 'AVAILABLE', last_entry_at,
            holder_id FROM balances WHERE {OWN} AND held = 0 AND available > 0""": {"lots_match", "lots_credited"},
    f"""ALTER TABLE lots DROP CONSTRAINT lots_check1, DROP CONSTRAINT IF EXISTS lots_check;
        UPDATE lots SET status = 'CONSUMED' WHERE {OWN} AND status = 'HELD'""": {
        "lot_remainders",
        "held_lots_match",
        "lots_match",
    },
    f"UPDATE holds SET remaining = remaining - 1 WHERE {OWN}": {"holds_match", "held_lots_match"},
    f"UPDATE holds SET amount = amount + 1 WHERE {OWN}": {"holds_posted"},
    f"UPDATE rule_budgets SET consumed = consumed - 1 WHERE {OWN}": {"budgets_match"},
    f"UPDATE rule_budgets SET period_started_at = period_started_at + interval '1 us' WHERE {OWN}": {"budgets_match"},
    f"UPDATE redemptions SET reversed_amount = reversed_amount + 1 WHERE {OWN} AND reversed_amount > 0": {
        "reversals_match",
        "redemption_lots_match",
    },
    f"UPDATE redemptions SET amount = amount + 1 WHERE {OWN} AND reversed_amount > 0": {
        "redemption_lots_match",
        "redemptions_posted",
    },
    f"DELETE FROM redemption_reversals WHERE {OWN}": {"reversals_match", "redemptions_posted"},
    f"""UPDATE redemption_lots SET amount = amount + 1 WHERE redemption_id IN (SELECT id FROM redemptions WHERE {OWN})
        AND ordinal = 0""": {"redemption_lots_match"},
    f"UPDATE rewards SET redeemed_count = redeemed_count - 1 WHERE {OWN}": {"stock_matches"},
    f"UPDATE reward_units SET units = units + 1 WHERE reward_id IN (SELECT id FROM rewards WHERE {OWN})": {"stock_matches"},
    f"UPDATE postings SET amount = 2 * amount WHERE {OWN} AND entry_id = (SELECT id FROM journal_entries WHERE {OWN} LIMIT 1)": {
        "hash_chain"
    },
    f"UPDATE journal_entries SET description = 'Gift' WHERE {OWN} AND action_type = 'FUND'": {"hash_chain"},
    f"UPDATE entry_seals SET entry_hash = sha256('x') WHERE {OWN} AND sequence_number = 3": {"hash_chain"},
    f"UPDATE entry_seals SET sequence_number = 99 WHERE {OWN} AND sequence_number = 3": {"hash_chain"},
    f"DELETE FROM entry_seals WHERE {OWN} AND sequence_number > 3": {"seals_complete"},
    f"""INSERT INTO unsealed_entries SELECT organization_id, created_at, id, now() - interval '61 s' FROM journal_entries
        WHERE {OWN} AND action_type = 'FUND'""": {"unsealed_entries", "seals_complete"},
    f"UPDATE idempotency_keys SET program_id = organization_id WHERE {OWN}": {"keys_once"},
}


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "invariants"), pool_size=4)) as database:
        yield database


@pytest.fixture(scope="module")
def books(store: Database) -> FullBooks:
    made = FullBooks(store)
    seal_all(store)
    return made


@pytest.fixture(scope="module")
def others(store: Database) -> FullBooks:
    return FullBooks(store)


@contextmanager
def tampered(books: FullBooks, statements: str) -> Iterator[Session]:
    """A session that sees what a superuser without triggers did; undone afterwards."""
    with books.database.session() as session:
        conn = psycopg_of(session)
        conn.execute("SET LOCAL ROLE NONE")
        conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements.split(";"):
            assert conn.execute(statement, {"organization": books.organization_id}).rowcount != 0
        yield session
        session.rollback()


def window_of(books: FullBooks) -> Window:
    with books.database.connection() as conn:
        first, last = conn.execute(
            "SELECT min(created_at), max(created_at) FROM journal_entries WHERE organization_id = %s", [books.organization_id]
        ).fetchone()
    return Window(first - timedelta(hours=2), last + timedelta(microseconds=1))


@pytest.mark.parametrize("statements", TAMPERED)
def test_what_is_tampered_with_is_found(books: FullBooks, others: FullBooks, statements: str) -> None:
    window = window_of(books)
    with tampered(books, statements) as session:
        found = {violation.check.name for violation in violations(session, books.organization_id)}
        assert TAMPERED[statements] <= found
        within = {violation.check.name for violation in violations(session, books.organization_id, window=window)}
        assert within == found
        assert violations(session, others.organization_id) == []


def test_postings_count_for_the_account_that_they_are_on(store: Database, books: FullBooks) -> None:
    """A group has an account in each program: that it has postings in one says nothing of another."""
    author, world = books.purse.author, books.world
    wanted = Adjustment(world.program_id, world.pts, AdjustType.CREDIT, Decimal(5), "test")
    with store.session() as session:
        group = groups.create_group(session, books.organization_id, "team", [], None)
        balances.adjust(session, author, Entity(EntityKind.GROUP, group.id), wanted, is_strict=False)
        assert unposted_accounts(session, None, 1000, 5) == UnpostedAccounts([], None)
        conn = psycopg_of(session)
        conn.execute("SET LOCAL ROLE NONE")
        conn.execute("UPDATE balances SET program_id = organization_id WHERE holder_id = %s", [group.id])
        [(organization_id, violation)] = unposted_accounts(session, None, 1000, 5).found
        session.rollback()
    assert (organization_id, violation.check.name) == (books.organization_id, "balances_match")
    assert violation.row["holder_id"] == group.id


def test_each_check_can_fail() -> None:
    assert {check.name for check in ALL} == set().union(*TAMPERED.values())
    assert len({check.name for check in ALL}) == len(ALL)


def test_a_violation_names_its_row(books: FullBooks) -> None:
    with tampered(books, f"UPDATE wallets SET available = available - 1 WHERE {OWN}") as session:
        [violation] = violations(session, books.organization_id)
    assert violation.row["program_id"] == books.world.program_id
    assert violation.row["posted_available"] - violation.row["available"] == 1
    assert str(violation).startswith(f"wallets_match: program_id={books.world.program_id}, asset_id={books.world.pts}, ")


def test_a_window_leaves_out_what_it_does_not_touch(books: FullBooks) -> None:
    window = window_of(books)
    later = Window(window.until, window.until + timedelta(hours=1))
    with tampered(books, f"UPDATE balances SET available = available + 1 WHERE {OWN} AND held > 0") as session:
        assert violations(session, books.organization_id, window=later) == []


def test_no_more_rows_than_wanted(books: FullBooks) -> None:
    with tampered(books, f"UPDATE postings SET amount = amount + 1 WHERE {OWN} AND {HOLDER}") as session:
        found = violations(session, books.organization_id, limit=1)
    assert len({violation.check.name for violation in found}) == len(found)
