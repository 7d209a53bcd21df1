"""Connections and transactions: one pool per process, one commit per use case, at the edge (ADR 2)."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, NamedTuple, cast
from uuid import UUID

import psycopg
from psycopg.types.json import set_json_dumps, set_json_loads
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool
from sqlmodel import Session

from runtime import tracing
from runtime.metrics import watch_pool

APPLICATION_ROLE = "openscrip_app"

# A process that freezes in a transaction, or whose machine is gone without a word, holds its locks no longer than this.
ABANDONED_SECONDS = 20

Connection = psycopg.Connection[tuple[Any, ...]]


class Addressee(NamedTuple):
    """A webhook endpoint that a transaction has something for; `is_changed` when that is about the endpoint itself."""

    endpoint_id: UUID
    organization_id: UUID
    is_changed: bool = False


_noted: ContextVar[set[Addressee] | None] = ContextVar("addressees", default=None)


def note_addressee(addressee: Addressee) -> None:
    """Have `Database.after_commit` told of an endpoint when the transaction of this thread commits."""
    noted = _noted.get()
    if noted is not None:
        noted.add(addressee)


_decoder = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal)


def loads(text: str | bytes) -> Any:
    """Read JSON with every digit kept: all numbers become Decimal."""
    return _decoder.decode(text if isinstance(text, str) else text.decode())


def dumps(value: object) -> str:
    """Write compact JSON; a Decimal is written as the number it is, a UUID or date as text is the caller's work."""
    text = _encoder.encode(value)
    return _EXACT.sub(r"\1", text) if "\\u0000number:" in text else text


def _exact(value: object) -> str:
    if isinstance(value, Decimal):
        # NUL never occurs in stored texts, so none of them can look like this
        return f"\x00number:{value}"
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


_EXACT = re.compile(r'"\\u0000number:([^"\\]*)"')
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_exact)


def sqlalchemy_url(database_url: str) -> str:
    """The same URL with the psycopg 3 driver named, as SQLAlchemy wants it."""
    return make_url(database_url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def assume_application_role(connection: Any) -> None:
    """Drop to the role that may only append to the ledger, where this login may (owner logins may; others stay as they are)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND pg_has_role(current_user, oid, 'SET')", (APPLICATION_ROLE,))
        if cursor.fetchone():
            cursor.execute(f"SET ROLE {APPLICATION_ROLE}")
    connection.commit()


class Database:
    """One process's access to Postgres: a pool of `pool_size` connections shared by records (Session) and hot paths (psycopg).

    `after_commit` hears of the webhook endpoints that a transaction had something for; it must return at once.
    """

    after_commit: Callable[[Collection[Addressee]], None] | None = None

    def __init__(self, database_url: str, *, pool_size: int = 16, statement_timeout_seconds: int = 30) -> None:
        self.url = database_url
        # who asks for statements without an end wants the transaction without one, too
        abandoned_seconds = ABANDONED_SECONDS if statement_timeout_seconds else 0
        self.engine: Engine = create_engine(
            sqlalchemy_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=False,
            pool_use_lifo=True,
            # what is bound to a statement is of people, and none of the logs' business
            hide_parameters=True,
            json_serializer=dumps,
            json_deserializer=loads,
            connect_args={
                "options": f"-c statement_timeout={statement_timeout_seconds}s -c timezone=UTC"
                f" -c idle_in_transaction_session_timeout={abandoned_seconds}s",
                "connect_timeout": 5,
            },
        )
        event.listen(self.engine, "connect", _prepare)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A SQLModel session in one transaction: commits when the block ends, rolls back when it raises."""
        with (
            self._telling(),
            tracing.span("transaction"),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def connection(self, name: str = "transaction") -> Iterator[Connection]:
        """A bare psycopg connection in one transaction, for set-based hot paths; same pool, same commit rule.

        In traces the transaction has the name.
        """
        with self._telling(), tracing.span(name), self.engine.begin() as connection:
            yield cast("Connection", connection.connection.driver_connection)

    def watched(self, name: str) -> "Database":
        """Export the use of the pool under a name; gives the database itself."""
        pool = cast("QueuePool", self.engine.pool)
        watch_pool(name, pool.checkedout, pool.size)
        return self

    @contextmanager
    def _telling(self) -> Iterator[None]:
        noted: set[Addressee] = set()
        token = _noted.set(noted)
        try:
            yield
        finally:
            _noted.reset(token)
        if noted and self.after_commit is not None:
            self.after_commit(noted)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _prepare(dbapi_connection: Any, _record: object) -> None:
    driver = dbapi_connection.driver_connection if hasattr(dbapi_connection, "driver_connection") else dbapi_connection
    set_json_loads(loads, driver)
    set_json_dumps(dumps, driver)
    assume_application_role(driver)
    tracing.trace_statements(driver)


def freeze(conn: Connection) -> None:
    """Let the transaction, in which nothing was asked yet, see one moment and write nothing."""
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def scan_alone(conn: Connection) -> None:
    """Have the index scans of the transaction made by one process each.

    Several hand a scan over from page to page, which on two cores takes longer than to read what the pages have; and for a page
    of a list they read far more than it shows.
    """
    conn.execute("SET LOCAL min_parallel_index_scan_size = '5TB'")


def psycopg_of(session: Session) -> Connection:
    """The psycopg connection under a session's transaction, to run set-based statements inside it."""
    return cast("Connection", session.connection().connection.driver_connection)
