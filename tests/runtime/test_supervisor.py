"""The supervisor: order of stopping, dead children, signals, one per data directory, leftovers of a killed one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime.processes import Child, ServiceError, holds_log, spawn, wait_until
from runtime.supervisor import SAME_REQUEST_SECONDS, Grace, Stage, StopRequested, Supervisor, is_supervised

GRACE = Grace(clean=5.0, hurried=0.5)


def start(supervisor: Supervisor, name: str, *, stubborn: bool = False) -> Child:
    """Start a child that notes its name when it is asked to end; a stubborn one doesn't end."""
    note = supervisor.data_dir / "order"
    ready = supervisor.data_dir / f"{name}.ready"
    reaction = f"echo {name} >> {note}; " + ("" if stubborn else "exit 0")
    script = f"trap '{reaction}' TERM; touch {ready}; while :; do sleep 0.02; done"
    child = spawn(name, ["/bin/sh", "-c", script], supervisor.log_file(name))
    assert wait_until(ready.exists, 5)
    return child


def stopped_order(data_dir: Path) -> list[str]:
    return (data_dir / "order").read_text().split()


def test_stages_stop_in_reverse_order(tmp_path: Path) -> None:
    with pytest.raises(StopRequested), Supervisor(tmp_path) as supervisor:
        supervisor.adopt(start(supervisor, "postgres"), Stage("postgres", GRACE))
        workers = Stage("workers", GRACE)
        supervisor.adopt(start(supervisor, "worker-1"), workers)
        supervisor.adopt(start(supervisor, "worker-2"), workers)
        supervisor.adopt(start(supervisor, "api"), Stage("api", GRACE))
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.watch()
    order = stopped_order(tmp_path)
    assert order[0] == "api"
    assert set(order[1:3]) == {"worker-1", "worker-2"}
    assert order[3] == "postgres"
    assert not list((tmp_path / "run").iterdir())


def test_a_dead_child_is_named_with_its_log_and_the_others_stop(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as failure, Supervisor(tmp_path) as supervisor:
        other = start(supervisor, "postgres", stubborn=True)
        supervisor.adopt(other, Stage("postgres", GRACE))
        victim = start(supervisor, "api")
        supervisor.adopt(victim, Stage("api", GRACE))
        os.kill(victim.pid, signal.SIGKILL)
        started = time.monotonic()
        supervisor.watch()
    assert str(failure.value) == f"api: was killed by SIGKILL, see {tmp_path}/logs/api.log"
    assert other.poll() is not None
    assert time.monotonic() - started < GRACE.hurried + 2


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    with pytest.raises(StopRequested), Supervisor(tmp_path) as supervisor:
        supervisor.adopt(start(supervisor, "api", stubborn=True), Stage("api", Grace(clean=60.0, hurried=0.1)))
        os.kill(os.getpid(), signal.SIGINT)
        again = threading.Timer(SAME_REQUEST_SECONDS + 0.2, os.kill, (os.getpid(), signal.SIGINT))
        again.start()
        started = time.monotonic()
        supervisor.watch()
    assert time.monotonic() - started < 5


def test_one_request_that_arrives_many_times_stops_cleanly(tmp_path: Path) -> None:
    def flood() -> None:
        for _ in range(300):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=flood)
    with pytest.raises(StopRequested), Supervisor(tmp_path) as supervisor:
        supervisor.adopt(start(supervisor, "api"), Stage("api", Grace(clean=20.0, hurried=0.0)))
        sender.start()
        supervisor.watch()
    sender.join()
    assert stopped_order(tmp_path) == ["api"]


def test_a_data_directory_has_one_supervisor(tmp_path: Path) -> None:
    with Supervisor(tmp_path):
        assert is_supervised(tmp_path)
        with pytest.raises(ServiceError, match=rf"up: is already running on {tmp_path} \(pid {os.getpid()}\)"):
            Supervisor(tmp_path).__enter__()
    assert not is_supervised(tmp_path)


def test_run_to_end_names_the_failing_command(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        good = spawn("migrate", ["/bin/sh", "-c", "exit 0"], supervisor.log_file("migrate"))
        supervisor.run_to_end(good, 5)
        bad = spawn("migrate", ["/bin/sh", "-c", "exit 3"], supervisor.log_file("migrate"))
        with pytest.raises(ServiceError, match="migrate: exited with code 3, see "):
            supervisor.run_to_end(bad, 5)


def test_children_of_a_killed_supervisor_are_stopped_by_the_next(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from runtime.processes import spawn
from runtime.supervisor import SAME_REQUEST_SECONDS, Grace, Stage, Supervisor
with Supervisor(Path(sys.argv[1])) as supervisor:
    child = spawn("postgres", ["/bin/sleep", "600"], supervisor.log_file("postgres"))
    supervisor.adopt(child, Stage("postgres", Grace(1.0, 1.0)))
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    log = tmp_path / "logs" / "postgres.log"
    assert wait_until(lambda: (tmp_path / "run" / "postgres.pid").exists(), 10)
    process.kill()
    process.wait()
    assert holds_log(log)
    with Supervisor(tmp_path):
        assert not holds_log(log)
