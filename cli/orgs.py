"""`openscrip org`: create, list, suspend and resume organizations."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cli.local import local_settings
from db.session import Database
from runtime.processes import ServiceError
from services import organizations
from services.organizations import OrganizationStatus

FIRST_KEY = "first key"


@contextmanager
def administration() -> Iterator[Session]:
    """Open one transaction on the database of the settings, or of the stack on this machine; ServiceError without it."""
    database = Database(local_settings().require_database_url(), pool_size=1)
    try:
        with database.session() as session:
            yield session
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ServiceError(f"database: {reason}") from error
    finally:
        database.close()


def create(name: str) -> None:
    """Create an organization and its first key, and print both."""
    with administration() as session:
        organization = organizations.create_organization(session, name)
        _, secret = organizations.create_api_key(session, organization.id, FIRST_KEY)
        created = organization.id
    print_facts({"organization": str(created), "api key": secret})


def show() -> None:
    """Print all organizations."""
    # an id is copied: it is never cut
    table = Table(Column("id", no_wrap=True, min_width=36), "name", "status", "created_at")
    with administration() as session:
        for row in organizations.list_organizations(session):
            table.add_row(str(row.id), row.name, str(row.status), f"{row.created_at:%Y-%m-%d %H:%M}")
    Console(soft_wrap=True).print(table)


def suspend(organization: UUID) -> None:
    """Close the API to an organization."""
    _set_status(organization, OrganizationStatus.SUSPENDED)


def resume(organization: UUID) -> None:
    """Open the API to it again."""
    _set_status(organization, OrganizationStatus.ACTIVE)


def _set_status(organization: UUID, status: OrganizationStatus) -> None:
    with administration() as session:
        organizations.set_organization_status(session, organization, status)
    print_facts({"organization": str(organization), "status": status})


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values, one a line, each value unbroken so that it can be copied."""
    console = Console(soft_wrap=True, highlight=False)
    for name, value in facts.items():
        console.print(f"{name:<14}{value}", markup=False)
