"""Carries out the faults of a plan, and undoes them."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psycopg

from chaos.plan import Fault, FaultKind
from chaos.stack import Stack
from runtime.processes import ServiceError, kill_session, wait_until

TICK_SECONDS = 0.05
REVIVE_SECONDS = 1.0
SERVER_SECONDS = 60.0
REAP_SECONDS = 20.0
MOST_BACKENDS = 4
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid"


class Nemesis:
    """Breaks the stack at the moments of a plan; `heal` mends everything."""

    def __init__(self, stack: Stack, faults: Sequence[Fault]) -> None:
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []
        self.ended = stack.ended
        self._stack = stack
        moments = [(fault.at, 0, number, fault) for number, fault in enumerate(faults)]
        moments += [(fault.at + fault.seconds, 1, number, fault) for number, fault in enumerate(faults)]
        self._moments = sorted(moments, key=lambda moment: moment[:3])
        self._paused_backends: dict[Fault, list[int]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def start(self) -> None:
        """Begin, with the clock at zero."""
        self._thread.start()

    def heal(self) -> None:
        """End what is still broken, and leave everything running."""
        self._stopping.set()
        self._thread.join(SERVER_SECONDS)
        stack = self._stack
        for name in stack.children:
            stack.children[name].send(signal.SIGCONT)
        stack.temporal.running.send(signal.SIGCONT)
        for fault in list(self._paused_backends):
            self._resume_backends(fault)
        stack.to_postgres.heal()
        stack.to_temporal.heal()
        self._start_postgres()
        self._start_temporal()
        if not wait_until(stack.postgres.is_ready, SERVER_SECONDS) or not wait_until(stack.temporal.is_ready, SERVER_SECONDS):
            raise ServiceError("chaos: a server doesn't come back")
        for name in stack.children:
            stack.start(name)

    def _run(self) -> None:
        began = revived = time.monotonic()
        moments = list(self._moments)
        while not self._stopping.wait(TICK_SECONDS):
            now = time.monotonic()
            if now - revived > REVIVE_SECONDS:
                revived = now
                self._stack.revive()
            while moments and moments[0][0] <= now - began:
                _, is_end, _, fault = moments.pop(0)
                self._carry_out(fault, is_end=bool(is_end))

    def _carry_out(self, fault: Fault, *, is_end: bool) -> None:
        begin, end = self._deeds(fault)
        try:
            (end if is_end else begin)()
        except (psycopg.Error, ServiceError, OSError) as error:
            # a backend that has ended meanwhile, a Postgres that is down already
            self.errors.append(f"{fault.kind}: {error}")
        else:
            if not is_end:
                self.done[fault.kind] += 1

    def _deeds(self, fault: Fault) -> tuple[Callable[[], object], Callable[[], object]]:
        stack, number = self._stack, fault.target % 2 + 1
        api, worker = f"api-{number}", f"worker-{number}"
        deeds: dict[FaultKind, tuple[Callable[[], object], Callable[[], object]]] = {
            FaultKind.KILL_API: (lambda: stack.kill(api), lambda: stack.start(api)),
            FaultKind.KILL_WORKER: (lambda: stack.kill(worker), lambda: stack.start(worker)),
            FaultKind.KILL_WORKERS: (self._kill_workers, self._start_workers),
            FaultKind.PAUSE_API: self._pausing(api),
            FaultKind.PAUSE_WORKER: self._pausing(worker),
            FaultKind.PAUSE_TEMPORAL: (
                lambda: stack.temporal.running.send(signal.SIGSTOP),
                lambda: stack.temporal.running.send(signal.SIGCONT),
            ),
            FaultKind.PAUSE_BACKEND: (lambda: self._pause_backends(fault), lambda: self._resume_backends(fault)),
            FaultKind.END_BACKENDS: (lambda: self._end_backends(fault), lambda: None),
            FaultKind.CUT_POSTGRES: (stack.to_postgres.cut, stack.to_postgres.heal),
            FaultKind.CUT_TEMPORAL: (stack.to_temporal.cut, stack.to_temporal.heal),
            FaultKind.MUTE_POSTGRES: (stack.to_postgres.mute, stack.to_postgres.heal),
            FaultKind.CRASH_POSTGRES: (self._crash_postgres, self._start_postgres),
            FaultKind.KILL_TEMPORAL: (self._kill_temporal, self._start_temporal),
            FaultKind.LOSE_TEMPORAL: (self._lose_temporal, self._start_temporal),
        }
        return deeds[fault.kind]

    def _pausing(self, name: str) -> tuple[Callable[[], object], Callable[[], object]]:
        children = self._stack.children
        return lambda: children[name].send(signal.SIGSTOP), lambda: children[name].send(signal.SIGCONT)

    def _kill_workers(self) -> None:
        self._stack.kill("worker-1")
        self._stack.kill("worker-2")

    def _start_workers(self) -> None:
        self._stack.start("worker-1")
        self._stack.start("worker-2")

    def _backends(self, fault: Fault) -> list[int]:
        """A few of the product's connections, one after the other from a place that the plan chose."""
        with self._stack.connect() as connection:
            pids = [int(str(pid)) for (pid,) in connection.execute(BACKENDS)]
        first = fault.target % max(1, len(pids))
        return (pids[first:] + pids[:first])[: 1 + fault.target % MOST_BACKENDS]

    def _pause_backends(self, fault: Fault) -> None:
        self._paused_backends[fault] = pids = self._backends(fault)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def _resume_backends(self, fault: Fault) -> None:
        for pid in self._paused_backends.pop(fault, []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _end_backends(self, fault: Fault) -> None:
        pids = self._backends(fault)
        with self._stack.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS t (pid)", [pids])

    def _crash_postgres(self) -> None:
        # SIGQUIT is the immediate shutdown: no checkpoint, recovery at the next start
        self._stack.postgres.running.send(signal.SIGQUIT)
        self._stack.postgres.running.reap(REAP_SECONDS)

    def _start_postgres(self) -> None:
        if self._stack.postgres.running.poll() is not None:
            self._stack.postgres.begin()

    def _kill_temporal(self) -> None:
        kill_session(self._stack.temporal.pid)
        self._stack.temporal.running.reap(REAP_SECONDS)

    def _lose_temporal(self) -> None:
        self._kill_temporal()
        self._stack.forget_temporal()

    def _start_temporal(self) -> None:
        if self._stack.temporal.running.poll() is not None:
            self._stack.temporal.begin()
