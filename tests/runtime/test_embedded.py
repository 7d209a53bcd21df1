"""The embedded servers: start, stop, restart with the data kept, taken ports, and running as root."""

import asyncio
import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from runtime import unprivileged
from runtime.embedded import SEARCH_ATTRIBUTES, EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import ServiceError, port_is_free
from tests.runtime.folders import passable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with passable_folder() as new:
        yield new


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def setting(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


class TestEmbeddedPostgres:
    def test_data_survives_a_restart_and_a_kill(self, folder: Path) -> None:
        with EmbeddedPostgres(folder) as server, psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        assert port_is_free(server.port)
        with EmbeddedPostgres(folder) as server:
            with psycopg.connect(server.dsn) as connection:
                connection.execute("INSERT INTO kept VALUES (2)")
            os.kill(server.pid, signal.SIGKILL)
        with EmbeddedPostgres(folder) as server, psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT n FROM kept ORDER BY n").fetchall() == [(1,), (2,)]

    def test_is_durable_checksummed_and_asks_for_the_password(self, folder: Path) -> None:
        with EmbeddedPostgres(folder) as server:
            assert {setting(server, name) for name in ("fsync", "full_page_writes", "data_checksums")} == {"on"}
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(f"postgresql://openscrip_owner:wrong@127.0.0.1:{server.port}/openscrip")
            password = folder / "postgres.password"
            assert stat.S_IMODE(password.stat().st_mode) == 0o600
            assert password.read_text() in server.dsn

    def test_ephemeral_servers_run_side_by_side(self, tmp_path: Path) -> None:
        one = EmbeddedPostgres(tmp_path / "one", ephemeral=True)
        two = EmbeddedPostgres(tmp_path / "two", ephemeral=True)
        with one, two:
            assert one.port != two.port
            assert setting(one, "fsync") == setting(two, "fsync") == "off"

    def test_taken_port_is_named(self, folder: Path, taken_port: int) -> None:
        with pytest.raises(ServiceError, match=f"postgres: port {taken_port} is taken"):
            EmbeddedPostgres(folder, port=taken_port).start()

    def test_unreachable_folder_keeps_its_mode(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        state = folder / "state"
        monkeypatch.setattr(unprivileged, "STATE_FOLDER", state)
        private = folder / "private"
        private.mkdir(mode=0o700)
        data_dir = private / "data"
        for _ in range(2):
            with EmbeddedPostgres(data_dir) as server, psycopg.connect(server.dsn) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS n")
                assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        cluster = (data_dir / "postgres").resolve()
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        assert cluster.is_relative_to(state if os.geteuid() == 0 else data_dir)
        shutil.rmtree(data_dir)
        with EmbeddedPostgres(data_dir) as server, psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)

    def test_binaries_that_the_account_cannot_reach_are_copied(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unprivileged, "STATE_FOLDER", folder / "state")
        (folder / "site" / "package" / "bin").mkdir(parents=True)
        (folder / "site" / "package.libs").mkdir()
        program = folder / "site" / "package" / "bin" / "postgres"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        identity = unprivileged.server_identity()
        parts = ["package", "package.libs"]
        copy = unprivileged.reachable_copy(folder / "site", parts, "package/bin/postgres", "copy", identity)
        assert stat.S_IMODE(program.stat().st_mode) == 0o700
        if identity is None:
            assert copy == folder / "site"
        else:
            assert unprivileged.can_enter(identity, copy / "package" / "bin" / "postgres")
            assert (copy / "package.libs").is_dir()

    def test_foreign_version_is_refused(self, folder: Path) -> None:
        with EmbeddedPostgres(folder):
            pass
        (folder / "postgres" / "PG_VERSION").write_text("9\n")
        with pytest.raises(ServiceError, match="was made by version 9"):
            EmbeddedPostgres(folder).start()


class TestEmbeddedTemporal:
    async def _start_workflow(self, address: str) -> None:
        client = await Client.connect(address)
        await client.start_workflow("Waiting", id="kept", task_queue="nobody-listens")

    async def _known(self, address: str) -> tuple[str, set[str]]:
        client = await Client.connect(address)
        described = await client.get_workflow_handle("kept").describe()
        request = ListSearchAttributesRequest(namespace="default")
        listed = await client.operator_service.list_search_attributes(request)
        return described.id, set(listed.custom_attributes)

    def test_workflows_survive_a_restart(self, tmp_path: Path) -> None:
        with EmbeddedTemporal(tmp_path) as server:
            asyncio.run(self._start_workflow(server.address))
            assert httpx.get(server.ui_url, follow_redirects=True, trust_env=False).status_code == httpx.codes.OK
        assert port_is_free(server.port)
        with EmbeddedTemporal(tmp_path) as server:
            workflow, attributes = asyncio.run(self._known(server.address))
        assert workflow == "kept"
        assert set(SEARCH_ATTRIBUTES) <= attributes

    def test_headless_servers_in_memory_run_side_by_side(self, tmp_path: Path) -> None:
        one = EmbeddedTemporal(tmp_path / "one", headless=True, in_memory=True)
        two = EmbeddedTemporal(tmp_path / "two", headless=True, in_memory=True)
        with one, two:
            assert one.address != two.address
        assert not list(tmp_path.rglob("temporal.db"))

    def test_taken_ui_port_is_named(self, tmp_path: Path, taken_port: int) -> None:
        with pytest.raises(ServiceError, match=f"temporal: port {taken_port} is taken"):
            EmbeddedTemporal(tmp_path, ui_port=taken_port).start()
