"""Fan-outs to many participants: how fast, what memory they take of the workers, and how soon one stops."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx
import psycopg

from bench import facts
from bench.results import FanOutRun, FanOutTimes
from bench.world import post
from runtime.processes import ServiceError
from runtime.settings import Settings
from runtime.temporal import connect
from workflows.contracts import STATUS_QUERY, RunStatus, automation_run_workflow_id

Found = TypeVar("Found")

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 300.0
# Participants of whom every second one is a VIP and who have been there up to nine times.
POPULATE = """
WITH numbered AS (
    SELECT gen_random_uuid() AS id, n FROM generate_series(1, %(count)s) AS n
), held AS (
    INSERT INTO holders (id, organization_id, kind, tags, counters)
    SELECT id, %(organization)s, 'PARTICIPANT', CASE WHEN n %% 2 = 0 THEN ARRAY['vip'] ELSE '{}' END,
           jsonb_build_object('visits', (n %% 10)::text)
    FROM numbered
), known AS (
    INSERT INTO participants (id, organization_id, external_id, created_at, updated_at)
    SELECT id, %(organization)s, 'crowd-' || n, openscrip_now(), openscrip_now() FROM numbered
)
INSERT INTO enrollments (participant_id, program_id, organization_id, enrolled_at, updated_at)
SELECT id, %(program)s, %(organization)s, openscrip_now(), openscrip_now() FROM numbered
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to choose: conditions, and how many in ten are left by the filter and get an event."""

    name: str
    conditions: Mapping[str, str]
    matching: int = 10
    served: int = 10


KINDS = (
    Kind("everybody", {}),
    Kind("filter in SQL", {"participant_filter": '"vip" in participant.tags'}, 5, 5),
    Kind(
        "filter and guard in CEL",
        {"participant_filter": "size(participant.tags) > 0", "guard_condition": "participant.counters.visits > 4"},
        5,
        2,
    ),
)


def measure(client: httpx.Client, dsn: str, workers: Mapping[str, int], settings: Settings, participants: int) -> FanOutTimes:
    """One fan-out of each kind, and one that is cancelled; `workers` are process ids by name. ServiceError."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        crowd = _crowd(client, connection, participants, workers, settings)
        # what a worker loads once is no growth
        crowd.run(Kind("warm-up", {"participant_filter": 'participant.external_id == "crowd-1"'}, 0, 0), exact=False)
        return FanOutTimes(participants, [crowd.run(kind) for kind in KINDS], *crowd.cancelled())


def _crowd(
    client: httpx.Client, connection: psycopg.Connection[Any], participants: int, workers: Mapping[str, int], settings: Settings
) -> "_Crowd":
    program = post(client, "/v1/programs", {"name": "Bench, fan-outs"})
    row = connection.execute("SELECT organization_id FROM programs WHERE id = %s", [UUID(program["id"])]).fetchone()
    assert row is not None
    connection.execute(POPULATE, {"count": participants, "organization": row[0], "program": UUID(program["id"])})
    connection.execute("ANALYZE holders, participants, enrollments")
    return _Crowd(client, connection, program["id"], participants, workers, settings)


