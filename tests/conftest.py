"""Real servers for the tests: one ephemeral Postgres per test process, the API on a socket, Temporal where flows run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings

from api.app import create_app
from db.migrate import upgrade
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.settings import Settings
from tests.support.client import Tenant, new_tenant
from tests.support.club import Club, make_club
from tests.support.databases import make_database
from tests.support.examples import name_examples, pytest_terminal_summary  # noqa: F401 - a hook
from tests.support.order import keep_together, long_ones_first
from tests.support.server import serve
from tests.support.stack import SECRET_KEY, Stack, run_stack

# how long an example takes says something about the machine, nothing about the code
hypothesis_settings.register_profile("openscrip", deadline=None)
# for who only wants to know whether something fails, not its smallest example
hypothesis_settings.register_profile("unshrunk", deadline=None, phases=(Phase.explicit, Phase.generate))
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "openscrip"))


def pytest_itemcollected(item: pytest.Item) -> None:
    keep_together(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    name_examples(items)
    long_ones_first(items)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A Postgres of this test process's own."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), port=0, ephemeral=True) as server:
        yield server


@pytest.fixture(scope="session")
def database_url(postgres: EmbeddedPostgres) -> str:
    """The URL of a migrated database."""
    upgrade(postgres.dsn)
    return postgres.dsn


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    """The product's own access to the migrated database."""
    with_pool = Database(database_url, pool_size=8)
    yield with_pool
    with_pool.close()


@pytest.fixture(scope="session")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of an API without Temporal: what must answer then, does."""
    return Settings(
        database_url=database_url,
        temporal_address="127.0.0.1:1",
        data_dir=Path(tmp_path_factory.mktemp("data")),
        rate_limit="off",
        secret_key=SECRET_KEY,
    )


@pytest.fixture(scope="session")
def base_url(settings: Settings) -> Iterator[str]:
    """The API on a socket."""
    with serve(create_app(settings)) as url:
        yield url


@pytest.fixture
def api(database: Database, base_url: str) -> Iterator[Tenant]:
    """A fresh organization's client."""
    tenant = new_tenant(database, base_url)
    yield tenant
    tenant.http.close()


@pytest.fixture
def stranger(database: Database, base_url: str) -> Iterator[Tenant]:
    """A client of another organization, for isolation tests."""
    tenant = new_tenant(database, base_url, "Stranger")
    yield tenant
    tenant.http.close()


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    """A Temporal development server of this test process's own."""
    with EmbeddedTemporal(tmp_path_factory.mktemp("temporal"), headless=True, in_memory=True) as server:
        yield server


@pytest.fixture(scope="session")
def stack(postgres: EmbeddedPostgres, temporal: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running product, with a database of its own, which no other worker touches."""
    with run_stack(make_database(postgres.dsn, "stack"), temporal, Path(tmp_path_factory.mktemp("stack"))) as running:
        yield running


@pytest.fixture
def tenant(stack: Stack) -> Iterator[Tenant]:
    """A fresh organization's client of the running product."""
    fresh = new_tenant(stack.database, stack.base_url)
    yield fresh
    fresh.http.close()


@pytest.fixture
def club(tenant: Tenant, stack: Stack) -> Club:
    """Program P of the acceptance examples, running."""
    return make_club(tenant, stack.database)


@pytest.fixture(scope="session")
def lane_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database with eight lanes that nobody drains but the test."""
    with_pool = Database(make_database(postgres.dsn, "lanes"), pool_size=24)
    yield with_pool
    with_pool.close()
