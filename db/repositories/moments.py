"""Knowing that nobody will write before a moment any more.

A transaction draws the time of its entries after its first write, which gives it its number. So whoever has a higher number than
one that was given after a moment, writes at a later time; everybody with a lower one has ended when it isn't among the running.
"""

from datetime import datetime
from typing import Any, NamedTuple

from db.session import Connection


class Mark(NamedTuple):
    """A moment of the product's clock, and the number of a transaction that was given after it."""

    moment: datetime
    number: int


def make_mark(conn: Connection) -> Mark:
    """The present. Its transaction must end before `is_over` can be true."""
    # Two statements: the number must be drawn after the time.
    row: Any = conn.execute("SELECT openscrip_now()").fetchone()
    number: Any = conn.execute("SELECT pg_current_xact_id()::text").fetchone()
    return Mark(row[0], int(number[0]))


def is_over(conn: Connection, mark: Mark) -> bool:
    """Whether every transaction that may write at or before the mark's moment has ended."""
    # The oldest of those that run counts, not a list of them: a snapshot doesn't name the newest ones.
    row: Any = conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot()) > %s::text::xid8", [str(mark.number)]).fetchone()
    return bool(row[0])
