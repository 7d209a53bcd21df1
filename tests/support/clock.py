"""The deployment's clock in tests: the offset that lies in the database, moved by hand."""

from dataclasses import dataclass

from db.session import Database


@dataclass(frozen=True)
class Clock:
    """The clock of one database; it only goes forward, for everybody who uses this database."""

    database: Database

    def forward(self, seconds: float) -> None:
        """Let this much time pass at once."""
        with self.database.connection() as conn:
            conn.execute("UPDATE deployment SET clock_offset = clock_offset + make_interval(secs => %s)", [seconds])
