"""Sealing in the database: in order, without gaps or doubles, whoever dies, hurries or commits late."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from activities.ledger_seal import Sealer
from db.session import Database, psycopg_of
from runtime.embedded import EmbeddedPostgres
from services import balances, sealing
from services.movements import Adjustment, AdjustType
from services.sealing import Horizon, seal_page
from services.state import Entity, EntityKind
from services.transactions import transact
from tests.services.full_books import FullBooks
from tests.services.lane_world import together
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.stack import poll
from tests.workflows.due_world import Purse


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "sealing"), pool_size=8)) as database:
        yield database


@pytest.fixture
def purse(store: Database) -> Purse:
    return Purse(store)


def now(database: Database) -> datetime:
    with database.connection() as conn:
        return conn.execute("SELECT openscrip_now()").fetchone()[0]


def seal(purse: Purse, limit: int = 1000) -> int:
    until = now(purse.database)
    return transact(purse.database, lambda session: seal_page(session, purse.world.organization_id, until, limit))


def rows(purse: Purse, statement: str) -> list[tuple[Any, ...]]:
    with purse.database.connection() as conn:
        return conn.execute(statement, {"organization": purse.world.organization_id}).fetchall()


def sealed(purse: Purse) -> list[UUID]:
    """Ids by number; the numbers run from 1."""
    found = rows(
        purse,
        "SELECT sequence_number, entry_id FROM entry_seals WHERE organization_id = %(organization)s ORDER BY sequence_number",
    )
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    return [id_ for _, id_ in found]


def posted(purse: Purse) -> list[UUID]:
    """Ids by time."""
    return [
        id_
        for (id_,) in rows(
            purse, "SELECT id FROM journal_entries WHERE organization_id = %(organization)s ORDER BY created_at, id"
        )
    ]


def waiting(purse: Purse) -> list[UUID]:
    return [id_ for (id_,) in rows(purse, "SELECT entry_id FROM unsealed_entries WHERE organization_id = %(organization)s")]


def test_entries_are_sealed_in_their_order_page_by_page(purse: Purse) -> None:
    for _ in range(7):
        purse.credit("1")
    assert len(waiting(purse)) == 7
    assert [seal(purse, 3) for _ in range(4)] == [3, 3, 1, 0]
    assert sealed(purse) == posted(purse)
    assert waiting(purse) == []
    assert_books(purse.database, purse.world.organization_id)


def test_what_is_hashed_is_what_the_rows_say(purse: Purse) -> None:
    """Once more by other means: the rows as Postgres writes them, and json as in the standard library."""
    purse.credit("12.5", reference_id='r "1"\\é', expires_at=timedelta(days=1))
    purse.hold("0.01", timedelta(days=1), purse.world.miles)
    seal(purse)
    previous = "0" * 64
    for number, id_ in enumerate(sealed(purse), 1):
        [(entry,)] = rows(
            purse,
            f"""
            SELECT json_build_object('id', id, 'program_id', program_id, 'action_type', action_type, 'description', description,
                'event_id', event_id, 'rule_id', rule_id, 'created_by_api_key_id', created_by_api_key_id,
                'reference_id', reference_id, 'created_at', to_char(created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'postings', (
                    SELECT json_agg(json_build_object('id', id, 'entity_type', entity_type, 'entity_id', entity_id,
                        'asset_id', asset_id, 'bucket', bucket, 'amount', round(amount, 2)::text) ORDER BY id::text)
                    FROM postings WHERE entry_id = '{id_}')) FROM journal_entries WHERE id = '{id_}'
            """,
        )
        entry |= {"v": 1, "organization_id": str(purse.world.organization_id)}
        entry |= {"sequence_number": number, "previous_hash": previous}
        text = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        previous = sha256(text.encode()).hexdigest()
        assert rows(purse, f"SELECT encode(entry_hash, 'hex') FROM entry_seals WHERE entry_id = '{id_}'") == [(previous,)]


def test_many_sealers_at_once_make_one_chain(purse: Purse) -> None:
    for _ in range(40):
        purse.credit("1")
    until = now(purse.database)

    def work() -> int:
        done = 0
        while waiting(purse):
            done += transact(purse.database, lambda session: seal_page(session, purse.world.organization_id, until, 3))
        return done

    assert sum(together([work] * 4)) == 40
    assert sealed(purse) == posted(purse)
    assert_books(purse.database, purse.world.organization_id)


def test_a_sealer_that_dies_before_its_commit_has_done_nothing(purse: Purse) -> None:
    for _ in range(5):
        purse.credit("1")
    seal(purse, 2)
    until = now(purse.database)
    with purse.database.session() as session:
        assert seal_page(session, purse.world.organization_id, until, 2) == 2
        # meanwhile nobody else gets the chain
        assert seal(purse) == 0
        psycopg_of(session).execute("SELECT 1")
        session.rollback()
    assert len(sealed(purse)) == 2
    assert seal(purse) == 3
    assert sealed(purse) == posted(purse)


class TestLateCommits:
    """A transaction that has dated its entry is still open while later ones are committed."""

    def test_nothing_overtakes_it(self, purse: Purse) -> None:
        horizon = Horizon()
        with purse.database.session() as late:
            with purse.database.session() as early:
                # the late one begins last: no snapshot has its number among those that run
                psycopg_of(early).execute("SELECT pg_current_xact_id()")
                self._post(late, purse)
                purse.participant = purse.new_participant()
                self._post(early, purse)
            for _ in range(3):
                assert self._seal(purse, self._look(purse, horizon)) == 0
        poll(lambda: self._seal(purse, self._look(purse, horizon)))
        assert sealed(purse) == posted(purse)
        assert len(sealed(purse)) == 2

    def test_what_was_committed_before_it_is_sealed(self, purse: Purse) -> None:
        horizon = Horizon()
        purse.credit("1")
        self._look(purse, horizon)
        with purse.database.session() as late:
            self._post(late, purse)
            assert poll(lambda: self._seal(purse, self._look(purse, horizon))) == 1

    def test_who_takes_too_long_is_sealed_late_but_not_lost(self, purse: Purse) -> None:
        horizon = Horizon(patience_seconds=-1)
        with purse.database.session() as late:
            self._post(late, purse)
            purse.participant = purse.new_participant()
            purse.credit("2")
            assert self._seal(purse, self._look(purse, horizon)) == 1
        assert self._seal(purse, self._look(purse, horizon)) == 1
        assert sealed(purse) == posted(purse)[::-1]
        assert_books(purse.database, purse.world.organization_id)

    @staticmethod
    def _post(session: Any, purse: Purse) -> None:
        wanted = Adjustment(purse.world.program_id, purse.world.miles, AdjustType.CREDIT, Decimal(1), "late")
        balances.adjust(session, purse.author, Entity(EntityKind.PARTICIPANT, purse.participant), wanted, is_strict=False)

    @staticmethod
    def _look(purse: Purse, horizon: Horizon) -> datetime | None:
        return transact(purse.database, horizon.look)

    @staticmethod
    def _seal(purse: Purse, until: datetime | None) -> int:
        if until is None:
            return 0
        return transact(purse.database, lambda session: seal_page(session, purse.world.organization_id, until))


class TestRounds:
    def test_every_organization_has_a_chain_of_its_own(self, store: Database) -> None:
        books = [FullBooks(store), FullBooks(store)]
        sealer = Sealer(store)
        poll(lambda: not sealer.round() and not sealer.finish().unsealed)
        for each in books:
            assert sealed(each.purse) == posted(each.purse)
            assert_books(store, each.organization_id)
        report = sealer.finish()
        assert (report.unsealed, report.failed) == (0, 0)
        assert report.entries >= sum(len(posted(each.purse)) for each in books)

    def test_one_that_fails_holds_up_nobody(self, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        bad, good = Purse(store), Purse(store)
        bad.credit("1")
        good.credit("1")
        real = sealing.seal_page

        def fail(session: Any, organization_id: UUID, until: datetime) -> int:
            if organization_id == bad.world.organization_id:
                raise ValueError("what nobody thought of")
            return real(session, organization_id, until)

        monkeypatch.setattr(sealing, "seal_page", fail)
        sealer = Sealer(store)
        poll(lambda: not sealer.round() and sealed(good))
        assert sealed(bad) == []
        report = sealer.finish()
        assert report.failed > 0
        assert report.unsealed == 1
        assert report.lag_seconds > 0
        monkeypatch.undo()
        poll(lambda: not sealer.round() and sealed(bad))
        assert sealed(bad) == posted(bad)

    def test_an_entry_that_is_missing_stays_on_the_list(self, purse: Purse) -> None:
        purse.credit("1")
        purse.credit("2")
        lost = posted(purse)[0]
        with purse.database.connection() as conn:
            conn.execute("SET LOCAL ROLE NONE")
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute("DELETE FROM journal_entries WHERE id = %s", [lost])
        assert seal(purse) == 1
        assert waiting(purse) == [lost]
        with purse.database.connection() as conn:
            # the tests after this one want an empty list
            conn.execute("DELETE FROM unsealed_entries WHERE entry_id = %s", [lost])
