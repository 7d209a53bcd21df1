"""`openscrip doctor`: looks at this machine and at the services of the settings, and says what to do about what is wrong."""

import asyncio
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import httpx
import psycopg
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.service import RPCError

from cli.local import completed
from cli.up import ports_of
from runtime.cluster import find_binaries
from runtime.embedded import temporal_binary
from runtime.processes import ServiceError, port_is_free
from runtime.settings import Settings, SettingsError, load_settings, settings_table
from runtime.supervisor import is_supervised
from runtime.temporal import connect
from runtime.unprivileged import server_identity

MIN_PYTHON = (3, 11)
MAX_CLOCK_SKEW_SECONDS = 1.0
CONNECT_SECONDS = 3


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


COLOURS = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.BROKEN: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check, with a hint when something is to be done."""

    subject: str
    verdict: Verdict
    detail: str
    hint: str = ""


def run(*, show_settings: bool) -> None:
    """Print the findings, exit with 1 when something is broken; or print the table of settings."""
    console = Console()
    if show_settings:
        console.print(render_settings())
        return
    findings = list(examine())
    console.print(render(findings))
    if any(finding.verdict is Verdict.BROKEN for finding in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Run all checks."""
    yield check_python()
    try:
        settings = completed(load_settings())
    except SettingsError as error:
        yield Finding("settings", Verdict.BROKEN, str(error), "see `openscrip doctor --settings`")
        return
    running = is_supervised(settings.data_dir)
    yield from check_binaries()
    yield from check_secrets(settings)
    yield from check_ports(load_settings(), running=running)
    yield from check_database(settings, running=running)
    yield check_temporal(settings, running=running)
    yield check_api(settings)


def check_python() -> Finding:
    """The interpreter's version."""
    if sys.version_info < MIN_PYTHON:
        return Finding("python", Verdict.BROKEN, platform.python_version(), "install Python 3.11 or newer")
    return Finding("python", Verdict.OK, platform.python_version())


def check_binaries() -> Iterator[Finding]:
    """The programs of the servers that `up` would run itself."""
    wanted = {use.service for use in ports_of(load_settings())}
    programs = {"postgres": lambda: str(find_binaries(server_identity())), "temporal": temporal_binary}
    for name in sorted(wanted & programs.keys()):
        try:
            yield Finding(f"{name} program", Verdict.OK, programs[name]())
        except ServiceError as error:
            yield Finding(f"{name} program", Verdict.BROKEN, str(error), "make setup")


def check_secrets(settings: Settings) -> Iterator[Finding]:
    """The secret key and the modes of the files that keep secrets."""
    if settings.secret_key is None:
        hint = "`make up` makes one; a deployment sets OPENSCRIP_SECRET_KEY, the same for API and workers"
        yield Finding("secret key", Verdict.NOTE, "unset: what needs a webhook's secret answers 503", hint)
    else:
        yield Finding("secret key", Verdict.OK, "set")
    for name in ("secret.key", "demo.key", "postgres.password"):
        file = settings.data_dir / name
        if file.exists() and file.stat().st_mode & 0o077:
            yield Finding(name, Verdict.BROKEN, f"{file} can be read by others", f"chmod 600 {file}")


def check_ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """The ports that `up` wants: free, or used by `up` itself or by an API that runs without it."""
    for use in ports_of(settings):
        subject = f"port {use.port} ({use.service})"
        if port_is_free(use.port, use.host):
            yield Finding(subject, Verdict.OK, "free")
        elif running:
            yield Finding(subject, Verdict.OK, "used by `openscrip up`")
        elif use.service == "api" and _api_lives(settings):
            yield Finding(subject, Verdict.OK, "used by an API of ours")
        else:
            yield Finding(subject, Verdict.BROKEN, "taken", f"stop what listens there or set {use.variable}")


def _api_lives(settings: Settings) -> bool:
    try:
        answer = httpx.get(f"{settings.api_url}/healthz", timeout=CONNECT_SECONDS, trust_env=False).json()
    except (httpx.TransportError, ValueError):
        return False
    return bool(answer == {"status": "ok"})


