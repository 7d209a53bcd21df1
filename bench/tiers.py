"""A period end of a tier with many holders: how long it takes, and what events and workers feel of it."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import psycopg

from bench import facts
from bench.results import PeriodEnd, TierTimes
from bench.world import post
from runtime.processes import ServiceError
from runtime.settings import Settings
from runtime.temporal import connect
from workflows.contracts import STATUS_QUERY
from workflows.contracts_tiers import TierRetentionInput, TierRetentionStatus, tier_retention_workflow_id
from workflows.signals import start_tier_retention

KEY, COUNTER = "club", "points"
THRESHOLDS = {"bronze": 100, "silver": 500, "gold": 1000}
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 900.0
LEAP_DAY = (2, 29)
# Values of the counter: each level loses and keeps holders, at the first period end and at the second.
LEAST, STEP, SPREAD = 50, 7919, 3000

JOIN = """
WITH new AS (
    SELECT gen_random_uuid() AS id, 'member-' || number AS external_id
    FROM generate_series(0, %(holders)s - 1) AS number
    WHERE NOT EXISTS (SELECT FROM participants WHERE organization_id = %(organization)s AND external_id = 'member-' || number)
), made AS (
    INSERT INTO holders (id, organization_id, kind) SELECT id, %(organization)s, 'PARTICIPANT' FROM new ORDER BY id
), named AS (
    INSERT INTO participants (id, organization_id, external_id, created_at, updated_at)
    SELECT id, %(organization)s, external_id, openscrip_now(), openscrip_now() FROM new
)
INSERT INTO enrollments (participant_id, program_id, organization_id, status, enrolled_at, updated_at)
SELECT id, %(program)s, %(organization)s, 'ACTIVE', openscrip_now(), openscrip_now() FROM new
"""
COUNT = """
WITH old AS (
    SELECT p.id, %(least)s + substr(p.external_id, 8)::bigint * %(step)s %% %(spread)s AS points
    FROM enrollments e JOIN participants p ON p.id = e.participant_id WHERE e.program_id = %(program)s
), counted AS (
    UPDATE holders h SET counters = h.counters || jsonb_build_object(%(counter)s::text, old.points::text),
           state_changed_at = openscrip_now()
    FROM old WHERE h.id = old.id
)
INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, new_value, changed_at)
SELECT gen_random_uuid(), %(organization)s, 'PARTICIPANT', id, 'counter', %(counter)s, 'set', points::text, openscrip_now()
FROM old
"""
# Everybody gets the highest level by hand, as the API would: so the first period end takes it from most of them.
ASSIGN = """
WITH held AS (
    INSERT INTO tier_states (holder_id, tier_id, organization_id, program_id, level_key, acquired_at, lifecycle_expires_at,
                             steps_done_through, next_due_at)
    SELECT participant_id, %(tier)s, organization_id, program_id, 'gold', openscrip_now(), %(end)s, openscrip_now(), %(end)s
    FROM enrollments WHERE program_id = %(program)s
    -- the new tier's flow may have been here first
    ON CONFLICT (holder_id, tier_id) DO UPDATE SET level_key = excluded.level_key, acquired_at = excluded.acquired_at,
        lifecycle_expires_at = excluded.lifecycle_expires_at, steps_done_through = excluded.steps_done_through,
        next_due_at = excluded.next_due_at
    RETURNING holder_id, acquired_at
), told AS (
    INSERT INTO tier_history (id, organization_id, program_id, tier_id, entity_type, entity_id, tier_key, to_level, from_rank,
                              to_rank, change, reason, expires_at, changed_at)
    SELECT gen_random_uuid(), %(organization)s, %(program)s, %(tier)s, 'PARTICIPANT', holder_id, %(key)s, 'gold', 0, 3,
           'UPGRADED', 'API', %(end)s, acquired_at
    FROM held
)
INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, new_value, changed_at,
                           program_id)
