"""One run: build the world, let clients and nemesis work at once, heal, drain, resolve, judge."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx

from chaos.clients import Caller, Clients
from chaos.drain import drain, require_drained
from chaos.judge import judge
from chaos.nemesis import Nemesis
from chaos.plan import digest, schedule
from chaos.report import Report
from chaos.stack import Stack, run_stack
from chaos.unknowns import resolve
from chaos.world import World, make_world
from db.session import Database
from services import organizations
from tests.support.receiver import Received, Receiver, Reply, receive

SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """A run: its seed, how long clients and nemesis work, the mean gap of the faults, and how patiently it is drained.

    From `visit_after` seconds of the drain on, balances are read, which settles what is due without waiting for its flow.
    """

    seed: int
    seconds: float
    mean_gap: float = 4.0
    drain_seconds: float = 180.0
    visit_after: float = 1e9
    hangs: bool = True


class Moods:
    """How the receiver answers: at times 500, at times late, at times too late."""

    def __init__(self, seed: int, *, hangs: bool) -> None:
        self._dice = random.Random(f"{seed}/receiver")
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._hang = 0.002 if hangs else 0.0
        self.is_calm = False

    def __call__(self, received: Received) -> Reply:
        """A second attempt succeeds, so that a run needn't wait minutes for the third."""
        place = received.path, received.headers.get("webhook-id", "")
        with self._lock:
            is_new, roll = place not in self._seen, self._dice.random()
            self._seen.add(place)
        if not is_new or self.is_calm:
            return Reply()
        if roll < self._hang:
            return Reply(delay=16.5)
        if roll < 0.01:
            return Reply(delay=0.8)
        return Reply(status=500) if roll < 0.05 else Reply()


def run(options: Options, folder: Path, say: Callable[[str], None]) -> Report:
    """Carry out a run in a folder of its own; the report says what was found."""
    faults = schedule(options.seed, options.seconds, options.mean_gap)
    report = Report(options.seed, digest(options.seed, options.seconds, options.mean_gap), options.seconds, logs=folder)
    began = time.monotonic()

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {text}")

    tell(f"seed {options.seed}, plan {report.plan}: {len(faults)} faults in {options.seconds:.0f} s")
    moods = Moods(options.seed, hangs=options.hangs)
    with receive(script=moods) as receiver, run_stack(folder) as stack:
        organization_id, headers = _tenant(stack)
        with httpx.Client(base_url=stack.urls[0], headers=headers, timeout=30, trust_env=False) as client:
            world = make_world(client, receiver.url)
        clients = Clients(options.seed, stack.urls, headers, world)
        report.log = clients.log
        tell("clients and nemesis begin")
        _disturb(clients, Nemesis(stack, faults), options.seconds, report)
        moods.is_calm = True
        tell("healed; draining")
        with closing(Caller(stack.urls, headers, clients.log)) as caller:
            _come_to_rest(stack, world, caller, options, report)
            tell("everything is done; judging")
            judge(stack, clients.log, caller, organization_id, receiver)
            _count(report, stack, receiver)
    return report


def _disturb(clients: Clients, nemesis: Nemesis, seconds: float, report: Report) -> None:
    try:
        clients.start()
        nemesis.start()
        time.sleep(seconds)
    finally:
        clients.stop()
        nemesis.heal()
    report.faults, report.missed_faults, report.ended = nemesis.done, nemesis.errors, nemesis.ended


def _come_to_rest(stack: Stack, world: World, caller: Caller, options: Options, report: Report) -> None:
    """Drain, repeat what is unknown, and drain what that has made."""
    found = drain(stack, world, caller, options.drain_seconds, options.visit_after)
    report.drain_seconds = found.seconds
    with stack.connect() as connection:
        report.unknowns = resolve(report.log, caller, connection)
    time.sleep(SETTLE_SECONDS)
    require_drained(drain(stack, world, caller, options.drain_seconds, options.visit_after), report.log)


def _tenant(stack: Stack) -> tuple[UUID, dict[str, str]]:
    with closing(Database(stack.postgres.dsn, pool_size=1)) as database, database.session() as session:
        organization = organizations.create_organization(session, "Chaos")
        _, key = organizations.create_api_key(session, organization.id, "chaos")
        return organization.id, {"Authorization": f"Bearer {key}"}


def _count(report: Report, stack: Stack, receiver: Receiver) -> None:
    with stack.connect() as connection:
        counts = connection.execute(
            """SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM journal_entries),
            (SELECT count(*) FROM webhook_messages)"""
        ).fetchone()
    assert counts is not None
    report.events, report.entries, report.messages = (int(str(count)) for count in counts)
    report.received = len(receiver.received)
