"""One run: the yardstick and our figures in turn on one server, each of ours checked against the books."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx

from bench import facts, webhooks
from bench.fanout import measure as measure_fan_outs
from bench.pgbench import PgBench
from bench.plan import BATCH, EVENT_TYPE, Plan, Report, read_report, signs, write
from bench.redemptions import measure as measure_redemptions
from bench.results import Figure, Latency, Results, Run, percentile
from bench.server import BenchStack
from bench.tiers import TierBench
from bench.world import POLL_SECONDS, Books, Deadline, World, create_world, require
from runtime.processes import Child

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
WARM_TYPE = "hello"


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: seconds of a pgbench round and of webhooks, events of a batch round, rounds, members, figures.

    `holders` are those of the tier whose periods end.
    """

    seconds: int
    events: int
    rounds: int
    members: int
    holders: int
    figures: frozenset[Figure]
    webhook_seconds: int = 20


@dataclass(frozen=True, slots=True)
class Drive:
    """A load that was carried out: its report, when all was posted and when sealed, and the processor time it took."""

    report: Report
    ended: float
    sealed: float
    cpu: dict[str, float]


class Bench:
    """Measures on a stack whose servers run, and fills `results`."""

    def __init__(self, stack: BenchStack, options: Options, results: Results) -> None:
        self._stack = stack
        self._options = options
        self._pgbench = PgBench(stack)
        self._results = results
        results.pgbench_tps = self._pgbench.rounds
        results.pgbench_cpu_ms = self._pgbench.cpu_ms
        self._loads = 0

    def run(self) -> None:
        """Measure everything that is wanted."""
        self._stack.say("filling the database of pgbench")
        self._pgbench.prepare()
        self._yardstick()
        self._stack.start_product()
        self._world = self._prepare_world()
        self._books = Books(self._stack.dsn, self._world)
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
        if Figure.LATENCY in self._options.figures:
            self._latency()
        if Figure.REDEMPTIONS in self._options.figures:
            self._redemptions()
        if Figure.FANOUT in self._options.figures:
            self._fan_outs()
        if Figure.WEBHOOKS in self._options.figures:
            self._webhooks()
        if Figure.BASELINE in self._options.figures:
            self._baseline()
            self._yardstick()
        # last: what follows would find an organization with tiers, and a clock that was moved
        if Figure.TIERS in self._options.figures:
            self._tiers()

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
        plan = self._plan("warm", self._options.members, BATCH, BATCH_CONNECTIONS, event_type=WARM_TYPE)
        self._drive(replace(plan, program_id=program_id), CLIENTS, lambda: self._books.totals().completed - before)

    # --------------------------------------------------------------- figures
    def _batch(self) -> None:
        self._figure(Figure.BATCH, self._plan("batch", self._options.events, BATCH, BATCH_CONNECTIONS), CLIENTS)

    def _rules(self) -> None:
        plan = self._plan("rules", self._options.events, BATCH, BATCH_CONNECTIONS)
        self._figure(Figure.RULES, replace(plan, program_id=self._world.big.program_id), CLIENTS)

    def _scarce(self) -> None:
        plan = self._plan("scarce", self._options.events, BATCH, BATCH_CONNECTIONS)
        self._figure(Figure.SCARCE, replace(plan, program_id=self._world.scarce.program_id), CLIENTS)

    def _single(self) -> None:
        events = max(LEAST_EVENTS, self._options.events // SINGLE_SHARE)
        self._figure(Figure.SINGLE, self._plan("single", events, 1, SINGLE_CONNECTIONS), CLIENTS)

    def _baseline(self) -> None:
        for number in range(1, self._stack.settings.worker_processes + 1):
            self._stack.keep(self._stack.helper(f"baseline-worker-{number}", (*BASELINE, "work")))
        first = self._plan("baseline-warm", LEAST_EVENTS, 1, 1)
        self._checked(first, (*BASELINE, "start"))
        events = max(LEAST_EVENTS, self._options.events // BASELINE_SHARE)
        self._figure(Figure.BASELINE, self._plan("baseline", events, 1, 1), (*BASELINE, "start"))

    def _webhooks(self) -> None:
        """Single events at a steady rate, while endpoints hear of each one's credit."""
        events = round(webhooks.RATE * self._options.webhook_seconds)
        plan = self._plan("webhooks", events, 1, SINGLE_CONNECTIONS, rate=webhooks.RATE)
        with self._client() as client, webhooks.listen(self._stack, client) as listeners:

            def done() -> int:
                return self._books.delivered(listeners.endpoint_ids) // webhooks.ENDPOINTS

            drive = self._checked(replace(plan, is_watched=False), CLIENTS, done)
            found = webhooks.judge(listeners.arrivals(), drive.report, events, drive.cpu)
        self._results.webhooks = found
        times = f"{found.received_p50:.1f} ms p50, {found.received_p99:.1f} ms p99"
        self._stack.say(f"  webhooks  {found.received_per_second:8.0f} deliveries/s, {times}, {found.behind} behind at the end")

    def _figure(self, figure: Figure, plan: Plan, arguments: tuple[str, ...], done: Callable[[], int] | None = None) -> None:
        drive = self._checked(plan, arguments, done)
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
        self._results.runs.setdefault(figure, []).append(run)
        self._stack.say(f"  {figure:<9} {run.rate:8.0f} events/s ({run.events} in {run.seconds:.1f} s)")

    def _latency(self) -> None:
        events = int(PACED_RATE * LATENCY_ROUNDS * self._options.seconds)
        plan = self._plan("latency", events, 1, SINGLE_CONNECTIONS, rate=PACED_RATE)
        report = self._checked(plan, CLIENTS).report
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
        plan = self._plan("tiers", events, BATCH, BATCH_CONNECTIONS)
        drive = self._checked(replace(plan, participants=self._options.holders), CLIENTS)
        rate = events / (drive.ended - drive.report.began)
        self._stack.say(f"  events    {rate:8.0f} events/s")
        return rate

    # --------------------------------------------------------------- driving
    def _plan(
        self, name: str, events: int, per_request: int, connections: int, *, rate: float = 0.0, event_type: str = EVENT_TYPE
    ) -> Plan:
        self._loads += 1
        settings = self._stack.settings
        return Plan(
            host=settings.api_host,
            port=settings.api_port,
            api_key=self._stack.api_key,
            database_url=self._stack.dsn,
            program_id=self._world.plain.program_id,
            prefix=f"{self._loads}-{name}",
            events=events,
            participants=self._options.members,
            per_request=per_request,
            connections=connections,
            rate=rate,
            event_type=event_type,
        )

    def _checked(self, plan: Plan, arguments: tuple[str, ...], done: Callable[[], int] | None = None) -> Drive:
        """Drive a load of purchases until all are posted, or `done` counts them, and check that each was posted exactly once."""
        before = self._books.totals()
        since = self._books.now()
        drive = self._drive(plan, arguments, done or (lambda: self._books.posted_since(since, plan.program_id)))
        require(self._books.totals(), before.after(plan), plan.prefix)
        return drive

    def _drive(self, plan: Plan, arguments: tuple[str, ...], posted: Callable[[], int]) -> Drive:
        """Prepare a load, run it, and wait until `posted` counts all its events, and their entries are sealed."""
        folder = self._stack.settings.data_dir
        plan_file, report_file = folder / f"{plan.prefix}.json", folder / f"{plan.prefix}-report.json"
        write(plan_file, plan)
        ready, go = signs(report_file)
        child = self._stack.helper(plan.prefix, (*arguments, str(plan_file), str(report_file)))
        try:
            self._await(child, ready.exists)
            before = facts.cpu_seconds(self._stack.pids)
            go.touch()
            self._await(child, report_file.exists)
            ended = self._await_posted(plan, posted)
            sealed = self._await_sealed(plan)
            after = facts.cpu_seconds(self._stack.pids)
        finally:
            child.stop(1.0)
        report = read_report(report_file)
        return Drive(report, ended, sealed, facts.spent_between(before, after, report.cpu_seconds))

    def _await(self, child: Child, ready: Callable[[], bool]) -> None:
        """Wait for a sign of a helper; ServiceError when it, or anything else, ends before."""
        while not ready():
            self._stack.supervisor.check()
            if child.poll() is not None and not ready():
                child.check()
            time.sleep(POLL_SECONDS)

    def _await_posted(self, plan: Plan, posted: Callable[[], int]) -> float:
        deadline = Deadline(plan.prefix, plan.events)
        while (count := posted()) < plan.events:
            self._stack.supervisor.check()
            deadline.check(count)
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def _await_sealed(self, plan: Plan) -> float:
        """Until no entry waits for its seal: what is measured leaves nothing to be done."""
        deadline = Deadline(plan.prefix, plan.events)
        while not self._books.is_sealed():
            self._stack.supervisor.check()
            deadline.check(plan.events)
            time.sleep(POLL_SECONDS)
        return time.monotonic()
