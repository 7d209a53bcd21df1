"""The stack under measurement: the servers and processes of `openscrip up`, on free ports and a folder of their own."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cli.up import START_SECONDS, WORKER_GRACE, Stack
from runtime.embedded import EmbeddedServer
from runtime.processes import Child, free_port
from runtime.settings import Settings, load_settings
from runtime.supervisor import Grace, Stage, StopRequested, Supervisor

# What a run may be tuned by; everything else is the bench's own, above all which database it fills.
TUNABLE = ("WORKER_PROCESSES", "LANES", "DATABASE_POOL_SIZE", "SWEEP_SECONDS", "LOG_LEVEL", "LOG_FORMAT")


@contextmanager
def scratch_folder(console: Console) -> Iterator[Path]:
    """A new folder that the server's account can enter; removed at the end, but kept with its logs after a failure."""
    folder = Path(tempfile.mkdtemp(prefix="openscrip-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    except StopRequested:
        shutil.rmtree(folder)
        raise
    except BaseException:
        console.print(f"data and logs are kept in {escape(str(folder))}", style="yellow")
        raise
    shutil.rmtree(folder)


def bench_settings(data_dir: Path) -> Settings:
    """The settings of the environment where they tune; servers, ports and secrets of our own; no rate limit."""
    defaults = Settings.model_construct()
    given = load_settings()
    tuned = {name.lower(): getattr(given, name.lower()) for name in TUNABLE}
    api, postgres, temporal, temporal_ui = _free_ports(4)
    own = {
        "data_dir": data_dir.absolute(),
        "api_port": api,
        "postgres_port": postgres,
        "temporal_port": temporal,
        "temporal_ui_port": temporal_ui,
        "rate_limit": "off",
        "demo": False,
    }
    return defaults.model_copy(update=tuned | own)


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


class BenchStack(Stack):
    """The stack of `up`, started in two steps, with the process ids of its services and helpers beside it."""

    def __init__(self, settings: Settings, supervisor: Supervisor, console: Console) -> None:
        super().__init__(settings, supervisor, console)
        self.pids: dict[str, int] = {}
        self.api_key = ""

    def start_servers(self) -> None:
        """Start Postgres and Temporal, empty."""
        self._start_servers()
        self.api_key = self._prepare_environment()
        own = {
            "OPENSCRIP_API_PORT": str(self.settings.api_port),
            "OPENSCRIP_TEMPORAL_PORT": str(self.settings.temporal_port),
            "OPENSCRIP_RATE_LIMIT": self.settings.rate_limit,
            # the receiver of the bench is on this machine
            "OPENSCRIP_WEBHOOK_ALLOW_PRIVATE": "1",
            # a period end is moved to
            "OPENSCRIP_TEST_CLOCK": "1",
        }
        self.env = _without_foreign(self.env, self.settings) | own

    def start_product(self) -> None:
        """Migrate, and start workers and API."""
        self._migrate()
        self._start_processes()

    @property
    def dsn(self) -> str:
        """The product's database."""
        return self.settings.require_database_url()

    def helper(self, service: str, arguments: tuple[str, ...], own: Mapping[str, str] | None = None) -> Child:
        """Start a Python process of the bench; the caller sees to its end."""
        return self._spawn(service, arguments, own)

    def keep(self, child: Child) -> None:
        """Let a helper run until the stack stops."""
        self.supervisor.adopt(child, Stage(child.service, WORKER_GRACE))

    def finish(self, child: Child, timeout_seconds: float = START_SECONDS) -> None:
        """Wait for a helper that does its work and ends."""
        self.supervisor.run_to_end(child, timeout_seconds)

    def say(self, text: str) -> None:
        """Tell the person in front of the terminal."""
        self._say(text)

    def _begin(self, server: EmbeddedServer, grace: Grace) -> None:
        super()._begin(server, grace)
        self.pids[server.service] = server.pid

    def _spawn(self, service: str, arguments: tuple[str, ...], own: Mapping[str, str] | None = None) -> Child:
        child = super()._spawn(service, arguments, own)
        self.pids[service] = child.pid
        return child


def _without_foreign(env: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment without settings of another deployment that this shell may carry."""
    ours = {f"OPENSCRIP_{name}" for name in TUNABLE}
    ours |= {f"OPENSCRIP_{name}" for name in ("DATA_DIR", "DATABASE_URL", "TEMPORAL_ADDRESS", "SECRET_KEY", "BOOTSTRAP_API_KEY")}
    kept = {name: value for name, value in env.items() if not name.startswith("OPENSCRIP_") or name in ours}
    return kept | {"OPENSCRIP_WORKER_PROCESSES": str(settings.worker_processes)}
