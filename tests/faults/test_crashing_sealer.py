"""kill -9 of a worker while it seals a backlog of several pages: every entry has one place in the chain all the same."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from cli import verify
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from services import integrity
from services.sealing import PAGE_ENTRIES
from services.transactions import transact
from tests.faults.crashing import AFTER, BEFORE
from tests.faults.nursery import Nursery, open_nursery
from tests.services.lane_world import Shop, make_shop
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.stack import poll

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 60.0
ENTRIES = 2 * PAGE_ENTRIES + PAGE_ENTRIES // 2
# Posted while nobody seals.
LATE = 5
# Once so many entries are sealed -> how many are, when the worker has been killed: between two pages, and within one.
CRASHES = ((AFTER, PAGE_ENTRIES, PAGE_ENTRIES), (BEFORE, 2 * PAGE_ENTRIES, PAGE_ENTRIES))


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with closing(Database(make_database(postgres.dsn, "crashing_sealer"), pool_size=4)) as opened:
        yield opened


@pytest.fixture
def nursery(database: Database, temporal: EmbeddedTemporal, tmp_path: Path) -> Iterator[Nursery]:
    environment = {
        "OPENSCRIP_DATABASE_URL": database.url,
        "OPENSCRIP_TEMPORAL_ADDRESS": temporal.address,
        "OPENSCRIP_DATA_DIR": str(tmp_path),
        "OPENSCRIP_DATABASE_POOL_SIZE": "4",
    }
    with open_nursery(environment, tmp_path / "worker.log") as opened:
        yield opened


@pytest.fixture
def shop(database: Database) -> Shop:
    made = make_shop(database)
    made.rule({"type": "CREDIT", "asset_id": str(made.world.pts), "amount": "1.00"})
    return made


def post(shop: Shop, entries: int) -> None:
    """Make so many entries, without a worker."""
    shop.submit([shop.submission(f"person-{number % 50}") for number in range(entries)])
    shop.drain_all()


def sealed(shop: Shop) -> list[tuple[int, UUID]]:
    """Numbers and ids, by number."""
    return shop.fetch("SELECT sequence_number, entry_id FROM entry_seals ORDER BY sequence_number")


def posted(shop: Shop) -> list[UUID]:
    """Ids by time."""
    return [id_ for (id_,) in shop.fetch("SELECT id FROM journal_entries ORDER BY created_at, id")]


def is_sealed(shop: Shop) -> bool:
    return not shop.value("SELECT count(*) FROM unsealed_entries")


def test_every_entry_is_sealed_once_whenever_the_sealer_is_killed(
    shop: Shop, nursery: Nursery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    post(shop, ENTRIES)
    for moment, seen, left in CRASHES:
        nursery.start("worker", moment, f"SELECT count(*) >= {seen} FROM entry_seals")
        nursery.require_killed()
        assert len(sealed(shop)) == left, (moment, seen)
        post(shop, LATE)
    nursery.start("worker")
    poll(lambda: is_sealed(shop), PATIENCE_SECONDS)
    nursery.end()
    ids = posted(shop)
    assert len(ids) == ENTRIES + LATE * len(CRASHES)
    assert sealed(shop) == list(enumerate(ids, 1))
    assert_books(shop.database, shop.organization_id)
    report = transact(shop.database, lambda session: integrity.examine(session, shop.organization_id, len(ids)))
    assert (report.entries_verified, report.is_anchored, sum(report.violations.values())) == (len(ids), True, 0)
    monkeypatch.setenv("OPENSCRIP_DATABASE_URL", shop.database.url)
    verify.run(shop.organization_id)
    assert "ok      hash_chain" in capsys.readouterr().out
