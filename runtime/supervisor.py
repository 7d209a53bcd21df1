"""Runs a stack of child processes: start in order, watch, stop in reverse order; one stack per data directory."""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from runtime.cluster import prepare_data_dir, write_private
from runtime.processes import Child, ServiceError, describe_exit, holds_log, kill_session, wait_until
from runtime.unprivileged import server_identity

WATCH_SECONDS = 0.1
# One Ctrl-C can arrive twice: from the terminal, and from make or timeout, which pass it on.
SAME_REQUEST_SECONDS = 0.5
LEFTOVER_SECONDS = 15.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Somebody asked the stack to stop, by a signal."""


@dataclass(frozen=True, slots=True)
class Grace:
    """Seconds that a stage may take to stop: in a clean stop, and after another child has died."""

    clean: float
    hurried: float


@dataclass(eq=False, slots=True)
class Stage:
    """Children that stop together, by the same signal."""

    name: str
    grace: Grace
    graceful: signal.Signals = signal.SIGTERM
    children: list[Child] = field(default_factory=list)


class Supervisor:
    """Owns the children of one data directory while its `with` block runs; the block's end stops them all.

    A normal end, and StopRequested, stop cleanly; any other exception in a hurry. A second signal hurries too.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.logs = self.data_dir / "logs"
        self._pids = self.data_dir / "run"
        self._stages: list[Stage] = []
        self._asked_at: float | None = None
        self._is_hurried = False

    def __enter__(self) -> Self:
        prepare_data_dir(self.data_dir, server_identity())
        self._lock()
        self._previous = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        self._stop_leftovers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, StopRequested):
            self._is_hurried = True
        for stage in reversed(self._stages):
            self._stop_stage(stage)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._lock_file.close()

    def log_file(self, service: str) -> Path:
        """Return where the output of a service goes."""
        return self.logs / f"{service}.log"

    def adopt(self, child: Child, stage: Stage) -> None:
        """Take over a running child; stages stop in the reverse order of their first children."""
        if stage not in self._stages:
            self._stages.append(stage)
        stage.children.append(child)
        self._pids.mkdir(mode=0o700, exist_ok=True)
        write_private(self._pids / f"{child.service}.pid", str(child.pid))

    def check(self) -> None:
        """Raise StopRequested after a signal, and ServiceError when a child has died."""
        if self._asked_at is not None:
            raise StopRequested
        for stage in self._stages:
            for child in stage.children:
                child.check()

    def wait(self, ready: Callable[[], bool], timeout_seconds: float, failure: str) -> None:
        """Wait until `ready`, checking all the children meanwhile; ServiceError with `failure` when it takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(failure)
            time.sleep(WATCH_SECONDS)

    def run_to_end(self, child: Child, timeout_seconds: float) -> None:
        """Wait for a child that does its work and ends; ServiceError when it fails."""
        try:
            late = f"{child.service}: not done after {timeout_seconds:.0f} s, see {child.log_file}"
            self.wait(lambda: child.poll() is not None, timeout_seconds, late)
        finally:
            if child.poll() is None:
                child.stop(1.0)
        code = child.poll()
        if code:
            raise ServiceError(f"{child.service}: {describe_exit(code)}, see {child.log_file}")

    def watch(self) -> None:
        """Watch the children until somebody asks to stop (StopRequested) or one dies (ServiceError)."""
        while True:
            self.check()
            time.sleep(WATCH_SECONDS)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Plain assignments only: the next signal may interrupt this very function, and a lock taken here would be taken twice.
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > SAME_REQUEST_SECONDS:
            self._is_hurried = True

    def _lock(self) -> None:
        """Hold the data directory for as long as this process lives, however it ends."""
        self._lock_file = (self.data_dir / "up.lock").open("a+")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock_file.seek(0)
            owner = self._lock_file.read().strip() or "unknown"
            self._lock_file.close()
            raise ServiceError(f"up: is already running on {self.data_dir} (pid {owner})") from None
        self._lock_file.truncate(0)
        self._lock_file.write(str(os.getpid()))
        self._lock_file.flush()

    def _stop_leftovers(self) -> None:
        """End children of a supervisor that was killed; they are recognized by the log file they still hold."""
        alive = {file.stem: int(file.read_text()) for file in self._pids.glob("*.pid") if holds_log(self.log_file(file.stem))}
        for pid in alive.values():
            # The one signal that all of them take as a request to end, Postgres without waiting for clients.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        if wait_until(lambda: not any(holds_log(self.log_file(name)) for name in alive), LEFTOVER_SECONDS):
            return
        for name, pid in alive.items():
            if holds_log(self.log_file(name)):
                kill_session(pid)

    def _stop_stage(self, stage: Stage) -> None:
        for child in stage.children:
            child.send(stage.graceful)
        started = time.monotonic()

        def ended_or_late() -> bool:
            limit = stage.grace.hurried if self._is_hurried else stage.grace.clean
            late = time.monotonic() - started > limit
            return late or all(child.poll() is not None for child in stage.children)

        wait_until(ended_or_late, stage.grace.clean)
        for child in stage.children:
            child.reap(0)
            (self._pids / f"{child.service}.pid").unlink(missing_ok=True)


def is_supervised(data_dir: Path) -> bool:
    """Tell whether a supervisor runs on this data directory."""
    try:
        with (data_dir / "up.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