SELECT gen_random_uuid(), %(organization)s, 'PARTICIPANT', holder_id, 'tier', %(key)s, 'set', 'gold', acquired_at, %(program)s
FROM held
"""
HELD = """
SELECT substr(p.external_id, 8)::bigint, s.level_key, h.counters ->> %(counter)s, s.steps_done_through
FROM tier_states s JOIN participants p ON p.id = s.holder_id JOIN holders h ON h.id = s.holder_id WHERE s.tier_id = %(tier)s
"""
DUE = "SELECT EXISTS (SELECT FROM tier_states WHERE tier_id = %s AND next_due_at <= openscrip_now())"
SET_CLOCK = "UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()"


def after_period_end(points: int, level: str | None) -> tuple[int, str | None]:
    """What a holder has after a period end: a level that isn't kept falls to what the points are good for, the rest stays."""
    order: list[str | None] = [None, *THRESHOLDS]
    deserved = [key for key in order if key is None or points >= THRESHOLDS[key]][-1]
    kept = min(level, deserved, key=order.index)
    return (0 if kept is None else points - THRESHOLDS[kept]), kept


@dataclass
class Watch:
    """A thread that looks when a period end is over, and how much memory the workers have meanwhile."""

    dsn: str
    tier_id: UUID
    workers: tuple[int, ...]
    rss_before: Mapping[int, int] = field(default_factory=dict)
    growth: int = 0
    ended: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        """Begin."""
        self.rss_before = {pid: facts.resident_bytes(pid) for pid in self.workers}
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(psycopg.connect(self.dsn, autocommit=True)) as connection:
            while not self._stop.wait(POLL_SECONDS):
                for pid, before in self.rss_before.items():
                    self.growth = max(self.growth, facts.resident_bytes(pid) - before)
                row: Any = connection.execute(DUE, [self.tier_id]).fetchone()
                if self.ended is None and not row[0]:
                    self.ended = time.monotonic()


