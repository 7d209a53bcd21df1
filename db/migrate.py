"""Bring a database to the current schema; run it as `python -m cli migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from db.session import sqlalchemy_url

_HERE = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 7_310_579_001


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(database_url: str, *, lanes: int = 8) -> None:
    """Run all pending migrations under an advisory lock, then seed what a deployment fixes once (lanes).

    `database_url` is a login that owns the schema. Safe to call from many processes at once and to repeat.
    """
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
            connection.commit()
            try:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
                _seed(connection, lanes)
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
                connection.commit()
    finally:
        engine.dispose()


def _seed(connection: Connection, lanes: int) -> None:
    execute = connection.execute
    execute(text("INSERT INTO deployment (lanes) VALUES (:lanes) ON CONFLICT DO NOTHING"), {"lanes": lanes})
    execute(
        text("INSERT INTO lanes SELECT generate_series(0, (SELECT lanes FROM deployment) - 1)::smallint ON CONFLICT DO NOTHING")
    )
    execute(text("SELECT ensure_partitions(openscrip_now())"))
    connection.commit()


def is_current(database_url: str) -> bool:
    """Whether the database is at the newest migration this code knows."""
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return present == head_revision()


def head_revision() -> str | None:
    """The newest revision this code ships."""
    return ScriptDirectory.from_config(_config()).get_current_head()
