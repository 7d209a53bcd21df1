"""`openscrip up` for real: first run, resume, clean stop, dead children, taken ports."""

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.cli.stack import FIRST_START_SECONDS, SERVICES, Stack
from tests.runtime.folders import passable_folder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up"), pytest.mark.timeout(180)]

BALANCE = "750 PTS"
VARIABLES = {
    "api": "OPENSCRIP_API_PORT",
    "postgres": "OPENSCRIP_POSTGRES_PORT",
    "temporal": "OPENSCRIP_TEMPORAL_PORT",
    "temporal_ui": "OPENSCRIP_TEMPORAL_UI_PORT",
}


@pytest.fixture(scope="module")
def first_run() -> Iterator[Stack]:
    """A data directory whose first `up` has been run and stopped; its output is of that run."""
    with passable_folder() as folder:
        stack = Stack(folder / "data")
        try:
            stack.start_and_wait(FIRST_START_SECONDS)
            yield stack
        finally:
            stack.close()


@pytest.fixture
def stack(first_run: Stack) -> Iterator[Stack]:
    """The same data directory with nothing running on it."""
    first_run.close()
    again = Stack(first_run.data_dir, first_run.ports, runs=first_run.runs)
    try:
        yield again
    finally:
        again.close()
        first_run.runs = again.runs


class TestFirstRun:
    def test_earns_a_balance_and_says_where_everything_is(self, first_run: Stack) -> None:
        assert first_run.fact("Balance").startswith(BALANCE)
        key = first_run.fact("API key")
        docs = httpx.get(first_run.fact("API docs"), trust_env=False)
        assert docs.status_code == httpx.codes.OK
        ui = httpx.get(first_run.fact("Temporal UI"), trust_env=False, follow_redirects=True)
        assert ui.status_code == httpx.codes.OK
        programs = httpx.get(f"{first_run.fact('API')}/v1/programs", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        assert [program["name"] for program in programs.json()["data"]] == ["Coffee Club"]

    def test_keeps_its_secrets_to_itself(self, first_run: Stack) -> None:
        for name in ("secret.key", "demo.key", "postgres.password"):
            assert stat.S_IMODE((first_run.data_dir / name).stat().st_mode) == 0o600

    def test_a_second_up_says_that_one_is_running(self, first_run: Stack) -> None:
        other = Stack(first_run.data_dir, runs=100)
        assert other.start().wait(10) == 1
        assert first_run.process is not None
        assert other.output == (f"openscrip: up: is already running on {first_run.data_dir} (pid {first_run.process.pid})\n")


class TestResume:
    def test_is_fast_and_keeps_balance_and_key(self, first_run: Stack, stack: Stack) -> None:
        # generous: other tests have the cores too
        assert stack.start_and_wait() < 45
        assert stack.fact("Balance").startswith(BALANCE)
        assert stack.fact("API key") == (stack.data_dir / "demo.key").read_text()
        assert "walking through" not in stack.output

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_stops_cleanly(self, stack: Stack, number: signal.Signals) -> None:
        stack.start_and_wait()
        assert stack.stop(number) == 0
        assert stack.output.endswith("stopped\n")
        assert stack.leftovers() == []

    def test_a_signal_during_the_start_stops_cleanly(self, stack: Stack) -> None:
        stack.start()
        # before its first line the interpreter is still importing, and there is nothing to stop
        deadline = time.monotonic() + 30
        while not stack.output and time.monotonic() < deadline:
            time.sleep(0.05)
        assert stack.stop() == 0
        assert stack.leftovers() == []


class TestFailures:
    @pytest.mark.parametrize("service", SERVICES)
    def test_a_dead_child_ends_everything(self, stack: Stack, service: str) -> None:
        stack.start_and_wait()
        os.kill(stack.pid_of(service), signal.SIGKILL)
        assert stack.process is not None
        assert stack.process.wait(10) == 1
        expected = f"openscrip: {service}: was killed by SIGKILL, see {stack.data_dir}/logs/{service}.log\n"
        assert stack.output.endswith(expected)
        assert stack.leftovers() == []

    @pytest.mark.parametrize("port", VARIABLES)
    def test_a_taken_port_is_named(self, stack: Stack, port: str) -> None:
        with socket.create_server(("127.0.0.1", stack.ports[port])):
            assert stack.start().wait(10) == 1
        name, number = port.replace("_", "-"), stack.ports[port]
        assert stack.output == (f"openscrip: {name}: port {number} is taken, stop what listens there or set {VARIABLES[port]}\n")
        assert stack.leftovers() == []
