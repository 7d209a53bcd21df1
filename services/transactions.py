"""The edge of a transaction: run one use case, commit, and begin again when the database asks for it."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from db.session import Database

ATTEMPTS = 5
_TRY_AGAIN = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected

T = TypeVar("T")


def transact(database: Database, work: Callable[[Session], T]) -> T:
    """Run `work` in one transaction and commit; on a deadlock or serialization failure, again, at most five times in all.

    A connection that turns out to be dead before the commit is replaced once. `work` must have no effect of its own
    outside the session.
    """
    replaced = False
    for attempt in range(1, ATTEMPTS + 1):
        has_run = False
        try:
            with database.session() as session:
                result = work(session)
                has_run = True
        except Exception as error:
            if attempt == ATTEMPTS:
                raise
            if is_transient(error):
                time.sleep(random.uniform(0.002, 0.02) * attempt)  # noqa: S311 - only spreads retries
            elif not has_run and not replaced and _is_lost_connection(error):
                replaced = True
            else:
                raise
        else:
            return result
    raise AssertionError("unreachable")


def is_transient(error: BaseException) -> bool:
    """Whether the database refused only because of concurrent transactions."""
    return _sqlstate(error) in _TRY_AGAIN


def _sqlstate(error: BaseException) -> Any:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _is_lost_connection(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated
