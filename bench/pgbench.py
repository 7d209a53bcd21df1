"""The yardstick: `pgbench` TPC-B-like in a database of its own on the same server."""

import re
import resource
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench import facts
from bench.server import BenchStack
from runtime.cluster import find_binaries
from runtime.processes import ServiceError, spawn
from runtime.unprivileged import server_identity

DATABASE = "pgbench"
SCALE = 10
CLIENTS, THREADS = 16, 2
INIT_SECONDS = 120.0
SLACK_SECONDS = 60.0
TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


class PgBench:
    """Rounds of pgbench; each is short, because the machine may be noisy."""

    def __init__(self, stack: BenchStack) -> None:
        self._stack = stack
        self._program = find_binaries(server_identity()) / "pgbench"
        self.rounds: list[float] = []
        # processor milliseconds per transaction, by kind of process, of each round
        self.cpu_ms: list[dict[str, float]] = []

    def prepare(self) -> None:
        """Create and fill the database."""
        with psycopg.connect(self._stack.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        self._run("pgbench-init", ["-i", "-s", str(SCALE), "-q"], INIT_SECONDS)

    def round(self, seconds: int) -> float:
        """One round; transactions per second without the time to connect."""
        arguments = ["-c", str(CLIENTS), "-j", str(THREADS), "-T", str(seconds)]
        before, clients = facts.cpu_seconds(self._stack.pids), _children_seconds()
        log = self._run(f"pgbench-{len(self.rounds) + 1}", arguments, seconds + SLACK_SECONDS)
        after = facts.cpu_seconds(self._stack.pids)
        found = TPS.search(log.read_text())
        if found is None:
            raise ServiceError(f"pgbench: said no tps, see {log}")
        self.rounds.append(float(found[1]))
        spent = facts.spent_between(before, after, _children_seconds() - clients)
        self.cpu_ms.append({kind: 1000 * used / (self.rounds[-1] * seconds) for kind, used in spent.items()})
        return self.rounds[-1]

    def _run(self, service: str, arguments: list[str], timeout_seconds: float) -> Path:
        target = conninfo_to_dict(self._stack.dsn)
        env = self._stack.env | {
            "PGHOST": str(target["host"]),
            "PGPORT": str(target["port"]),
            "PGUSER": str(target["user"]),
            "PGPASSWORD": str(target["password"]),
            "PGDATABASE": DATABASE,
        }
        log = self._stack.supervisor.log_file(service)
        self._stack.finish(spawn(service, [str(self._program), *arguments], log, env=env), timeout_seconds)
        return log


def _children_seconds() -> float:
    """Processor time of our children that have ended: between two looks, pgbench's."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