@dataclass(slots=True)
class _Crowd:
    """A program with many participants and nothing else."""

    client: httpx.Client
    connection: psycopg.Connection[Any]
    program_id: str
    participants: int
    workers: Mapping[str, int]
    settings: Settings

    def run(self, kind: Kind, *, exact: bool = True) -> FanOutRun:
        """From the request until the fan-out is completed, and until all of its events are processed."""
        before = self._resident()
        peaks = dict(before)
        began = time.monotonic()
        id_ = self._start(kind)

        def ended() -> dict[str, Any] | None:
            for worker, size in self._resident().items():
                peaks[worker] = max(peaks[worker], size)
            found = self._seen(id_)
            return found if found["execution_status"] in ("completed", "failed") else None

        done = _poll(ended, kind.name)
        assert done is not None
        seconds = time.monotonic() - began
        _poll(lambda: not self._one("SELECT EXISTS (SELECT 1 FROM event_queue)"), kind.name)
        posted = time.monotonic() - began
        if exact:
            self._require(kind, id_, done)
        growth = max((peaks[worker] - before[worker] for worker in before), default=0.0)
        return FanOutRun(kind.name, done["participants_total"], self._events(id_), *_rounded(seconds, posted, growth))

    def cancelled(self) -> tuple[int | None, float]:
        """How many participants had their turn after one was told to stop, None when it had ended before; and milliseconds of the
        answer of its flow, asked on the way how far it is.
        """
        id_ = self._start(KINDS[0])
        _poll(lambda: self._processed(id_) >= self.participants // 20, "to cancel")
        asked = time.perf_counter()
        progress = asyncio.run(self._progress(id_))
        query_ms = round(1000 * (time.perf_counter() - asked), 1)
        before = self._processed(id_)
        response = self.client.post(f"{self._path}/{id_}/cancel")
        stopped, events = self._processed(id_), self._events(id_)
        _poll(lambda: not self._one("SELECT EXISTS (SELECT 1 FROM event_queue)"), "to cancel")
        if progress.processed > before or (self._processed(id_), self._events(id_)) != (stopped, events):
            raise ServiceError(f"bench: a cancelled fan-out went on after {stopped} participants and {events} events")
        if stopped == self.participants:
            return None, query_ms
        if not response.is_success or events != stopped or self._seen(id_)["execution_error"] != "cancelled":
            raise ServiceError(f"bench: a fan-out wasn't cancelled: {response.status_code}, {events} events for {stopped}")
        return stopped - before, query_ms

    async def _progress(self, automation_id: str) -> RunStatus:
        temporal = await connect(self.settings)
        flow = temporal.get_workflow_handle(automation_run_workflow_id(UUID(automation_id)))
        found: RunStatus = await flow.query(STATUS_QUERY, result_type=RunStatus)
        return found

    @property
    def _path(self) -> str:
        return f"/v1/programs/{self.program_id}/automations"

    def _start(self, kind: Kind) -> str:
        body = {"name": f"{kind.name} {time.time_ns()}", "event_name": "crowd", "scope": "participants"}
        return str(post(self.client, self._path, body | {"trigger": {"type": "immediate"}} | dict(kind.conditions))["id"])

    def _seen(self, automation_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{self._path}/{automation_id}").json()
        return found

    def _processed(self, automation_id: str) -> int:
        return int(self._one("SELECT coalesce(participants_processed, 0) FROM automations WHERE id = %s", UUID(automation_id)))

    def _events(self, automation_id: str) -> int:
        return int(self._one("SELECT count(*) FROM events WHERE automation_id = %s", UUID(automation_id)))

    def _resident(self) -> dict[str, float]:
        return {name: facts.resident_bytes(pid) / 1e6 for name, pid in self.workers.items()}

    def _require(self, kind: Kind, automation_id: str, done: Mapping[str, Any]) -> None:
        matching, served = self.participants * kind.matching // 10, self.participants * kind.served // 10
        found = (done["execution_status"], done["participants_total"], done["participants_processed"])
        events = self._events(automation_id)
        if (*found, events) != ("completed", matching, matching, served):
            raise ServiceError(
                f"bench: {kind.name}: {found} and {events} events, not {matching} participants and {served} events"
            )

    def _one(self, statement: str, *values: object) -> Any:
        row = self.connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return row[0]


def _poll(look: Callable[[], Found], name: str) -> Found:
    """What a look finds in the end; ServiceError when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ServiceError(f"bench: the fan-out {name} doesn't end")
        time.sleep(LOOK_SECONDS)
    return found


def _rounded(seconds: float, posted: float, growth: float) -> tuple[float, float, float]:
    return round(seconds, 2), round(posted, 2), round(growth, 1)
