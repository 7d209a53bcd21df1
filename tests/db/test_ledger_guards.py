"""The database itself keeps the books: nothing is edited, nothing is unbalanced, whoever asks."""

from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from db.session import APPLICATION_ROLE, Database
from runtime.ids import new_id

LEDGER = ("journal_entries", "postings")


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The schema's owner, whom no role holds back: only the triggers do."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


def write_entry(
    connection: psycopg.Connection[tuple[object, ...]], amounts: list[str], *, assets: list[UUID] | None = None
) -> UUID:
    entry, organization, program = new_id(), new_id(), new_id()
    assets = assets or [new_id()] * len(amounts)
    connection.execute(
        "INSERT INTO journal_entries (id, organization_id, program_id, action_type, description, created_at)"
        " VALUES (%s, %s, %s, 'CREDIT', 'test', now())",
        [entry, organization, program],
    )
    connection.execute(
        """
        INSERT INTO postings (entry_id, ordinal, id, organization_id, program_id, asset_id, entity_type, bucket, amount, created_at,
                              action_type)
        SELECT %s, ordinal, gen_random_uuid(), %s, %s, asset_id, 'SYSTEM_ISSUANCE', 'AVAILABLE', amount, now(), 'CREDIT'
        FROM unnest(%s::uuid[], %s::numeric[]) WITH ORDINALITY AS line (asset_id, amount, ordinal)
        """,
        [entry, organization, program, assets, [Decimal(amount) for amount in amounts]],
    )
    return entry


class TestZeroSum:
    def test_balanced_entry_is_written(self, owner: psycopg.Connection[tuple[object, ...]]) -> None:
        entry = write_entry(owner, ["10.00", "-4.00", "-6.00"])
        assert owner.execute("SELECT sum(amount) FROM postings WHERE entry_id = %s", [entry]).fetchone() == (0,)

    def test_unbalanced_entry_is_refused(self, owner: psycopg.Connection[tuple[object, ...]]) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero"):
            write_entry(owner, ["10.00", "-9.99"])

    def test_each_asset_balances_by_itself(self, owner: psycopg.Connection[tuple[object, ...]]) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="does not sum to zero"):
            write_entry(owner, ["10.00", "-10.00"], assets=[new_id(), new_id()])

    def test_posting_of_zero_is_refused(self, owner: psycopg.Connection[tuple[object, ...]]) -> None:
        with pytest.raises(psycopg.errors.CheckViolation):
            write_entry(owner, ["0", "0"])


class TestAppendOnly:
    @pytest.mark.parametrize("table", [*LEDGER, "entry_seals", "budget_periods"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET organization_id = NULL", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    def test_owner_cannot_change_the_books(
        self, owner: psycopg.Connection[tuple[object, ...]], table: str, statement: str
    ) -> None:
        write_entry(owner, ["1", "-1"])
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            owner.execute(statement.format(table))

    @pytest.mark.parametrize("table", [*LEDGER, "entry_seals", "rule_history", "budget_periods"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET organization_id = organization_id", "DELETE FROM {}", "TRUNCATE {}"])
    def test_application_has_no_right_to(self, database: Database, table: str, statement: str) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.connection() as conn:
            conn.execute(statement.format(table))

    def test_application_runs_in_its_own_role(self, database: Database) -> None:
        with database.connection() as conn:
            assert conn.execute("SELECT current_user").fetchone() == (APPLICATION_ROLE,)


def test_balances_below_zero_are_refused_where_the_ledger_forbids_them(owner: psycopg.Connection[tuple[object, ...]]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(
            "INSERT INTO wallets (program_id, asset_id, organization_id, available) VALUES (%s, %s, %s, -1)",
            [new_id(), new_id(), new_id()],
        )
