"""The one table from codes to HTTP statuses, and the one body that every error has (conventions.md, Errors)."""

import logging
import math
from collections.abc import Mapping
from types import MappingProxyType

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.jsontext import path_text
from api.responses import Json
from domain.errors import DomainError, NotFound, ServiceUnavailable
from runtime.settings import SettingsError
from services.transactions import is_transient

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1

STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "invalid_scale": 400,
    "self_transfer": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "idempotency_conflict": 409,
    "program_inactive": 409,
    "program_archived": 409,
    "asset_archived": 409,
    "asset_not_linked": 409,
    "already_linked": 409,
    "symbol_conflict": 409,
    "name_conflict": 409,
    "external_id_conflict": 409,
    "participant_inactive": 409,
    "group_archived": 409,
    "already_member": 409,
    "last_admin": 409,
    "order_conflict": 409,
    "rule_archived": 409,
    "tier_archived": 409,
    "level_conflict": 409,
    "invalid_state": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "insufficient_balance": 422,
    "insufficient_wallet": 422,
    "max_transaction_amount_exceeded": 422,
    "balance_out_of_range": 422,
    "out_of_stock": 422,
    "participant_limit_reached": 422,
    "reward_unavailable": 422,
    "reversal_exceeds_remaining": 422,
    "too_many_requests": 429,
    "internal_error": 500,
    "service_unavailable": 503,
}


class HttpRefusal(DomainError):
    """A refusal that only exists at the HTTP border; `headers` go with it."""

    headers: Mapping[str, str] = MappingProxyType({})


class Unauthorized(HttpRefusal):
    code = "unauthorized"
    summary = "A valid API key is needed"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class Forbidden(HttpRefusal):
    code = "forbidden"
    summary = "The organization is suspended"


class MethodNotAllowed(HttpRefusal):
    """The path exists with other methods: `allowed`."""

    code = "method_not_allowed"
    summary = "The path doesn't have this method"

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(None, allowed=allowed)
        self.headers = {"Allow": ", ".join(allowed)}


class PayloadTooLarge(HttpRefusal):
    """A body over the limit: `limit_bytes`."""

    code = "payload_too_large"
    summary = "The body is too large"


class UnsupportedMediaType(HttpRefusal):
    """A body that isn't `application/json`: `received`."""

    code = "unsupported_media_type"
    summary = "The body must be application/json"


class TooManyRequests(HttpRefusal):
    """The rate limit: `retry_after` in whole seconds."""

    code = "too_many_requests"
    summary = "Too many requests"

    def __init__(self, retry_after_seconds: float) -> None:
        seconds = max(1, math.ceil(retry_after_seconds))
        super().__init__(None, retry_after=seconds)
        self.headers = {"Retry-After": str(seconds)}


def unknown_route(path: str) -> NotFound:
    """404 for a path that no endpoint has."""
    return NotFound("No such route", resource="route", id=path_text((path[:255],)))


def render(error: DomainError, request_id: str) -> Json:
    """The answer to a refusal."""
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, ServiceUnavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = {"code": error.code, "message": error.message, "request_id": request_id, "details": error.details}
    return Json(body, status_code=STATUS[error.code], headers=headers)


def as_refusal(error: Exception, request_id: str) -> DomainError:
    """What the client is told: a refusal as it is, a missing setting or unreachable database as 503, the rest as a logged 500."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, SettingsError):
        logger.error("a setting is missing: %s", error, extra={"request_id": request_id})
        return ServiceUnavailable(f"The server isn't set up for this: {error}")
    if _is_unreachable(error):
        logger.warning("the database can't answer: %s", error, extra={"request_id": request_id})
        return ServiceUnavailable()
    logger.error("unexpected failure of request %s", request_id, exc_info=error, extra={"request_id": request_id})
    return DomainError("Internal error")


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | psycopg.OperationalError | PoolTimeout) or is_transient(error)
