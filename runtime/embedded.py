"""Servers that run from packages: Postgres and a Temporal development server, for `openscrip up` and for the tests."""

import asyncio
import shutil
import signal
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql
from temporalio.service import ConnectConfig, KeepAliveConfig, RPCError, ServiceClient

from runtime.cluster import (
    OWNER,
    check_version,
    find_binaries,
    init_cluster,
    make_password,
    owner_of,
    prepare_data_dir,
)
from runtime.processes import Child, Identity, ServiceError, free_port, port_is_free, spawn
from runtime.unprivileged import can_enter, new_state_folder, server_identity

HOST = "127.0.0.1"
DATABASE = "openscrip"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
BIND_ATTEMPTS = 5
STATE_LINE = 7  # of postmaster.pid, from 0
SEARCH_ATTRIBUTES = ("OpenScripOrganization", "OpenScripProgram", "OpenScripKind", "OpenScripStatus")

POSTGRES_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
EPHEMERAL_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


class EmbeddedServer:
    """A server in a child process: `start`, `stop`, or a `with` block.

    `start` is `begin`, waiting for `is_ready`, and `complete`; callers with several servers take these steps themselves.
    """

    service = ""
    graceful = signal.SIGTERM

    def __init__(self, data_dir: Path, ports: Sequence[int], log_file: Path | None) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = log_file or self.data_dir / "logs" / f"{self.service}.log"
        self.child: Child | None = None
        self._wanted_ports = tuple(ports)

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def running(self) -> Child:
        """The child process; ServiceError before `begin`."""
        if self.child is None:
            raise ServiceError(f"{self.service}: hasn't been started")
        return self.child

    def start(self) -> None:
        """Start the server and wait until it serves; ServiceError when it can't."""
        for attempt in range(1, BIND_ATTEMPTS + 1):
            self.begin()
            try:
                self.running.wait_ready(self.is_ready, START_SECONDS)
            except ServiceError:
                # Somebody else may have taken the free port in between.
                if all(self._wanted_ports) or attempt == BIND_ATTEMPTS or self.running.poll() is None:
                    raise
            else:
                break
        self.complete()

    def begin(self) -> None:
        """Launch the server without waiting for it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Tell whether the launched server takes connections."""
        raise NotImplementedError

    def complete(self) -> None:
        """Do what is left when the server takes connections."""

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop the server, if it runs."""
        if self.child is not None:
            self.child.stop(timeout_seconds, self.graceful)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _choose_ports(self) -> list[int]:
        for port in self._wanted_ports:
            if port and not port_is_free(port):
                raise ServiceError(f"{self.service}: port {port} is taken")
        return [port or free_port() for port in self._wanted_ports]


class EmbeddedPostgres(EmbeddedServer):
    """A Postgres server with its data in `data_dir`; `port` 0 picks a free one.

    `ephemeral` is for tests: no password, and data that needn't survive a power cut.
    """

    service = "postgres"
    # Disconnects everybody and writes a checkpoint; SIGTERM would wait for the clients.
    graceful = signal.SIGINT

    def __init__(self, data_dir: Path, *, port: int = 0, ephemeral: bool = False, log_file: Path | None = None) -> None:
        super().__init__(data_dir, [port], log_file)
        self.port = port
        self.ephemeral = ephemeral
        self._password = ""
        self._password_file = self.data_dir / "postgres.password"
        self._scratch: Path | None = None

    @property
    def dsn(self) -> str:
        """The connection URL of the database's owner."""
        return self._url(DATABASE)

    def begin(self) -> None:
        """Create the data directory when there is none, and launch the server without waiting for it."""
        identity = server_identity()
        [self.port] = self._choose_ports()
        prepare_data_dir(self.data_dir, identity)
        binaries = find_binaries(identity)
        self._cluster = self._find_cluster(identity)
        if not self.ephemeral and not self.load_password():
            self._password = make_password(self._password_file)
        if not self._cluster.exists():
            init_cluster(binaries, self._cluster, self._password, identity, durable=not self.ephemeral)
        identity = owner_of(self._cluster, identity)
        check_version(binaries, self._cluster)
        self._launch(binaries, identity)

    def load_password(self) -> bool:
        """Read the password of an existing data directory, so that `dsn` is right without starting; False when there is none."""
        try:
            self._password = self._password_file.read_text().strip()
        except OSError:
            return False
        return True

    def complete(self) -> None:
        """Create the database when it is missing; ServiceError when the server refuses us."""
        try:
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if known is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ServiceError(f"postgres: refuses us ({reason}), see {self.log_file}") from error

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Disconnect everybody and stop the server; the data stays, except a scratch folder of ephemeral data."""
        super().stop(timeout_seconds)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _url(self, database: str) -> str:
        credentials = f"{OWNER}:{quote(self._password)}" if self._password else OWNER
        return f"postgresql://{credentials}@{HOST}:{self.port}/{database}"

    def _find_cluster(self, identity: Identity | None) -> Path:
        """Return the folder of the database files; a link leads from `data_dir` to one that lies elsewhere."""
        place = self.data_dir / "postgres"
        if place.is_symlink():
            return place.readlink()
        if identity is None or can_enter(identity, self.data_dir):
            return place
        if self.ephemeral:
            self._scratch = self._scratch or Path(tempfile.mkdtemp(prefix="openscrip-"))
            self._scratch.chmod(0o711)
            return self._scratch / "postgres"
        place.symlink_to(new_state_folder() / "postgres")
        return place.readlink()

    def _launch(self, binaries: Path, identity: Identity | None) -> None:
        settings = POSTGRES_SETTINGS | (EPHEMERAL_SETTINGS if self.ephemeral else {}) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = [str(binaries / "postgres"), "-D", str(self._cluster), *options]
        self.child = spawn(self.service, argv, self.log_file, cwd=self._cluster, identity=identity)

    def is_ready(self) -> bool:
        """Read the state that the server writes to its own pid file, as pg_ctl does."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > STATE_LINE and lines[0] == str(self.pid) and lines[STATE_LINE].strip() == "ready"


