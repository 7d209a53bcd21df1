"""What readiness asks the database."""

from sqlmodel import Session

from db.session import psycopg_of


def revision(session: Session) -> str | None:
    """The migration the database is at."""
    row = psycopg_of(session).execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else row[0]
