"""Waiting at the start for a database that is starting, too, recovers from a crash, or is still to be migrated."""

import logging
import time

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db.session import Database
from runtime.processes import ServiceError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5


def await_database(database: Database, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when the database answers and has our tables; ServiceError with the reason when it hasn't for so many seconds."""
    deadline = time.monotonic() + seconds
    is_told = False
    while True:
        reason = _reason_against(database)
        if reason is None:
            return
        if time.monotonic() >= deadline:
            raise ServiceError(f"the database {reason}")
        if not is_told:
            logger.warning("waiting up to %.0f s: the database %s", seconds, reason)
            is_told = True
        time.sleep(PAUSE_SECONDS)


def _reason_against(database: Database) -> str | None:
    try:
        with database.engine.connect() as connection:
            is_migrated = connection.execute(text("SELECT to_regclass('deployment') IS NOT NULL")).scalar_one()
    except OperationalError as error:
        return f"can't be reached: {str(error.orig).strip().splitlines()[0]}"
    return None if is_migrated else "isn't migrated: run `openscrip migrate`"
