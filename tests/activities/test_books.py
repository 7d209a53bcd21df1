"""Checking the books part by part: whatever breaks an invariant is found, named and counted, and the next call goes on."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from uuid import UUID

import psycopg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from temporalio.testing import ActivityEnvironment

from activities import books
from activities.books import BooksActivities, Findings
from db.repositories.invariants.check import QueryCheck
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from runtime.ids import new_id
from services import invariants
from services.books import Page, next_page
from services.transactions import transact
from tests.support.databases import make_database
from tests.workflows.due_world import Purse
from workflows.contracts_reconcile import BooksPlace, BooksReport

CREDITS = 12


@pytest.fixture(scope="module")
def store(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database of these tests' own: rounds go over all organizations."""
    with closing(Database(make_database(postgres.dsn, "books"), pool_size=2)) as database:
        yield database


@pytest.fixture(scope="module")
def purses(store: Database) -> tuple[Purse, Purse]:
    """Two organizations with some entries each, in the order in which they are looked at."""
    first, second = sorted((Purse(store), Purse(store)), key=lambda purse: purse.world.organization_id)
    for purse in (first, second):
        for _ in range(CREDITS):
            purse.credit("10")
    return first, second


def check(store: Database, place: BooksPlace | None = None) -> BooksReport:
    report: BooksReport = ActivityEnvironment().run(BooksActivities(store).check_books, place or BooksPlace())
    return report


@contextmanager
def corrupted(purse: Purse) -> Iterator[None]:
    """A balance says one too much, as somebody makes it who may do everything, as long as the block lasts."""
    statement = "UPDATE balances SET available = available + %s WHERE organization_id = %s"
    with psycopg.connect(purse.database.url, autocommit=True) as owner:
        assert owner.execute(statement, [1, purse.world.organization_id]).rowcount == 1
        yield
        owner.execute(statement, [-1, purse.world.organization_id])


