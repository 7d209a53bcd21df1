"""One API and two workers in processes of their own, as a deployment runs them, on servers that the test has."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from runtime.embedded import EmbeddedTemporal
from runtime.processes import Child, free_port, spawn, wait_until
from tests.cli.stack import ROOT

START_SECONDS = 60.0
COMMANDS = {"api": ("-m", "cli", "serve"), "worker-1": ("worker.py",), "worker-2": ("worker.py",)}


@dataclass
class Cluster:
    """One API and two workers, each restarted at once when it is killed."""

    environment: dict[str, str]
    logs: Path
    url: str
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str) -> None:
        argv = [sys.executable, *COMMANDS[name]]
        # two can't listen on one port
        environment = self.environment | ({"OPENSCRIP_WORKER_METRICS_PORT": "0"} if name == "worker-2" else {})
        self.children[name] = spawn(name, argv, self.logs / f"{name}.log", env=environment, cwd=ROOT)

    def kill(self, name: str) -> None:
        """kill -9, then start again."""
        self.strike(name)
        self.start(name)

    def strike(self, *names: str) -> None:
        """kill -9; they stay away until they are started."""
        for name in names:
            self.children[name].send(signal.SIGKILL)
        for name in names:
            self.children.pop(name).reap(10)

    def wait_ready(self) -> None:
        """Until the API serves and reaches what it needs."""
        assert wait_until(self.is_ready, START_SECONDS, 0.1), "the API doesn't get ready"

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == httpx.codes.OK
        return False

    def stop(self) -> None:
        for child in self.children.values():
            child.send(signal.SIGTERM)
        for child in self.children.values():
            child.reap(20)


@contextmanager
def run_cluster(
    database_url: str, temporal: EmbeddedTemporal, folder: Path, names: Iterable[str] = COMMANDS, **settings: str
) -> Iterator[Cluster]:
    """Start everything, or what is named, and wait until it serves; `settings` are environment variables."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")} | {
        "OPENSCRIP_DATABASE_URL": database_url,
        "OPENSCRIP_TEMPORAL_ADDRESS": temporal.address,
        "OPENSCRIP_DATA_DIR": str(folder),
        "OPENSCRIP_API_PORT": str(port),
        "OPENSCRIP_RATE_LIMIT": "off",
        "OPENSCRIP_DATABASE_POOL_SIZE": "8",
        **settings,
    }
    cluster = Cluster(environment, folder / "logs", f"http://127.0.0.1:{port}")
    try:
        for name in names:
            cluster.start(name)
        cluster.wait_ready()
        yield cluster
    finally:
        cluster.stop()
