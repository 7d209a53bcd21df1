"""An API whose clock tests may move: it has a database to itself."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from pydantic import SecretStr

from api.app import create_app
from db.session import Database
from runtime.embedded import EmbeddedPostgres
from runtime.settings import Settings
from tests.support.client import Tenant, new_tenant
from tests.support.clock import Clock
from tests.support.databases import make_database
from tests.support.server import serve


@pytest.fixture(scope="session")
def clocked(postgres: EmbeddedPostgres, settings: Settings) -> Iterator[tuple[Clock, str]]:
    """The clock, and the URL of the API that goes by it."""
    url = make_database(postgres.dsn, "clocked")
    changed = settings.model_copy(update={"database_url": SecretStr(url)})
    with closing(Database(url, pool_size=4)) as database, serve(create_app(changed)) as base_url:
        yield Clock(database), base_url


@pytest.fixture
def clock(clocked: tuple[Clock, str]) -> Clock:
    """Moves the time of `timed`."""
    return clocked[0]


@pytest.fixture
def timed(clocked: tuple[Clock, str]) -> Iterator[Tenant]:
    """A fresh organization's client of the API whose time `clock` moves."""
    tenant = new_tenant(clocked[0].database, clocked[1])
    yield tenant
    tenant.http.close()