@contextmanager
def planted(purse: Purse) -> Iterator[tuple[UUID, UUID]]:
    """A balance and a wallet that nothing was posted to, as long as the block lasts: ids of holder and program."""
    holder, program, (organization, asset) = new_id(), new_id(), (purse.world.organization_id, purse.world.miles)
    with psycopg.connect(purse.database.url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        for table, column, id_ in (("balances", "holder_id", holder), ("wallets", "program_id", program)):
            statement = f"INSERT INTO {table} ({column}, asset_id, organization_id, available) VALUES (%s, %s, %s, 5)"
            owner.execute(statement, [id_, asset, organization])
        yield holder, program
        owner.execute("DELETE FROM balances WHERE holder_id = %s", [holder])
        owner.execute("DELETE FROM wallets WHERE program_id = %s", [program])


def gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value("openscrip_invariant_violations", {"check": name})


def test_a_balance_that_was_tampered_with_is_named_until_it_is_right_again(store: Database, purses: tuple[Purse, Purse]) -> None:
    _, purse = purses
    sound = check(store)
    assert (sound.pages, sound.failed, sound.is_round, sound.place.broken) == (3, 0, True, {})
    assert {gauge(each.name) for each in invariants.ALL} == {0.0}
    with corrupted(purse), capture_logs() as logs:
        found = check(store, sound.place)
    assert found.place.broken["balances_match"] == 1
    assert gauge("balances_match") == 1.0
    [breach] = [each for each in found.place.named if each.check == "balances_match"]
    assert breach.organization_id == purse.world.organization_id
    assert f"holder_id={purse.participant}" in breach.row
    [line] = [each for each in logs if each.get("check") == "balances_match"]
    assert (line["event"], line["log_level"], line["row"]) == ("invariant_violated", "error", breach.row)
    assert check(store, found.place).place.broken == {}
    assert gauge("balances_match") == 0.0


def test_it_goes_on_where_it_stopped_and_remembers_what_it_found(
    store: Database, purses: tuple[Purse, Purse], monkeypatch: pytest.MonkeyPatch
) -> None:
    # each call looks at one page, however short its time
    monkeypatch.setattr(books, "SLICE_SECONDS", 0.0)
    place, broken, organizations = BooksPlace(), [], []
    with corrupted(purses[0]):
        for _ in range(5):
            place = check(store, place).place
            broken.append(place.broken.get("balances_match"))
            organizations.append(place.organization_id)
    ids = [purse.world.organization_id for purse in purses]
    assert organizations == [*ids, None, *ids]
    assert broken == [1] * 5


@pytest.mark.usefixtures("purses")
def test_windows_cover_everything_once(store: Database) -> None:
    pages: list[Page] = []
    place: tuple[UUID | None, datetime | None] = (None, None)
    while page := transact(store, lambda session, place=place: next_page(session, *place, 5)):  # type: ignore[misc]
        pages.append(page)
        place = (page.organization_id, page.until)
    assert len({page.organization_id for page in pages}) == 2
    seen: list[list[UUID]] = []
    with store.connection() as conn:
        for page in pages:
            assert page.window is not None
            window = [page.organization_id, page.window.since, page.window.until]
            statement = "SELECT id FROM journal_entries WHERE organization_id = %s AND created_at >= %s AND created_at < %s"
            seen.append([row[0] for row in conn.execute(statement, window)])
        everything = [row[0] for row in conn.execute("SELECT id FROM journal_entries")]
    assert sorted(id_ for ids in seen for id_ in ids) == sorted(everything)
    assert [len(ids) for ids in seen] == [5, 5, 2] * 2


def test_in_windows_it_finds_the_same(store: Database, purses: tuple[Purse, Purse], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "PAGE_ENTRIES", 5)
    with corrupted(purses[1]):
        report = check(store)
    assert (report.pages, report.failed, report.is_round) == (7, 0, True)
    # each window looks at the whole of the account
    assert report.place.broken["balances_match"] == 3
    assert {each.organization_id for each in report.place.named} == {purses[1].world.organization_id}


def test_accounts_without_a_posting_are_found_though_no_window_touches_them(
    store: Database, purses: tuple[Purse, Purse], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "PAGE_ENTRIES", 5)
    with planted(purses[0]) as (holder, program):
        found = check(store).place
    assert found.broken == {"balances_match": 1, "wallets_match": 1}
    assert [each.row.split(",")[0] for each in found.named] == [f"holder_id={holder}", f"program_id={program}"]
    assert {each.organization_id for each in found.named} == {purses[0].world.organization_id}
    assert check(store, found).place.broken == {}


def test_accounts_are_looked_at_page_by_page(
    store: Database, purses: tuple[Purse, Purse], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two balances a page: each one that nothing was posted to is found once, whichever page it is on."""
    monkeypatch.setattr(books, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(books, "PAGE_ENTRIES", 5)
    monkeypatch.setattr(books, "PAGE_BALANCES", 2)
    place, holders = BooksPlace(organization_id=purses[1].world.organization_id), []
    with planted(purses[0]) as (first, _), planted(purses[1]) as (second, _), planted(purses[1]) as (third, _):
        while not holders or place.holder_id:
            place = check(store, place).place
            holders.append(place.holder_id)
    # five balances: two of purses, three planted
    assert len(holders) == 3
    named = [each.row.split(",")[0] for each in place.named if each.check == "balances_match"]
    assert named == [f"holder_id={holder}" for holder in sorted((first, second, third))]
    assert place.broken == {"balances_match": 3, "wallets_match": 3}


def test_a_check_that_cant_be_made_is_told_and_others_go_on(
    store: Database, purses: tuple[Purse, Purse], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = QueryCheck("broken", "nothing", "SELECT 1 / 0 AS nothing")
    monkeypatch.setattr(invariants, "ALL", (broken, *invariants.ALL))
    with corrupted(purses[1]), capture_logs() as logs:
        report = check(store)
    assert (report.failed, report.is_round, "balances_match" in report.place.broken) == (2, True, True)
    assert [each["check"] for each in logs if each["event"] == "invariant_not_checked"] == ["broken"] * 2


def test_what_was_found_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = Findings()
    findings.note(BooksPlace(found={"lots_match": 3}))
    findings.forget_old()
    assert gauge("lots_match") == 3.0
    monkeypatch.setattr(books, "REMEMBERED_SECONDS", -1.0)
    findings.forget_old()
    assert gauge("lots_match") is None