def check_database(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Reachability, schema, lanes and clock of the database."""
    external = load_settings().database_url is not None
    if settings.database_url is None or not (external or running):
        yield Finding("database", Verdict.NOTE, "not running", "start it with `make up`, or set OPENSCRIP_DATABASE_URL")
        return
    url = settings.require_database_url()
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            version = connection.info.server_version // 10000
            yield Finding("database", Verdict.OK, f"Postgres {version} at {connection.info.host}:{connection.info.port}")
            yield check_clock(connection)
            yield from check_schema(settings, connection)
    except psycopg.OperationalError as error:
        yield Finding("database", Verdict.BROKEN, str(error).strip().splitlines()[-1], "check OPENSCRIP_DATABASE_URL")


def check_clock(connection: psycopg.Connection) -> Finding:
    """The database's clock against ours; the database's decides."""
    before = datetime.now(UTC)
    [theirs] = connection.execute("SELECT clock_timestamp()").fetchone() or [before]
    skew = abs((theirs - before).total_seconds())
    detail = f"{skew:.3f} s apart from the database's"
    if skew > MAX_CLOCK_SKEW_SECONDS:
        return Finding("clock", Verdict.BROKEN, detail, "synchronize both machines' clocks (NTP)")
    return Finding("clock", Verdict.OK, detail)


def check_schema(settings: Settings, connection: psycopg.Connection) -> Iterator[Finding]:
    """Whether the migrations are current, and what the deployment has fixed."""
    from db.migrate import is_current

    if not is_current(settings.require_database_url()):
        yield Finding("schema", Verdict.BROKEN, "not current", "openscrip migrate")
        return
    yield Finding("schema", Verdict.OK, "current")
    [lanes] = connection.execute("SELECT lanes FROM deployment").fetchone() or [None]
    if lanes == settings.lanes:
        yield Finding("lanes", Verdict.OK, str(lanes))
    else:
        hint = f"OPENSCRIP_LANES={settings.lanes} has no effect any more"
        yield Finding("lanes", Verdict.NOTE, f"{lanes}, fixed when the database was made", hint)


def check_temporal(settings: Settings, *, running: bool) -> Finding:
    """Reachability of the Temporal server and its namespace."""
    if settings.temporal_address is None and not running:
        return Finding("temporal", Verdict.NOTE, "not running", "start it with `make up`, or set OPENSCRIP_TEMPORAL_ADDRESS")
    where = f"{settings.temporal_target}, namespace {settings.temporal_namespace}"
    try:
        asyncio.run(asyncio.wait_for(_probe_namespace(settings), CONNECT_SECONDS))
    except (RPCError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip() or "no answer"
        return Finding("temporal", Verdict.BROKEN, f"{where}: {reason}", "check OPENSCRIP_TEMPORAL_*")
    return Finding("temporal", Verdict.OK, where)


async def _probe_namespace(settings: Settings) -> None:
    client = await connect(settings)
    await client.count_workflows()


def check_api(settings: Settings) -> Finding:
    """Whether the API answers that it is ready."""
    try:
        answer = httpx.get(f"{settings.api_url}/readyz", timeout=CONNECT_SECONDS, trust_env=False)
    except httpx.TransportError:
        return Finding("api", Verdict.NOTE, f"nothing answers at {settings.api_url}", "make up, or openscrip serve")
    if answer.status_code == httpx.codes.OK:
        return Finding("api", Verdict.OK, f"ready at {settings.api_url}")
    return Finding("api", Verdict.BROKEN, f"{settings.api_url}/readyz answers {answer.status_code}", answer.text[:200])


def render(findings: list[Finding]) -> Table:
    """Return the findings as a table."""
    table = _table("check", "verdict", "detail", "what to do")
    for finding in findings:
        verdict = f"[{COLOURS[finding.verdict]}]{finding.verdict}"
        table.add_row(finding.subject, verdict, escape(finding.detail), escape(finding.hint))
    return table


def render_settings() -> Table:
    """Return every setting with its default and whether it is set here."""
    table = _table("setting", "default", "meaning", "set here")
    for row in settings_table():
        table.add_row(row.variable, row.default, row.description, "yes" if os.environ.get(row.variable) else "")
    return table


def _table(*headings: str) -> Table:
    """Return a table that breaks long values instead of cutting them."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
