"""One run: the yardstick and our figures in turn on one server, each of ours checked against the books."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from bench import webhooks
from bench.driving import Driver
from bench.fanout import measure as measure_fan_outs
from bench.pgbench import PgBench
from bench.plan import BATCH, Plan
from bench.redemptions import measure as measure_redemptions
from bench.results import Figure, Latency, Results, Run, VolumeTimes, percentile
from bench.server import BenchStack
from bench.tiers import TierBench
from bench.world import Books, World, create_world

CLIENTS = ("-m", "bench.clients")
BASELINE = ("-m", "bench.baseline")
BATCH_CONNECTIONS = 8
SINGLE_CONNECTIONS = 32
PACED_RATE = 20.0
# The baseline is so slow that a few hundred events say enough.
SINGLE_SHARE, TIER_SHARE, BASELINE_SHARE, LEAST_EVENTS = 3, 2, 30, 20
LATENCY_ROUNDS = 3
REDEMPTIONS_PER_SECOND = 50
# Participants of a fan-out for each event of a batch round.
FAN_OUT_SHARE = 10
# Entries for each participant of full books, and how many events fill them at a time.
ENTRIES_EACH, FILLING = 10, 50_000
WARM_TYPE = "hello"
VERIFY, VERIFY_SECONDS = ("-m", "cli", "verify"), 1800.0


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: seconds of a pgbench round and of webhooks, events of a batch round, rounds, members, figures.

    `holders` are those of the tier whose periods end; `entries` fill the books before ingest is measured again.
    """

    seconds: int
    events: int
    rounds: int
    members: int
    holders: int
    entries: int
    figures: frozenset[Figure]
    webhook_seconds: int = 20


