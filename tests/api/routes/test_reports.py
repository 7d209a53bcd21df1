"""reporting.md 2-6: every figure against a recomputation from the raw postings, at any window; and what an answer promises."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Unanswered
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from api import moments
from db.repositories import movements
from db.session import Database
from domain.money import format_amount
from domain.timestamps import format_timestamp, parse_timestamp
from tests.api.routes.money import Money
from tests.support import report_sums
from tests.support.books import broken_invariants
from tests.support.bulk import Bulk
from tests.support.client import Tenant
from tests.support.random_ledger import RandomLedger
from tests.support.report_sums import Row

SEEDS = int(os.environ.get("REPORT_SEEDS", "3"))
OPERATIONS = 250
WINDOWS = 5
TINY = timedelta(microseconds=1)
SCALES = {"USD": 2, "MILES": 2, "PROMO": 2}


@dataclass
class Books:
    """A tenant with a random history, and its rows."""

    api: Tenant
    ledger: RandomLedger
    rows: list[Row]

    def read(self, name: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a report, in pages of two."""
        given = {key.rstrip("_"): shown(value) for key, value in query.items() if value is not None}
        answer = self.api.get(f"/v1/reports/{name}", limit=2, **given)
        found = list(answer["data"])
        while answer["pagination"]["has_more"]:
            answer = self.api.get(f"/v1/reports/{name}", limit=2, cursor=answer["pagination"]["next_cursor"], **given)
            found += answer["data"]
        return found

    def of(self, asset: str | UUID | None = None, program: str | UUID | None = None) -> list[Row]:
        wanted = [(str(asset) if asset else None), (str(program) if program else None)]
        return [row for row in self.rows if wanted[0] in (None, str(row.asset)) and wanted[1] in (None, str(row.program))]


def shown(value: Any) -> str:
    return format_timestamp(value) if isinstance(value, datetime) else str(value)


def amounts(figures: dict[str, Decimal | int] | dict[str, Decimal]) -> dict[str, str | int]:
    return {name: value if isinstance(value, int) else format_amount(value, 2) for name, value in figures.items()}


def some_history(api: Tenant, database: Database, seed: int) -> Books:
    money = Money(api)
    other = api.post("/v1/programs", {"name": "Other"}, 201)["id"]
    assets = []
    for symbol, mode, policy in (("USD", "SIMPLE", "UNLIMITED"), ("MILES", "LOT", "UNLIMITED"), ("PROMO", "LOT", "PREFUNDED")):
        body = {"program_id": money.program, "name": symbol, "symbol": symbol, "inventory_mode": mode, "scale": 2}
        assets.append(api.post("/v1/assets", body | {"issuance_policy": policy}, 201)["id"])
        api.post(f"/v1/programs/{other}/assets", {"asset_id": assets[-1]}, 201)
    people = [money.participant, money.new_participant()]
    group = api.post("/v1/groups", {"name": "Team", "members": [{"participant_id": people[0], "role": "ADMIN"}]}, 201)["id"]
    programs = [UUID(money.program), UUID(other)]
    ledger = RandomLedger(
        database,
        api.organization_id,
        programs,
        [UUID(id_) for id_ in assets],
        [UUID(id_) for id_ in people],
        UUID(group),
        Random(seed),
    )
    ledger.write(OPERATIONS)
    return Books(api, ledger, report_sums.read_rows(database, api.organization_id))