class EmbeddedTemporal(EmbeddedServer):
    """A Temporal development server with its UI; its store is a file in `data_dir`, or memory. Port 0 picks a free one."""

    service = "temporal"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        ui_port: int = 0,
        headless: bool = False,
        in_memory: bool = False,
        namespace: str = "default",
        log_file: Path | None = None,
    ) -> None:
        super().__init__(data_dir, [port] if headless else [port, ui_port], log_file)
        self.port = port
        self.ui_port = ui_port
        self.headless = headless
        self.in_memory = in_memory
        self.namespace = namespace

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self.ui_port}"

    def begin(self) -> None:
        """Launch the server without waiting for it."""
        self.port, *others = self._choose_ports()
        options = ["--ip", HOST, "--port", str(self.port), "--namespace", self.namespace]
        options += ["--log-level", "warn", "--log-format", "json"]
        if others:
            [self.ui_port] = others
            options += ["--ui-port", str(self.ui_port), "--ui-disable-news-fetch"]
        else:
            options += ["--headless"]
        if not self.in_memory:
            prepare_data_dir(self.data_dir, server_identity())
            options += ["--db-filename", str(self.data_dir / "temporal.db")]
            options += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
        for name in SEARCH_ATTRIBUTES:
            options += ["--search-attribute", f"{name}=Keyword"]
        self.child = spawn(self.service, [temporal_binary(), "server", "start-dev", *options], self.log_file)

    def is_ready(self) -> bool:
        """Ask the frontend whether it serves."""
        if port_is_free(self.port):
            return False
        # In a thread, because the caller may have an event loop of its own.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, _is_serving(self.address)).result()


async def _is_serving(address: str) -> bool:
    config = ConnectConfig(target_host=address, keep_alive_config=KeepAliveConfig())
    try:
        client = await ServiceClient.connect(config)
        return await client.check_health()
    except (RPCError, RuntimeError):
        return False


def temporal_binary() -> str:
    """Return the path of the `temporal` program: the one installed beside this Python, else the one on the PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    found = str(beside) if beside.is_file() else shutil.which("temporal")
    if found is None:
        raise ServiceError("temporal: the program `temporal` isn't installed, run make setup")
    return found