class Bench:
    """Measures on a stack whose servers run, and fills `results`."""

    def __init__(self, stack: BenchStack, options: Options, results: Results) -> None:
        self._stack = stack
        self._options = options
        self._pgbench = PgBench(stack)
        self._results = results
        results.pgbench_tps = self._pgbench.rounds
        results.pgbench_cpu_ms = self._pgbench.cpu_ms

    def run(self) -> None:
        """Measure everything that is wanted."""
        self._stack.say("filling the database of pgbench")
        self._pgbench.prepare()
        self._yardstick()
        self._stack.start_product()
        self._world = self._prepare_world()
        self._books = Books(self._stack.dsn, self._world)
        self._driver = Driver(self._stack, self._world, self._books, self._options.members)
        try:
            self._warm_up()
            self._measure()
            self._results.deadlocks = self._books.deadlocks()
        finally:
            self._books.close()

    def _measure(self) -> None:
        steps: list[tuple[Figure, Callable[[], object]]] = [
            (Figure.BATCH, self._batch),
            (Figure.RULES, self._rules),
            (Figure.SCARCE, self._scarce),
            (Figure.SINGLE, self._single),
        ]
        for _ in range(self._options.rounds):
            for figure, step in steps:
                if figure in self._options.figures:
                    step()
                    self._yardstick()
        # Period ends are last: what follows would find an organization with tiers, and a clock that was moved.
        once: list[tuple[Figure, Callable[[], None]]] = [
            (Figure.LATENCY, self._latency),
            (Figure.REDEMPTIONS, self._redemptions),
            (Figure.FANOUT, self._fan_outs),
            (Figure.WEBHOOKS, self._webhooks),
            (Figure.BASELINE, self._baseline),
            (Figure.VOLUME, self._volume),
            (Figure.TIERS, self._tiers),
        ]
        for figure, measure in once:
            if figure in self._options.figures:
                measure()

    def _yardstick(self) -> None:
        tps = self._pgbench.round(self._options.seconds)
        self._stack.say(f"  pgbench   {tps:8.0f} tps")

    # ---------------------------------------------------------------- set-up
    def _prepare_world(self) -> World:
        with self._client() as client:
            return create_world(client)

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._stack.api_key}"}
        return httpx.Client(base_url=self._stack.settings.api_url, headers=headers, timeout=30, trust_env=False)

    def _warm_up(self) -> None:
        """An event without effects for every member: creates and enrols them, and wakes every lane once."""
        self._stack.say(f"creating {self._options.members} members")
        for scheme in self._world.schemes:
            self._warm(scheme.program_id)

    def _warm(self, program_id: str) -> None:
        before = self._books.totals().completed
        plan = self._driver.plan("warm", self._options.members, BATCH, BATCH_CONNECTIONS, event_type=WARM_TYPE)
        self._driver.drive(replace(plan, program_id=program_id), CLIENTS, lambda: self._books.totals().completed - before)

    # --------------------------------------------------------------- figures
    def _batch(self) -> None:
        self._figure(Figure.BATCH, self._driver.plan("batch", self._options.events, BATCH, BATCH_CONNECTIONS), CLIENTS)

    def _rules(self) -> None:
        plan = self._driver.plan("rules", self._options.events, BATCH, BATCH_CONNECTIONS)
        self._figure(Figure.RULES, replace(plan, program_id=self._world.big.program_id), CLIENTS)

    def _scarce(self) -> None:
        plan = self._driver.plan("scarce", self._options.events, BATCH, BATCH_CONNECTIONS)
        self._figure(Figure.SCARCE, replace(plan, program_id=self._world.scarce.program_id), CLIENTS)

    def _single(self) -> None:
        events = max(LEAST_EVENTS, self._options.events // SINGLE_SHARE)
        self._figure(Figure.SINGLE, self._driver.plan("single", events, 1, SINGLE_CONNECTIONS), CLIENTS)

    def _baseline(self) -> None:
        for number in range(1, self._stack.settings.worker_processes + 1):
            self._stack.keep(self._stack.helper(f"baseline-worker-{number}", (*BASELINE, "work")))
        first = self._driver.plan("baseline-warm", LEAST_EVENTS, 1, 1)
        self._driver.checked(first, (*BASELINE, "start"))
        events = max(LEAST_EVENTS, self._options.events // BASELINE_SHARE)
        self._figure(Figure.BASELINE, self._driver.plan("baseline", events, 1, 1), (*BASELINE, "start"))
        self._yardstick()

    def _webhooks(self) -> None:
        """Single events at a steady rate, while endpoints hear of each one's credit."""
        events = round(webhooks.RATE * self._options.webhook_seconds)
        plan = self._driver.plan("webhooks", events, 1, SINGLE_CONNECTIONS, rate=webhooks.RATE)
        with self._client() as client, webhooks.listen(self._stack, client) as listeners:

            def done() -> int:
                return self._books.delivered(listeners.endpoint_ids) // webhooks.ENDPOINTS

            drive = self._driver.checked(replace(plan, is_watched=False), CLIENTS, done)
            found = webhooks.judge(listeners.arrivals(), drive.report, events, drive.cpu)
        self._results.webhooks = found
        times = f"{found.received_p50:.1f} ms p50, {found.received_p99:.1f} ms p99"
        self._stack.say(f"  webhooks  {found.received_per_second:8.0f} deliveries/s, {times}, {found.behind} behind at the end")

    def _volume(self) -> None:
        """Batches of participants who exist: of few in nearly empty books, and of many in full ones."""
        participants = max(self._options.members, self._options.entries // ENTRIES_EACH)
        before = self._volume_rounds("empty", self._options.members)
        began = time.monotonic()
        for first in range(0, self._options.entries, FILLING):
            events = min(FILLING, self._options.entries - first)
            plan = self._driver.plan("filling", events, BATCH, BATCH_CONNECTIONS)
            self._driver.checked(replace(plan, participants=participants), CLIENTS)
            self._stack.say(f"  filled    {first + events:8d} entries")
        seconds = time.monotonic() - began
        self._yardstick()
        after = self._volume_rounds("full", participants)
        found = VolumeTimes(self._options.entries, participants, round(seconds, 1), self._verify(), before, after)
        self._results.volume = found
        self._stack.say(f"  volume    {found.ratio:8.2f} x the throughput into empty books")

    def _verify(self) -> float:
        """Seconds of `openscrip verify`; ServiceError when something is wrong with the books."""
        began = time.monotonic()
        self._stack.finish(self._stack.helper("verify", VERIFY), VERIFY_SECONDS)
        return round(time.monotonic() - began, 1)

    def _volume_rounds(self, name: str, participants: int) -> list[float]:
        """Rounds of batches, each in units of pgbench."""
        rounds = []
        for _ in range(self._options.rounds):
            plan = replace(self._driver.plan(name, self._options.events, BATCH, BATCH_CONNECTIONS), participants=participants)
            rounds.append(self._timed(name, plan, CLIENTS))
            self._yardstick()
        return [self._results.ratio_of(run) for run in rounds]

    def _figure(self, figure: Figure, plan: Plan, arguments: tuple[str, ...], done: Callable[[], int] | None = None) -> None:
        self._results.runs.setdefault(figure, []).append(self._timed(figure, plan, arguments, done))

    def _timed(self, name: str, plan: Plan, arguments: tuple[str, ...], done: Callable[[], int] | None = None) -> Run:
        """One round."""
        drive = self._driver.checked(plan, arguments, done)
        report = drive.report
        answer = 1000 * percentile(report.answers, 50)
        run = Run(
            len(self._pgbench.rounds) - 1,
            plan.events,
            drive.ended - report.began,
            report.ended - report.began,
            round(answer, 2),
            round(drive.sealed - drive.ended, 2),
            drive.cpu,
        )
        self._stack.say(f"  {name:<9} {run.rate:8.0f} events/s ({run.events} in {run.seconds:.1f} s)")
        return run

    def _latency(self) -> None:
        events = int(PACED_RATE * LATENCY_ROUNDS * self._options.seconds)
        plan = self._driver.plan("latency", events, 1, SINGLE_CONNECTIONS, rate=PACED_RATE)
        report = self._driver.checked(plan, CLIENTS).report
        answers = [1000 * seconds for seconds in report.answers]
        posted = [1000 * seconds for seconds in report.posted]
        found = (percentile(answers, 50), percentile(answers, 99), percentile(posted, 50), percentile(posted, 99))
        latency = Latency(PACED_RATE, events, *(round(value, 2) for value in found))
        self._results.latency = latency
        self._stack.say(f"  latency   {latency.posted_p50:8.1f} ms p50, {latency.posted_p99:.1f} ms p99 at {PACED_RATE:.0f}/s")

    def _redemptions(self) -> None:
        times = REDEMPTIONS_PER_SECOND * self._options.seconds
        with self._client() as client:
            found = measure_redemptions(client, self._stack.dsn, self._world.plain.program_id, times)
        self._results.redemptions = found
        self._stack.say(f"  redeem    {found.p50:8.1f} ms p50, {found.p99:.1f} ms p99, {found.ratio:.1f} x a bare debit")

    def _fan_outs(self) -> None:
        workers = {name: pid for name, pid in self._stack.pids.items() if name.startswith("worker-")}
        participants = FAN_OUT_SHARE * self._options.events
        with self._client() as client:
            found = measure_fan_outs(client, self._stack.dsn, workers, self._stack.settings, participants)
        self._results.fan_outs = found
        for run in found.runs:
            self._stack.say(f"  fan-out   {run.seconds:8.1f} s for {run.events} events, {run.name}")

    def _tiers(self) -> None:
        workers = tuple(pid for service, pid in self._stack.pids.items() if service.startswith("worker-"))
        ids = (self._world.plain.program_id, self._options.holders)
        measured = TierBench(self._stack.dsn, self._stack.settings, workers, *ids)
        self._stack.say(f"giving {self._options.holders} members a level")
        with self._client() as client:
            found = measured.measure(client, self._events_of_holders, self._options.rounds, self._stack.supervisor.check)
        self._results.tiers = found
        self._stack.say(
            f"  tiers     {found.holders_per_second:8.0f} holders/s alone; events during a period end {found.ratio:.2f} x"
        )

    def _events_of_holders(self) -> float:
        """Events a second of one round, whose participants are holders by chance."""
        events = max(LEAST_EVENTS, self._options.events // TIER_SHARE)
        plan = self._driver.plan("tiers", events, BATCH, BATCH_CONNECTIONS)
        drive = self._driver.checked(replace(plan, participants=self._options.holders), CLIENTS)
        rate = events / (drive.ended - drive.report.began)
        self._stack.say(f"  events    {rate:8.0f} events/s")
        return rate
