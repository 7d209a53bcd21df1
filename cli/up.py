"""`openscrip up`: the whole stack on one machine, from the same commands that a deployment runs."""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape

from cli.local import ROOT, completed, ensure_secrets, environment
from cli.quickstart import Quickstart
from cli.summary import Summary, print_summary
from runtime.embedded import EmbeddedPostgres, EmbeddedServer, EmbeddedTemporal
from runtime.processes import Child, ServiceError, port_is_free, spawn
from runtime.settings import Settings, load_settings
from runtime.supervisor import Grace, Stage, StopRequested, Supervisor

# docker-compose.yml runs the same.
MIGRATE = ("-m", "cli", "migrate")
SERVE = ("-m", "cli", "serve")
WORKER = ("worker.py",)

METRICS = "OPENSCRIP_WORKER_METRICS_PORT"

START_SECONDS = 60.0
MIGRATE_SECONDS = 300.0
# The hurried ones add up to less than ten seconds.
API_GRACE = Grace(clean=15.0, hurried=2.0)
WORKER_GRACE = Grace(clean=30.0, hurried=2.0)
TEMPORAL_GRACE = Grace(clean=15.0, hurried=2.0)
POSTGRES_GRACE = Grace(clean=60.0, hurried=2.0)


@dataclass(frozen=True, slots=True)
class PortUse:
    """A port of the stack, with the setting that moves it."""

    service: str
    host: str
    port: int
    variable: str


def run() -> None:
    """Run the stack until Ctrl-C or SIGTERM; ServiceError when it can't run or one of its processes dies."""
    started = time.monotonic()
    settings = load_settings()
    settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    console = Console(highlight=False, soft_wrap=True)
    with suppress(StopRequested), Supervisor(settings.data_dir) as supervisor:
        Stack(settings, supervisor, console).run(started)
    _say(console, "stopped")


class Stack:
    """The services of `up` under one supervisor."""

    def __init__(self, settings: Settings, supervisor: Supervisor, console: Console) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.console = console
        self.env: dict[str, str] = {}

    def run(self, started: float) -> None:
        """Start everything in order, show it, and watch it; `started` is when the command began."""
        check_ports(self.settings)
        self._start_servers()
        api_key = self._prepare_environment()
        self._migrate()
        self._start_processes()
        ids, balance = self._quickstart(api_key)
        print_summary(
            self.console,
            Summary(
                settings=self.settings,
                api_key=api_key,
                balance=balance,
                participant_id=ids.get("participant_id"),
                ready_seconds=time.monotonic() - started,
            ),
        )
        self.supervisor.watch()

    def _start_servers(self) -> None:
        """Start what the settings don't point at elsewhere; both servers come up at the same time."""
        settings, data_dir = self.settings, self.settings.data_dir
        servers: list[EmbeddedServer] = []
        if settings.database_url is None:
            postgres = EmbeddedPostgres(data_dir, port=settings.postgres_port)
            known = (data_dir / "postgres").exists()
            self._say("starting Postgres" if known else f"creating the database in {escape(str(data_dir))}")
            self._begin(postgres, POSTGRES_GRACE)
            servers.append(postgres)
        if settings.temporal_address is None:
            temporal = EmbeddedTemporal(
                data_dir,
                port=settings.temporal_port,
                ui_port=settings.temporal_ui_port,
                namespace=settings.temporal_namespace,
            )
            self._say("starting Temporal")
            self._begin(temporal, TEMPORAL_GRACE)
            servers.append(temporal)
        for server in servers:
            log = self.supervisor.log_file(server.service)
            self.supervisor.wait(
                server.is_ready, START_SECONDS, f"{server.service}: not ready after {START_SECONDS:.0f} s, see {log}"
            )
            server.complete()

    def _begin(self, server: EmbeddedServer, grace: Grace) -> None:
        self.supervisor.check()
        server.begin()
        self.supervisor.adopt(server.running, Stage(server.service, grace, server.graceful))

    def _prepare_environment(self) -> str:
        """Make the secrets of the first run and the environment of our processes; return the API key."""
        settings = completed(self.settings)
        secret_key, api_key = ensure_secrets(settings)
        self.settings = settings.model_copy(update={"secret_key": SecretStr(secret_key)})
        self.env = environment(settings, secret_key, api_key)
        return api_key

    def _migrate(self) -> None:
        self._say("migrating")
        self.supervisor.run_to_end(self._spawn("migrate", MIGRATE), MIGRATE_SECONDS)

    def _start_processes(self) -> None:
        """Start workers and API, and wait until the API says that it is ready."""
        count = self.settings.worker_processes
        self._say(f"starting {count} worker{'s' if count > 1 else ''} and the API")
        workers = Stage("workers", WORKER_GRACE)
        for number in range(1, count + 1):
            metrics = {METRICS: str(metrics_port(self.settings, number))}
            self.supervisor.adopt(self._spawn(f"worker-{number}", WORKER, metrics), workers)
        self.supervisor.adopt(self._spawn("api", SERVE), Stage("api", API_GRACE))
        failure = (
            f"api: port {self.settings.api_port} not ready after {START_SECONDS:.0f} s, see {self.supervisor.log_file('api')}"
        )
        with httpx.Client(base_url=self.settings.api_url, timeout=2.0, trust_env=False) as client:
            self.supervisor.wait(lambda: is_ready(client), START_SECONDS, failure)

    def _quickstart(self, api_key: str) -> tuple[dict[str, str], str | None]:
        if not self.settings.demo:
            return {}, None
        progress = self.settings.data_dir / "demo.json"
        if not progress.exists():
            self._say("first run, walking through the quickstart")
        quickstart = Quickstart(self.settings.api_url, api_key, progress, self.supervisor.check)
        try:
            balance = quickstart.walk(lambda text: self._say(f"  [green]✓[/green] {text}"))
        finally:
            quickstart.close()
        return quickstart.ids, balance

    def _spawn(self, service: str, arguments: tuple[str, ...], own: Mapping[str, str] | None = None) -> Child:
        argv = [sys.executable, *arguments]
        env = self.env | dict(own or {})
        return spawn(service, argv, self.supervisor.log_file(service), env=env, cwd=ROOT)

    def _say(self, text: str) -> None:
        _say(self.console, text)


