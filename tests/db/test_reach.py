"""A process that starts before its database waits for it, as after a power cut that hit both."""

import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest

from db.reach import await_database
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from runtime.processes import ServiceError, free_port, wait_until
from tests.docs.settings_table import ROOT
from tests.support.databases import beside, make_database


def test_a_database_that_comes_late_is_awaited(postgres: EmbeddedPostgres) -> None:
    with closing(Database(beside(postgres.dsn, "late"), pool_size=1)) as database:
        began = time.monotonic()
        timer = threading.Timer(1.0, make_database, (postgres.dsn, "late"))
        timer.start()
        await_database(database)
        timer.join()
        assert time.monotonic() - began >= 1.0
        with database.connection() as conn:
            assert conn.execute("SELECT count(*) FROM deployment").fetchone() == (1,)


def test_one_that_does_not_come_is_one_line(postgres: EmbeddedPostgres) -> None:
    with (
        closing(Database(beside(postgres.dsn, "never"), pool_size=1)) as database,
        pytest.raises(ServiceError, match=r'database can.t be reached: .*"never" does not exist'),
    ):
        await_database(database, seconds=0.1)


def test_one_without_our_tables_says_what_to_do(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as owner:
        owner.execute("CREATE DATABASE bare")
    with (
        closing(Database(beside(postgres.dsn, "bare"), pool_size=1)) as database,
        pytest.raises(ServiceError, match="the database isn't migrated: run `openscrip migrate`"),
    ):
        await_database(database, seconds=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("-m", "cli", "serve"), ("worker.py",)])
def test_processes_start_before_their_database(postgres: EmbeddedPostgres, tmp_path: Path, command: tuple[str, ...]) -> None:
    name, port, log = f"late_{len(command)}", free_port(), tmp_path / "log"
    own = {
        "OPENSCRIP_DATABASE_URL": beside(postgres.dsn, name),
        "OPENSCRIP_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "OPENSCRIP_API_PORT": str(port),
        "OPENSCRIP_DATA_DIR": str(tmp_path),
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OPENSCRIP_")}
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=inherited | own, stdout=out, stderr=out)
        try:
            assert wait_until(lambda: "waiting up to" in log.read_text(), 60, 0.1), log.read_text()
            assert process.poll() is None
            make_database(postgres.dsn, name)
            # what it misses next is Temporal
            assert wait_until(lambda: is_beyond(port, log), 60, 0.1), log.read_text()
        finally:
            process.kill()
            process.wait()
    assert "openscrip: the database" not in log.read_text()


def is_beyond(port: int, log: Path) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return "127.0.0.1:1" in log.read_text()