@pytest.fixture(params=range(SEEDS))
def books(api: Tenant, database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    if request.param % 2:
        # as with more pairs than are named one by one
        monkeypatch.setattr(movements, "MOST_BRANCHES", 0)
    yield some_history(api, database, request.param)
    # redemptions are made by the ledger alone here, without their own records
    broken = broken_invariants(database, api.organization_id)
    assert {violation.check.name for violation in broken} <= {"redemptions_posted"}


def windows(books: Books) -> Iterator[tuple[datetime, datetime]]:
    """Arbitrary ones, most of them with an end exactly on an entry's time, or next to it."""
    random = books.ledger.random
    times = [row.at for row in books.rows]
    yield times[0], times[-1]
    for _ in range(WINDOWS):
        ends = [random.choice(times) + random.choice([-TINY, timedelta(0), timedelta(0), TINY, timedelta(days=1)]) for _ in "ab"]
        yield min(ends), max(ends)


def require_summary(books: Books, from_: datetime | None = None, to: datetime | None = None, program: UUID | None = None) -> None:
    found = books.read("ledger-summary", from_=from_, to=to, program_id=program)
    assert [row["asset_symbol"] for row in found] == sorted(SCALES)
    for row in found:
        expected = amounts(report_sums.summary(books.of(row["asset_id"], program), from_, to))
        assert {name: row[name] for name in expected} == expected
        assert set(row) == {"asset_id", "asset_name", "asset_symbol", *expected}


def require_rollforward(books: Books, from_: datetime, to: datetime) -> None:
    found = books.read("liability-rollforward", from_=from_, to=to)
    pairs = {(str(row.asset), str(row.program)) for row in books.rows if row.at <= to}
    assert {(row["asset_id"], row["program_id"]) for row in found} == pairs
    assert len(found) == len(pairs)
    for row in found:
        expected = amounts(report_sums.rollforward(books.of(row["asset_id"], row["program_id"]), from_, to))
        assert {name: row[name] for name in expected} == expected


def require_liability(books: Books, as_of: datetime) -> None:
    before = [row for row in books.rows if row.at <= as_of]
    found = books.read("liability", as_of=as_of)
    order = [(row["asset_symbol"], row["program_name"], row["asset_id"], row["program_id"]) for row in found]
    assert order == sorted(order)
    assert {(row["asset_id"], row["program_id"]) for row in found} == {(str(row.asset), str(row.program)) for row in before}
    by_bucket = books.read("liability", as_of=as_of, by_bucket="true")
    assert len(by_bucket) == 3 * len(found)
    for row in [*found, *by_bucket]:
        of = [r for r in books.of(row["asset_id"], row["program_id"]) if r.at <= as_of and row.get("bucket") in (None, r.bucket)]
        assert row["balance"] == format_amount(report_sums.outstanding(of), 2)


def test_each_report_is_what_the_postings_say(books: Books) -> None:
    assert {row.action for row in books.rows} >= {"CREDIT", "SETTLE", "REDEMPTION", "TRANSFER", "EXPIRY", "FUND", "HOLD"}
    require_summary(books)
    for program in books.ledger.programs:
        require_summary(books, program=program)
    for from_, to in windows(books):
        require_summary(books, from_, to)
        require_summary(books, from_, to, books.ledger.programs[1])
        require_rollforward(books, from_, to)
        require_liability(books, to)
        require_activity(books, from_, to)
    require_schedule(books)


def require_activity(books: Books, from_: datetime, to: datetime) -> None:
    found = {row["program_id"]: row for row in books.read("program-activity", from_=from_, to=to)}
    active = {str(row.program) for row in books.rows if from_ <= row.at <= to}
    assert set(found) == active
    for program, row in found.items():
        of = books.of(program=program)
        inside = report_sums.totals([one for one in of if from_ <= one.at <= to])
        takes_part = ("CREDIT", "SETTLE", "REDEMPTION")
        people = {one.entity for one in of if one.kind == "PARTICIPANT" and one.action in takes_part}
        assert (row["total_issued"], row["total_redeemed"]) == (
            format_amount(inside["total_issued"], 2),
            format_amount(inside["total_redeemed"], 2),
        )
        assert (row["journal_count"], row["unique_participants"]) == (len({one.entry_id for one in of}), len(people))
        assert row["last_activity_at"] == format_timestamp(of[-1].at)


def require_schedule(books: Books) -> None:
    with books.ledger.database.connection() as conn:
        lots: list[Any] = conn.execute(
            "SELECT asset_id, program_id, remaining, expires_at FROM lots WHERE organization_id = %s AND remaining > 0",
            [books.api.organization_id],
        ).fetchall()
    dates = [lot[3] for lot in lots if lot[3] is not None]
    from_, to = min(dates), max(dates) - TINY
    for granularity in ("day", "week", "month"):
        for program in (None, books.ledger.programs[0]):
            found = books.read("expiration-schedule", from_=from_, to=to, granularity=granularity, program_id=program)
            for row in found:
                require_row(row, [lot for lot in lots if str(lot[0]) == row["asset_id"] and program in (None, lot[1])], from_, to)
            assert {row["asset_id"] for row in found} == {str(lot[0]) for lot in lots if program in (None, lot[1])}


def require_row(row: dict[str, Any], lots: list[Any], from_: datetime, to: datetime) -> None:
    def left(chosen: list[Any]) -> str:
        return format_amount(report_sums.exact(lot[2] for lot in chosen), 2)

    dated = [lot for lot in lots if lot[3] is not None]
    for bucket in row["buckets"]:
        start, end = parse_timestamp(bucket["bucket_start"]), parse_timestamp(bucket["bucket_end"])
        inside = [lot for lot in dated if max(start, from_) <= lot[3] < end and lot[3] <= to]
        assert (bucket["amount"], bucket["lot_count"]) == (left(inside), len(inside))
    assert row["never_expiring"] == left([lot for lot in lots if lot[3] is None])
    assert row["expiring_before_window"] == left([lot for lot in dated if lot[3] < from_])
    assert row["expiring_after_window"] == left([lot for lot in dated if lot[3] > to])
    assert row["total_outstanding"] == left(lots)


# ------------------------------------------------------------------------------- one moment
@pytest.fixture
def money(api: Tenant) -> Money:
    return Money(api)


def post_but_wait(money: Money, database: Database) -> tuple[Bulk, Any]:
    """What credits 5 USD and doesn't commit yet: enter it, and leave it."""
    bulk = Bulk(database, money.api.organization_id, UUID(money.program), UUID(money.asset("USD")))
    return bulk, bulk.of_participant(UUID(money.participant))


def test_an_answer_for_one_moment_never_changes(money: Money, database: Database) -> None:
    money.credit("USD", "1.00")
    bulk, key = post_but_wait(money, database)
    with ThreadPoolExecutor(1) as pool:
        # the time of its entry is drawn here, and the commit comes after the question
        with bulk.books([key]) as (books, now):
            bulk.credit_in(books, key, now)
            asked = pool.submit(money.api.get, "/v1/reports/liability")
            with pytest.raises(Unanswered):
                asked.result(0.3)
        answer = asked.result(10)
    assert parse_timestamp(answer["as_of"]) > now
    assert [row["balance"] for row in answer["data"]] == ["6.00"]
    money.credit("USD", "3.00")
    assert money.api.get("/v1/reports/liability", as_of=answer["as_of"]) == answer
    assert [row["balance"] for row in money.api.get("/v1/reports/liability")["data"]] == ["9.00"]


def test_a_moment_that_does_not_pass_is_503(money: Money, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "WAIT_SECONDS", 0.05)
    bulk, key = post_but_wait(money, database)
    with bulk.books([key]) as (books, now):
        bulk.credit_in(books, key, now)
        response = money.api.http.get("/v1/reports/liability")
    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert "Retry-After" in response.headers
    assert money.api.get("/v1/reports/liability")["data"][0]["balance"] == "5.00"


def test_later_pages_are_of_the_moment_of_the_first(money: Money) -> None:
    for symbol in ("MILES", "USD"):
        money.credit(symbol, "1")
    first = money.api.get("/v1/reports/liability", limit=1)
    money.credit("USD", "1")
    cursor = first["pagination"]["next_cursor"]
    second = money.api.get("/v1/reports/liability", limit=1, cursor=cursor)
    assert (second["as_of"], second["data"][0]["balance"]) == (first["as_of"], "1.00")
    assert second["pagination"] == {"has_more": False, "next_cursor": None}
    assert money.api.get("/v1/reports/liability", 400, limit=1, cursor=cursor, by_bucket="true")["details"]["field"] == "cursor"


# ------------------------------------------------------------------------------- what is refused and left out
def test_activity_that_fits_no_line_is_no_figure_at_all(money: Money, database: Database) -> None:
    entry = money.credit("USD", "1.00")["journal_entry_id"]
    with psycopg.connect(database.url, autocommit=True) as owner, owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute("UPDATE postings SET action_type = 'BURN' WHERE entry_id = %s", [entry])
    query = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    for name in ("liability-rollforward", "ledger-summary", "program-activity"):
        assert money.api.get(f"/v1/reports/{name}", 500, **query)["code"] == "internal_error"


def test_reports_of_others_are_empty(money: Money, stranger: Tenant) -> None:
    money.credit("MILES", "10", expires_at="24h")
    query = {"from": "2020-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"}
    paths = {
        "ledger-summary": {},
        "program-activity": {},
        "liability": {},
        "liability-rollforward": query,
        "expiration-schedule": query,
    }
    for name, window in paths.items():
        assert stranger.get(f"/v1/reports/{name}", **window)["data"] == []
        assert len(money.api.get(f"/v1/reports/{name}", **window)["data"]) == 1
        for field, id_ in (("program_id", money.program), ("asset_id", money.asset("MILES"))):
            if (name, field) not in {
                ("program-activity", "program_id"),
                ("program-activity", "asset_id"),
                ("ledger-summary", "asset_id"),
            }:
                refused = stranger.get(f"/v1/reports/{name}", 404, **window, **{field: id_})
                assert refused["details"]["field"] == field


def test_assets_and_programs_without_entries(money: Money) -> None:
    money.asset("USD")
    [row] = money.api.get("/v1/reports/ledger-summary")["data"]
    assert (row["total_issued"], row["current_balance"], row["participant_count"]) == ("0.00", "0.00", 0)
    assert money.api.get("/v1/reports/liability")["data"] == []
    money.asset("CASH")
    money.wallet("fund", "CASH", "5")
    # an entry, but nothing of a holder's
    [row] = money.api.get("/v1/reports/liability")["data"]
    assert (row["asset_symbol"], row["balance"]) == ("CASH", "0.00")
    other = money.api.post("/v1/programs", {"name": "Quiet"}, 201)["id"]
    found = money.api.get("/v1/reports/program-activity")["data"]
    assert [row["program_id"] for row in found] == [money.program, other]
    assert found[1]["last_activity_at"] is None
    since = format_timestamp(parse_timestamp(found[0]["last_activity_at"]) - TINY)
    assert [row["program_id"] for row in money.api.get("/v1/reports/program-activity", since=since)["data"]] == [money.program]
    money.api.patch(f"/v1/programs/{other}", {"status": "ARCHIVED"})
    assert len(money.api.get("/v1/reports/program-activity")["data"]) == 1


def test_a_schedule_of_one_asset_has_always_one_row(money: Money) -> None:
    query = {"from": "2030-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z", "asset_id": money.asset("MILES")}
    [row] = money.api.get("/v1/reports/expiration-schedule", **query)["data"]
    assert (len(row["buckets"]), row["total_outstanding"]) == (1, "0")
    too_long = query | {"to": "2031-03-01T00:00:00Z", "granularity": "day"}
    assert money.api.get("/v1/reports/expiration-schedule", 400, **too_long)["details"]["reason"] == "out_of_range"
    assert (
        money.api.get("/v1/reports/expiration-schedule", 404, **query | {"asset_id": str(uuid4())})["details"]["field"]
        == "asset_id"
    )
    money.credit("MILES", "4")
    money.api.patch(f"/v1/assets/{money.asset('MILES')}", {"status": "ARCHIVED"})
    window = {name: value for name, value in query.items() if name != "asset_id"}
    assert money.api.get("/v1/reports/expiration-schedule", **window)["data"] == []


def test_events_are_counted_when_they_are_processed(money: Money, database: Database) -> None:
    event = {
        "program_id": money.program,
        "external_id": "ann",
        "event_data": {"type": "x"},
        "event_timestamp": "2026-01-01T00:00:00Z",
    }
    ids = [money.api.post("/v1/events", event | {"idempotency_key": key}, 202)["id"] for key in "ab"]
    assert money.api.get("/v1/reports/program-activity")["data"][0]["event_count"] == 0
    with database.connection() as conn:
        conn.execute(
            """
            WITH done AS (DELETE FROM event_queue WHERE event_id = %s RETURNING *)
            INSERT INTO event_outcomes (event_id, created_at, organization_id, program_id, status, processed_at, evaluations)
            SELECT event_id, event_created_at, organization_id, program_id, 'COMPLETED', event_created_at, '{}' FROM done
            """,
            [ids[0]],
        )
    now = datetime.now(UTC)
    window = {"from": format_timestamp(now - timedelta(hours=1)), "to": format_timestamp(now + timedelta(hours=1))}
    [row] = money.api.get("/v1/reports/program-activity", **window)["data"]
    assert (row["event_count"], row["journal_count"], row["last_activity_at"]) == (1, 0, None)
    old = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    assert money.api.get("/v1/reports/program-activity", **old)["data"] == []