def _say(console: Console, text: str) -> None:
    # The terminal may be gone, which is no reason to stop working, least of all to stop stopping.
    with suppress(OSError):
        console.print(text)


def ports_of(settings: Settings) -> list[PortUse]:
    """Return the ports that `up` needs with these settings."""
    local = "127.0.0.1"
    ports = [PortUse("api", settings.api_host, settings.api_port, "OPENSCRIP_API_PORT")]
    if settings.database_url is None:
        ports.append(PortUse("postgres", local, settings.postgres_port, "OPENSCRIP_POSTGRES_PORT"))
    if settings.temporal_address is None:
        ports.append(PortUse("temporal", local, settings.temporal_port, "OPENSCRIP_TEMPORAL_PORT"))
        ports.append(PortUse("temporal-ui", local, settings.temporal_ui_port, "OPENSCRIP_TEMPORAL_UI_PORT"))
    if settings.worker_metrics_port:
        for number in range(1, settings.worker_processes + 1):
            port = metrics_port(settings, number)
            ports.append(PortUse(f"worker-{number}", settings.api_host, port, METRICS))
    return ports


def metrics_port(settings: Settings, number: int) -> int:
    """Return the metrics port of the n-th worker, counted from 1: the setting's and those after it; 0 for none."""
    return settings.worker_metrics_port and settings.worker_metrics_port + number - 1


def check_ports(settings: Settings) -> None:
    """Raise ServiceError for the first port that is taken, or wanted twice."""
    owners: dict[int, str] = {}
    for use in ports_of(settings):
        if use.port in owners:
            raise ServiceError(f"{use.service}: port {use.port} is the port of {owners[use.port]} too, set {use.variable}")
        owners[use.port] = use.service
        if not port_is_free(use.port, use.host):
            raise ServiceError(f"{use.service}: port {use.port} is taken, stop what listens there or set {use.variable}")


def is_ready(client: httpx.Client) -> bool:
    """Ask the API for its readiness."""
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
