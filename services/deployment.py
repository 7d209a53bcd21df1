"""What a deployment fixed once, in the database."""

from db.session import Database


def deployed_lanes(database: Database) -> int:
    """The number of lanes that participants hash to; fixed by the first migration."""
    with database.connection() as conn:
        row = conn.execute("SELECT lanes FROM deployment").fetchone()
    if row is None:
        raise RuntimeError("the database isn't migrated: run `openscrip migrate`")
    return int(row[0])
