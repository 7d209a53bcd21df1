"""The processes of a run: Postgres, Temporal, two APIs and two workers, the latter behind proxies to the former."""

import contextlib
import os
import signal
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from chaos.proxy import Proxy
from db.migrate import upgrade
from runtime.embedded import DATABASE, EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import Child, ServiceError, free_port, kill_session, spawn, wait_until

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90.0
STOP_SECONDS = 15.0
PRODUCT = ("api-1", "api-2", "worker-1", "worker-2")
STORE = ("temporal.db", "temporal.db-wal", "temporal.db-shm")


@dataclass
class Stack:
    """Everything that runs; what has been killed is started again by `start`."""

    folder: Path
    postgres: EmbeddedPostgres
    temporal: EmbeddedTemporal
    to_postgres: Proxy
    to_temporal: Proxy
    ports: dict[str, int] = field(default_factory=lambda: {"api-1": free_port(), "api-2": free_port()})
    children: dict[str, Child] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def urls(self) -> list[str]:
        """Both APIs."""
        return [f"http://127.0.0.1:{port}" for port in self.ports.values()]

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    def start(self, name: str) -> None:
        """Start an API or a worker, unless it runs."""
        with self.lock:
            self.killed.discard(name)
            child = self.children.get(name)
            if child is not None and child.poll() is None:
                return
            argv = ["-m", "cli", "serve", "--port", str(self.ports[name])] if name in self.ports else ["worker.py"]
            log = self.logs / f"{name}.log"
            self.children[name] = spawn(name, [sys.executable, *argv], log, env=self._environment(), cwd=ROOT)

    def kill(self, name: str) -> None:
        """Kill -9."""
        with self.lock:
            self.killed.add(name)
            kill_session(self.children[name].pid)
            self.children[name].reap(STOP_SECONDS)

    def revive(self) -> None:
        """Start again what has ended by itself, as a supervisor would: a process that finds no database at its start ends."""
        with self.lock:
            for name in [name for name, child in self.children.items() if child.poll() is not None and name not in self.killed]:
                self.ended.append(name)
                self.start(name)

    def is_ready(self) -> bool:
        """Whether both APIs reach everything."""
        with contextlib.suppress(httpx.TransportError):
            return all(httpx.get(f"{url}/readyz", timeout=3, trust_env=False).is_success for url in self.urls)
        return False

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the harness, past the proxy."""
        return psycopg.connect(self.postgres.dsn, autocommit=True, connect_timeout=5)

    def forget_temporal(self) -> None:
        """Drop the store of a Temporal that doesn't run."""
        for name in STORE:
            (self.temporal.data_dir / name).unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSCRIP_")}
        behind = self.postgres.dsn.replace(f":{self.postgres.port}/{DATABASE}", f":{self.to_postgres.port}/{DATABASE}")
        return inherited | {
            "OPENSCRIP_DATABASE_URL": behind,
            "OPENSCRIP_TEMPORAL_ADDRESS": f"127.0.0.1:{self.to_temporal.port}",
            "OPENSCRIP_DATA_DIR": str(self.folder / "data"),
            "OPENSCRIP_RATE_LIMIT": "off",
            "OPENSCRIP_DATABASE_POOL_SIZE": "8",
            "OPENSCRIP_SWEEP_SECONDS": "2",
            "OPENSCRIP_SECRET_KEY": b64encode(bytes(range(32))).decode(),
            "OPENSCRIP_WEBHOOK_ALLOW_PRIVATE": "1",
            "OPENSCRIP_LOG_FORMAT": "json",
        }

    def stop(self) -> None:
        """End every process of the product, paused ones too."""
        with self.lock:
            for child in self.children.values():
                child.send(signal.SIGCONT)
                child.send(signal.SIGTERM)
            for child in self.children.values():
                child.reap(STOP_SECONDS)


@contextlib.contextmanager
def run_stack(folder: Path) -> Iterator[Stack]:
    """Start everything in a folder and wait until it serves; the block's end stops everything, whatever happened."""
    with contextlib.ExitStack() as started:
        logs = folder / "logs"
        postgres = EmbeddedPostgres(folder / "postgres", port=free_port(), log_file=logs / "postgres.log")
        temporal = EmbeddedTemporal(folder / "temporal", port=free_port(), headless=True, log_file=logs / "temporal.log")
        for server in (postgres, temporal):
            started.callback(_end, server)
            server.start()
        to_postgres, to_temporal = (started.enter_context(Proxy(server.port)) for server in (postgres, temporal))
        upgrade(postgres.dsn)
        stack = Stack(folder, postgres, temporal, to_postgres, to_temporal)
        started.callback(stack.stop)
        for name in PRODUCT:
            stack.start(name)
        if not wait_until(stack.is_ready, START_SECONDS, 0.1):
            raise ServiceError(f"chaos: the APIs don't get ready, see {logs}")
        yield stack


def _end(server: EmbeddedPostgres | EmbeddedTemporal) -> None:
    if server.child is not None:
        server.child.send(signal.SIGCONT)
        server.stop()
