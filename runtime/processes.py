"""Child processes and ports. Each child leads a session of its own: a Ctrl-C reaches only the one who stops them in order."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02
PRIVATE = 0o077
MAX_LOG_BYTES = 20 * 1024 * 1024


class ServiceError(Exception):
    """A service can't run; the message is one line that names the service and its port or log file."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and group that a child runs as."""

    uid: int
    gid: int


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on `port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without this a port whose last connections are in TIME_WAIT would look taken; servers set it as well.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], timeout_seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Poll `ready` until it is true; False after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_seconds)
    return True


class Child:
    """A running child process; its log file stays locked for as long as the child lives."""

    def __init__(self, service: str, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.service = service
        self.log_file = log_file
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while the child runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ServiceError when the child has ended."""
        code = self.poll()
        if code is not None:
            raise ServiceError(f"{self.service}: {describe_exit(code)}, see {self.log_file}")

    def wait_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready`; ServiceError when the child dies first or takes longer."""

        def ready_or_dead() -> bool:
            self.check()
            return ready()

        if not wait_until(ready_or_dead, timeout_seconds):
            raise ServiceError(f"{self.service}: not ready after {timeout_seconds:.0f} s, see {self.log_file}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child alone; nothing happens when it has ended."""
        if self.poll() is None:
            self._process.send_signal(number)

    def stop(self, timeout_seconds: float, graceful: signal.Signals = signal.SIGTERM) -> int:
        """Ask the child to end, kill its whole session after `timeout_seconds`; return the exit code."""
        self.send(graceful)
        return self.reap(timeout_seconds)

    def reap(self, timeout_seconds: float) -> int:
        """Wait for the end of a child that was signalled, kill its session after `timeout_seconds`."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            kill_session(self.pid)
            return self._process.wait()


def spawn(
    service: str,
    argv: Sequence[str],
    log_file: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    identity: Identity | None = None,
) -> Child:
    """Start `argv` in a new session, its output appended to `log_file`.

    Raises ServiceError when a child from an earlier run still holds the log file, or when it can't be started.
    """
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _rotate(log_file)
    with log_file.open("ab") as log:
        try:
            # The child inherits this open file, and with it the lock: see `holds_log`.
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServiceError(f"{service}: is already running, it holds {log_file}") from None
        try:
            process = subprocess.Popen(  # noqa: S603 - commands of ours
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=True,
                umask=PRIVATE,
                user=identity.uid if identity else None,
                group=identity.gid if identity else None,
                extra_groups=[] if identity else None,
            )
        except OSError as error:
            raise ServiceError(f"{service}: can't start {argv[0]}: {error.strerror}") from error
    return Child(service, process, log_file)


def _rotate(log_file: Path) -> None:
    """Put a long log of ended processes aside; one older log is kept."""
    with suppress(FileNotFoundError):
        if log_file.stat().st_size > MAX_LOG_BYTES and not holds_log(log_file):
            log_file.replace(log_file.with_suffix(".log.1"))


def holds_log(log_file: Path) -> bool:
    """Tell whether a child that was started with this log file is still alive."""
    try:
        with log_file.open("ab") as log:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def kill_session(pid: int) -> None:
    """Kill a session leader that `spawn` started, and what it left in its process group."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def describe_exit(code: int) -> str:
    """Say how a process ended: `exited with code 3` or `was killed by SIGKILL`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