class TierBench:
    """A tier of a program whose members are `member-0`, `member-1` and so on, and two period ends of it."""

    def __init__(self, dsn: str, settings: Settings, workers: tuple[int, ...], program_id: str, holders: int) -> None:
        self._dsn = dsn
        self._settings = settings
        self._workers = workers
        self._program_id = program_id
        self._holders = holders
        self._wanted: dict[int, tuple[int, str | None]] = {}

    def measure(
        self, client: httpx.Client, events_per_second: Callable[[], float], rounds: int, check: Callable[[], None]
    ) -> TierTimes:
        """Two period ends, the first alone, the second while events are sent, with rounds of events between the two.

        `check` raises when a process has died.
        """
        with closing(psycopg.connect(self._dsn, autocommit=True)) as connection:
            self._set_up(client, connection)
            alone = self._alone(connection, check)
            before = [events_per_second() for _ in range(rounds)]
            return self._under_load(connection, events_per_second, check, alone, before)

    # ---------------------------------------------------------------- set-up
    def _set_up(self, client: httpx.Client, connection: psycopg.Connection[Any]) -> None:
        first = _without_leap_day((datetime.now(UTC) + timedelta(days=2)).date())
        self._end = datetime(first.year, first.month, first.day, tzinfo=UTC)
        levels = [
            {"key": key, "rank": rank, "qualification": {"mode": "ALL", "criteria": [_criterion(points)]}}
            for rank, (key, points) in enumerate(THRESHOLDS.items(), 1)
        ]
        body = {"key": KEY, "levels": levels, "lifecycle": _lifecycle(first)}
        self._tier_id = UUID(post(client, f"/v1/programs/{self._program_id}/tiers", body)["id"])
        row: Any = connection.execute("SELECT organization_id FROM programs WHERE id = %s", [self._program_id]).fetchone()
        self._organization_id = row[0]
        ids = {"organization": row[0], "program": UUID(self._program_id), "tier": self._tier_id, "end": self._end}
        values = {"holders": self._holders, "counter": COUNTER, "key": KEY, "least": LEAST, "step": STEP, "spread": SPREAD}
        for statement in (JOIN, COUNT, ASSIGN):
            connection.execute(statement.encode(), ids | values)
        connection.execute("VACUUM ANALYZE")
        held = connection.execute(HELD.encode(), ids | values).fetchall()
        self._wanted = {number: (int(points), level) for number, level, points, _ in held}

    # --------------------------------------------------------------- running
    def _alone(self, connection: psycopg.Connection[Any], check: Callable[[], None]) -> PeriodEnd:
        with Watch(self._dsn, self._tier_id, self._workers) as watch:
            began, pages = self._let_it_come(connection)
            ended = _await_end(watch, check)
        return self._ended(connection, watch, ended - began, pages)

    def _under_load(
        self,
        connection: psycopg.Connection[Any],
        events_per_second: Callable[[], float],
        check: Callable[[], None],
        alone: PeriodEnd,
        before: list[float],
    ) -> TierTimes:
        during: list[float] = []
        with Watch(self._dsn, self._tier_id, self._workers) as watch:
            began, pages = self._let_it_come(connection)
            while watch.ended is None:
                rate = events_per_second()
                # a round that outlives the period end says little, but more than nothing
                if watch.ended is None or not during:
                    during.append(rate)
            ended = _await_end(watch, check)
        return TierTimes(len(self._wanted), alone, self._ended(connection, watch, ended - began, pages), before, during)

    def _let_it_come(self, connection: psycopg.Connection[Any]) -> tuple[float, int]:
        """Move the clock past the period end and wake the flow; when that was, and the pages it had done so far."""
        pages = asyncio.run(self._flow_pages())
        connection.execute(SET_CLOCK.encode(), [self._end + timedelta(seconds=1)])
        began = time.monotonic()
        asyncio.run(self._wake())
        return began, pages

    def _ended(self, connection: psycopg.Connection[Any], watch: Watch, seconds: float, pages: int) -> PeriodEnd:
        done = asyncio.run(self._flow_pages()) - pages
        self._check_books(connection)
        self._end = self._end.replace(year=self._end.year + 1)
        return PeriodEnd(round(seconds, 2), done, round(watch.growth / 2**20, 1))

    def _check_books(self, connection: psycopg.Connection[Any]) -> None:
        """ServiceError unless each holder has exactly what one period end makes of what it had."""
        self._wanted = {number: after_period_end(*held) for number, held in self._wanted.items()}
        rows = connection.execute(HELD.encode(), {"counter": COUNTER, "tier": self._tier_id}).fetchall()
        wrong = [row for row in rows if (int(row[2]), row[1]) != self._wanted[row[0]] or row[3] != self._end]
        if wrong or len(rows) != len(self._wanted):
            raise ServiceError(f"bench: {len(wrong)} of {len(rows)} holders are wrong after the period end, such as {wrong[:1]}")

    async def _wake(self) -> None:
        await start_tier_retention(await connect(self._settings), self._flow, wake=True)

    async def _flow_pages(self) -> int:
        """How many pages the flow has done, once it sleeps."""
        client = await connect(self._settings)
        await start_tier_retention(client, self._flow)
        flow = client.get_workflow_handle(tier_retention_workflow_id(self._tier_id))
        while True:
            status = await flow.query(STATUS_QUERY, result_type=TierRetentionStatus)
            if status.phase == "sleeping":
                return int(status.totals.pages)
            await asyncio.sleep(POLL_SECONDS)

    @property
    def _flow(self) -> TierRetentionInput:
        ids = {"organization_id": self._organization_id, "program_id": UUID(self._program_id)}
        return TierRetentionInput(tier_id=self._tier_id, **ids)


def _await_end(watch: Watch, check: Callable[[], None]) -> float:
    latest = time.monotonic() + PATIENCE_SECONDS
    while (ended := watch.ended) is None:
        check()
        if time.monotonic() > latest:
            raise ServiceError("bench: the period end doesn't come to its end")
        time.sleep(POLL_SECONDS)
    return ended


def _criterion(points: int) -> dict[str, Any]:
    return {"counter": COUNTER, "operator": ">=", "threshold": points}


def _lifecycle(first: date) -> dict[str, Any]:
    return {
        "retention": {"mode": "PERIOD_BASED"},
        "qualification_period": {"type": "FIXED_YEAR", "start_month": first.month, "start_day": first.day},
        "counters": {"qualifying": [COUNTER], "rollover": "EXCESS"},
    }


def _without_leap_day(day: date) -> date:
    return day + timedelta(days=1) if (day.month, day.day) == LEAP_DAY else day
