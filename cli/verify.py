"""`openscrip verify`: the books of a database against themselves, without any server of ours."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cli.local import local_settings
from db.session import Database, freeze, psycopg_of
from domain.errors import not_found
from runtime.processes import ServiceError
from services import organizations, sealing
from services.invariants import ALL, UNSEALED_ENTRIES, Check, violations

# That sealing is behind is told, but is no fault of the books: it may have been stopped with everything else.
CHECKS = tuple(check for check in ALL if check is not UNSEALED_ENTRIES)


@contextmanager
def snapshot() -> Iterator[Session]:
    """One moment of the database of the settings, or of the stack on this machine, for as long as it takes; ServiceError."""
    url = local_settings().require_database_url()
    try:
        with closing(Database(url, pool_size=1, statement_timeout_seconds=0)) as database, database.session() as session:
            freeze(psycopg_of(session))
            yield session
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ServiceError(f"database: {reason}") from error


def run(organization: UUID | None) -> None:
    """Check every organization, or one; print the first wrong row of each check that fails, and exit with 1 if there is one."""
    console = Console(soft_wrap=True, highlight=False)
    with snapshot() as session:
        wanted = _organizations(session, organization)
        broken = sum(_examine(console, session, id_, name) for id_, name in wanted)
        waiting = sealing.backlog(session)
    if waiting.entries:
        console.print(
            f"{waiting.entries} entries aren't sealed yet, the oldest for {waiting.oldest_seconds:.0f} s", style="yellow"
        )
    if broken:
        console.print(f"{broken} checks failed", style="red")
        raise typer.Exit(1)
    console.print(f"everything agrees: {len(CHECKS)} checks, organizations: {len(wanted)}", style="green")


def _organizations(session: Session, wanted: UUID | None) -> list[tuple[UUID, str]]:
    found = [(row.id, row.name) for row in organizations.list_organizations(session) if wanted in (None, row.id)]
    if wanted is not None and not found:
        raise not_found("organization", wanted)
    return found


def _examine(console: Console, session: Session, organization_id: UUID, name: str) -> int:
    """How many checks failed."""
    console.print(f"[bold]{escape(name)}[/bold] {organization_id}")
    return sum(not _holds(console, session, organization_id, check) for check in CHECKS)


def _holds(console: Console, session: Session, organization_id: UUID, check: Check) -> bool:
    found = violations(session, organization_id, [check], limit=1)
    if not found:
        console.print(f"  [green]ok[/green]      {check.name:<22} {check.holds}")
        return True
    console.print(f"  [red]broken[/red]  {check.name:<22} {check.holds}\n          {escape(str(found[0]))}")
    return False
