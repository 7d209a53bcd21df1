"""Waiting at the start for a database that is starting, too, or recovers from a crash."""

import logging
import time

from sqlalchemy.exc import OperationalError

from db.session import Database
from runtime.processes import ServiceError

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.5


def await_database(database: Database, seconds: float = PATIENCE_SECONDS) -> None:
    """Return when a connection is there; ServiceError with the server's reason when none was for so many seconds."""
    deadline = time.monotonic() + seconds
    is_told = False
    while True:
        try:
            with database.engine.connect():
                return
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
        if time.monotonic() >= deadline:
            raise ServiceError(f"the database can't be reached: {reason}")
        if not is_told:
            logger.warning("the database can't be reached, trying for %.0f s: %s", seconds, reason)
            is_told = True
        time.sleep(PAUSE_SECONDS)
