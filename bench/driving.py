"""Drives loads: a helper process sends what a plan says, and the books tell when all is posted and sealed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import facts
from bench.plan import EVENT_TYPE, Plan, Report, read_report, signs, write
from bench.server import BenchStack
from bench.world import POLL_SECONDS, Books, Deadline, World, require
from runtime.processes import Child


@dataclass(frozen=True, slots=True)
class Drive:
    """A load that was carried out: its report, when all was posted and when sealed, and the processor time it took."""

    report: Report
    ended: float
    sealed: float
    cpu: dict[str, float]


class Driver:
    """Sends events of so many members to a stack whose servers run, and watches its books."""

    def __init__(self, stack: BenchStack, world: World, books: Books, members: int) -> None:
        self._stack = stack
        self._world = world
        self._books = books
        self._members = members
        self._loads = 0

    def plan(
        self, name: str, events: int, per_request: int, connections: int, *, rate: float = 0.0, event_type: str = EVENT_TYPE
    ) -> Plan:
        """A load of events that no other one repeats, into the program of ten rules."""
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
            participants=self._members,
            per_request=per_request,
            connections=connections,
            rate=rate,
            event_type=event_type,
        )

    def checked(self, plan: Plan, arguments: tuple[str, ...], done: Callable[[], int] | None = None) -> Drive:
        """Drive a load of purchases until all are posted, or `done` counts them, and check that each was posted exactly once."""
        before = self._books.totals()
        since = self._books.now()
        drive = self.drive(plan, arguments, done or (lambda: self._books.posted_since(since, plan.program_id)))
        require(self._books.totals(), before.after(plan), plan.prefix)
        return drive

    def drive(self, plan: Plan, arguments: tuple[str, ...], posted: Callable[[], int]) -> Drive:
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
