"""How a refusal leaves an activity: as a failure that isn't retried, with its code as type."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.lanes import is_unreachable
from db.repositories.ledger import StaleBooks
from domain.errors import DomainError
from services.transactions import is_transient

log = structlog.get_logger(__name__)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn refusals into failures for good; what the database's state explains passes through and is retried.

    Anything else is a fault of ours: logged, and a failure for good too.
    """
    try:
        yield
    except DomainError as refusal:
        # benign: nothing went wrong, somebody else was faster
        raise ApplicationError(
            refusal.message,
            refusal.details,
            type=refusal.code,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        ) from None
    except Exception as error:
        if isinstance(error, StaleBooks) or is_unreachable(error) or is_transient(error) or _was_cancelled(error):
            raise
        log.exception("activity_failed", error=type(error).__name__)
        raise ApplicationError(DomainError.summary, {}, type=DomainError.code, non_retryable=True) from error


def _was_cancelled(error: Exception) -> bool:
    """Whether a statement took longer than it was given."""
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.errors.QueryCanceled)
