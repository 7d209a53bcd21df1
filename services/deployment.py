"""What a deployment fixed once, in the database."""

from sqlmodel import Session

from db.repositories import automation_records, fulfillments
from db.session import Database, psycopg_of


def deployed_lanes(database: Database) -> int:
    """The number of lanes that participants hash to; fixed by the first migration."""
    with database.connection() as conn:
        row = conn.execute("SELECT lanes FROM deployment").fetchone()
    if row is None:
        raise RuntimeError("the database isn't migrated: run `openscrip migrate`")
    return int(row[0])


def forget_flows(session: Session) -> None:
    """Forget which flows were lately made sure of, so that the reconciliation looks at all again: Temporal has lost its store."""
    conn = psycopg_of(session)
    automation_records.forget_flows(conn)
    fulfillments.forget_flows(conn)
