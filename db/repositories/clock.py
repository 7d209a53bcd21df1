"""The product's clock: the database's, plus an offset that only the test clock sets (docs/adr/0006-one-clock.md)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from db.session import Connection


@dataclass(frozen=True, slots=True)
class ClockRow:
    """What the clock shows, how far it is ahead of the database's, and the moment that it was last sent to."""

    now: datetime
    offset: timedelta
    target: datetime | None


def read_clock(conn: Connection) -> ClockRow:
    """The clock as it is."""
    row: Any = conn.execute("SELECT openscrip_now(), clock_offset, clock_target FROM deployment").fetchone()
    return ClockRow(*row)


def set_clock(conn: Connection, moment: datetime) -> datetime:
    """Set the clock to a moment, unless it is past it: it only goes forward. Returns what it shows then."""
    row: Any = conn.execute(
        "UPDATE deployment SET clock_offset = greatest(clock_offset, %s::timestamptz - clock_timestamp())"
        " RETURNING clock_timestamp() + clock_offset",
        [moment],
    ).fetchone()
    now: datetime = row[0]
    return now


def set_target(conn: Connection, target: datetime) -> None:
    """Note where the clock is sent to."""
    conn.execute("UPDATE deployment SET clock_target = %s", [target])
