"""Whether the database can serve this version of the product."""

from db.migrate import head_revision
from db.repositories import health as repository
from db.session import Database


def is_current(database: Database) -> bool:
    """Whether the database answers and is at the migration this code was written for."""
    with database.session() as session:
        return repository.revision(session) == head_revision()
