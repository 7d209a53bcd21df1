"""`openscrip key`: create, list and revoke API keys."""

from uuid import UUID

from rich.console import Console
from rich.table import Column, Table

from cli.orgs import administration, print_facts
from services import organizations


def create(organization: UUID, name: str) -> None:
    """Create a key and print it, the only time it can be seen."""
    with administration() as session:
        record, secret = organizations.create_api_key(session, organization, name)
        created = record.id
    print_facts({"id": str(created), "api key": secret})


def show(organization: UUID) -> None:
    """Print the keys of an organization."""
    # an id is copied: it is never cut
    table = Table(Column("id", no_wrap=True, min_width=36), "name", "created_at", "revoked_at")
    with administration() as session:
        for row in organizations.list_api_keys(session, organization):
            revoked = f"{row.revoked_at:%Y-%m-%d %H:%M}" if row.revoked_at else ""
            table.add_row(str(row.id), row.name, f"{row.created_at:%Y-%m-%d %H:%M}", revoked)
    Console(soft_wrap=True).print(table)


def revoke(api_key: UUID) -> None:
    """Revoke a key."""
    with administration() as session:
        organizations.revoke_api_key(session, api_key)
    print_facts({"revoked": str(api_key)})
