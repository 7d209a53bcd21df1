"""The books of an organization, held against the product's own checks."""

from uuid import UUID

from db.session import Database, freeze, psycopg_of
from services.invariants import ALL, UNSEALED_ENTRIES, Violation, violations

# in most tests nobody seals
CHECKS = [check for check in ALL if check is not UNSEALED_ENTRIES]


def broken_invariants(database: Database, organization_id: UUID) -> list[Violation]:
    """What doesn't hold in an organization's books: the first rows that break each check."""
    with database.session() as session:
        # all checks of one moment, also while somebody posts
        freeze(psycopg_of(session))
        return violations(session, organization_id, CHECKS)


def assert_books(database: Database, organization_id: UUID) -> None:
    """The invariants of ledger.md that the rows alone show hold for an organization, and its budgets follow, at one moment."""
    broken = broken_invariants(database, organization_id)
    assert not broken, [str(violation) for violation in broken]
