"""Sessions of the product: what they promise to the others."""

import time
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from db import session as sessions
from db.session import Database


def test_an_abandoned_transaction_gives_its_locks_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that says no more in a transaction, as one that is frozen or cut off, doesn't hold up the others for ever."""
    monkeypatch.setattr(sessions, "ABANDONED_SECONDS", 1)
    with closing(Database(database_url, pool_size=1)) as database, closing(Database(database_url, pool_size=1)) as other:
        began = time.monotonic()
        with pytest.raises((OperationalError, psycopg.OperationalError)), database.connection() as frozen:
            frozen.execute("SELECT lane FROM lanes WHERE lane = 0 FOR UPDATE")
            with other.connection() as waiting:
                assert waiting.execute("SELECT lane FROM lanes WHERE lane = 0 FOR UPDATE").fetchone() == (0,)
            assert 0.9 < time.monotonic() - began < 20
            frozen.execute("SELECT 1")
        with database.connection() as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
