"""Structured logs: our own, the standard library's, uvicorn's and Temporal's in one format, without credentials."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime import tracing
from runtime.settings import Settings

HIDDEN = "[hidden]"
SECRET_NAMES = frozenset({"authorization", "x-api-key", "api_key", "secret", "secret_key", "password", "database_url"})
SECRET_TEXT = re.compile(r"\b(sk|whsec)_[A-Za-z0-9_\-+/=]+|(?<=://)([^/\s:@]*):[^/\s@]+(?=@)")
# What Postgres adds to an error names the values of the row.
VALUES_TEXT = re.compile(r"^(\s*(?:DETAIL|CONTEXT):|.*\binvalid input (?:syntax|value) for [^:\n]+:).*$", re.MULTILINE)
# These make their own handlers or are chatty about each request.
ROUTED = ("uvicorn", "uvicorn.error", "uvicorn.access", "temporalio", "alembic", "sqlalchemy")
# The last one would show rows of the database, too.
QUIET = ("httpx", "httpcore", "uvicorn.access", "alembic", "sqlalchemy")
# At DEBUG these tell what flows and activities are given.
TALKATIVE = ("temporalio",)


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (default: standard error) in the format of the settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    output = stream or sys.stderr
    handler = logging.StreamHandler(output)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(settings, output)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    _route_libraries()


def warn_without_secret_key(settings: Settings) -> None:
    """Say at the start what a process without the key won't do."""
    if settings.secret_key is None:
        structlog.get_logger(__name__).warning("secret_key_missing", unavailable="webhooks", set="OPENSCRIP_SECRET_KEY")


def add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Name the trace that a line belongs to, where there is one."""
    trace_id = tracing.trace_id()
    if trace_id is not None:
        event["trace_id"] = trace_id
    return event


def _rendering(settings: Settings, output: TextIO) -> list[Processor]:
    """Return the last processors; tracebacks become text before the redaction, which therefore sees them too."""
    before: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
    ]
    if settings.log_format == "json":
        return [*before, structlog.processors.JSONRenderer(default=str)]
    return [*before, structlog.dev.ConsoleRenderer(colors=output.isatty())]


def _route_libraries() -> None:
    for name in ROUTED:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    logging.captureWarnings(capture=True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide credentials in values, by the value's name and by the look of texts, at any depth."""
    return {name: HIDDEN if name.lower() in SECRET_NAMES else _redacted(value) for name, value in event.items()}


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return VALUES_TEXT.sub(rf"\1 {HIDDEN}", SECRET_TEXT.sub(_mask, value))
    if isinstance(value, Mapping):
        return {name: HIDDEN if str(name).lower() in SECRET_NAMES else _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(inner) for inner in value]
    return value


def _mask(match: re.Match[str]) -> str:
    kind = match.group(1)
    return f"{kind}_{HIDDEN}" if kind else f"{match.group(2)}:{HIDDEN}"
