"""Logs: one format for all sources, no credentials in it."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.session import Database
from runtime.log import configure_logging
from runtime.settings import Settings
from runtime.tracing import span, tracing
from tests.support.receiver import receive


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    output = io.StringIO()
    configure_logging(Settings(log_format="json"), output)
    yield output
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO, logger: str) -> list[dict[str, Any]]:
    """What this logger wrote; threads of servers that earlier tests of the process left running write there too."""
    return [line for line in map(json.loads, stream.getvalue().splitlines()) if line["logger"] == logger]


def test_our_lines_are_json_with_level_logger_and_time(stream: io.StringIO) -> None:
    structlog.get_logger("openscrip.test").info("posted", entries=3)
    [line] = lines(stream, "openscrip.test")
    assert (line["event"], line["level"], line["logger"], line["entries"]) == ("posted", "info", "openscrip.test", 3)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", ["uvicorn.error", "temporalio.worker", "anything"])
def test_libraries_write_the_same_format(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("seen %d times", 2)
    [line] = lines(stream, name)
    assert (line["event"], line["level"]) == ("seen 2 times", "warning")


def test_credentials_are_hidden_at_any_depth(stream: io.StringIO) -> None:
    structlog.get_logger().error(
        "refused sk_one",
        authorization="Bearer sk_two",
        request={"headers": {"X-API-Key": "sk_three"}, "texts": ["Bearer sk_four", "whsec_five="]},
        url="postgresql://owner:six@db/openscrip",
    )
    [text] = [line for line in stream.getvalue().splitlines() if "refused sk_" in line]
    assert not any(secret in text for secret in ("one", "two", "three", "four", "five", "six"))
    assert "postgresql://owner:" in text


def test_tracebacks_are_kept_without_their_credentials(stream: io.StringIO) -> None:
    try:
        raise ValueError("key sk_secret")
    except ValueError:
        logging.getLogger("x").exception("failed")
    [line] = lines(stream, "x")
    assert "ValueError: key sk_[hidden]" in line["exception"]


def test_what_postgres_says_of_values_is_hidden(stream: io.StringIO, database: Database) -> None:
    log = structlog.get_logger("openscrip.test")
    # not in the lines that tracebacks quote
    person, name = "private-person", "private-name"
    try:
        with database.session() as session:
            session.execute(text("SELECT cast(:name AS text) || CAST(:name AS integer)"), {"name": person})
    except DBAPIError as error:
        assert person in str(error)
        log.exception("failed")
    try:
        with database.connection() as conn:
            conn.execute("CREATE TEMP TABLE people (name text UNIQUE) ON COMMIT DROP")
            conn.execute("INSERT INTO people VALUES (%s), (%s)", [name, name])
    except psycopg.errors.UniqueViolation as error:
        assert name in str(error)
        log.exception("failed")
    written = lines(stream, "openscrip.test")
    assert "SQL parameters hidden" in written[0]["exception"]
    assert "DETAIL: [hidden]" in written[1]["exception"]
    assert person not in stream.getvalue()
    assert name not in stream.getvalue()


def test_lines_name_the_trace_only_where_there_is_one(stream: io.StringIO) -> None:
    log = structlog.get_logger("openscrip.test")
    log.info("untraced")
    with receive() as collector, tracing(Settings(otlp_endpoint=collector.url), "tests"), span("work") as current:
        log.info("traced")
        expected = f"{current.get_span_context().trace_id:032x}"  # type: ignore[attr-defined]
    untraced, traced = lines(stream, "openscrip.test")
    assert "trace_id" not in untraced
    assert traced["trace_id"] == expected
