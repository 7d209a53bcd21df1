"""What messages say beside what their transaction knows anyway: names. One statement for any number."""

from collections.abc import Collection
from uuid import UUID

from db.repositories import arrays
from db.session import Connection


def external_ids(conn: Connection, participant_ids: Collection[UUID]) -> dict[UUID, str]:
    """The clients' own ids of participants."""
    statement = "SELECT id, external_id FROM participants WHERE id = ANY(%s::uuid[])"
    return dict(conn.execute(statement, [arrays.uuids(participant_ids)], prepare=True).fetchall())


def program_names(conn: Connection, program_ids: Collection[UUID]) -> dict[UUID, str]:
    """The names of programs."""
    statement = "SELECT id, name FROM programs WHERE id = ANY(%s::uuid[])"
    return dict(conn.execute(statement, [arrays.uuids(program_ids)], prepare=True).fetchall())
