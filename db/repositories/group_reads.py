"""Balances and statements of groups, whose accounts are kept per program x asset pair and shown together or one by one.

A posting's program is that of its pair: what moves a group's value is always made in that program.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.ledger_reads import HISTORY_COLUMNS, OF_POSTINGS, HistoryRow
from db.session import Connection


@dataclass(frozen=True, slots=True)
class GroupBalanceRow:
    """A group's balance of one asset."""

    asset_id: UUID
    scale: int
    available: Decimal
    held: Decimal
    deferred: Decimal


class Place(NamedTuple):
    """Where a posting stands in the order of accounts that are shown together."""

    created_at: datetime
    entry_id: UUID
    ordinal: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """A group's pairs of one asset, all of them or that of one program; `bucket` None is the sum of the three."""

    group_id: UUID
    asset_id: UUID
    program_id: UUID | None
    bucket: str | None

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the conditions here."""
        return {"group": self.group_id, "asset": self.asset_id, "program": self.program_id, "bucket": self.bucket}


_OF_PAIRS = """p.entity_id = %(group)s AND p.entity_type = 'GROUP' AND p.asset_id = %(asset)s
    AND (%(program)s::uuid IS NULL OR p.program_id = %(program)s)"""
_IN_BUCKET = "(%(bucket)s::text IS NULL OR p.bucket = %(bucket)s)"
_PLACE = "(p.created_at, p.entry_id, p.ordinal)"
_OLDEST = "ORDER BY p.created_at, p.entry_id, p.ordinal"
_NEWEST = "ORDER BY p.created_at DESC, p.entry_id DESC, p.ordinal DESC LIMIT 1"


def balances(conn: Connection, group_id: UUID, program_id: UUID | None) -> list[GroupBalanceRow]:
    """Balances of the assets that the group, or its pair of the program, ever had an entry in, by asset id."""
    with conn.cursor(row_factory=class_row(GroupBalanceRow)) as cursor:
        return cursor.execute(
            """
            SELECT b.asset_id, a.scale, sum(b.available) AS available, sum(b.held) AS held, sum(b.deferred) AS deferred
            FROM balances b JOIN assets a ON a.id = b.asset_id
            WHERE b.holder_id = %(group)s AND b.account_seq > 0 AND (%(program)s::uuid IS NULL OR b.program_id = %(program)s)
            GROUP BY b.asset_id, a.id ORDER BY b.asset_id
            """,
            {"group": group_id, "program": program_id},
        ).fetchall()


def last_place(conn: Connection, pairs: Pairs, until: datetime | None) -> Place | None:
    """The newest posting, of those at or before a moment."""
    row = conn.execute(
        f"""
        SELECT p.created_at, p.entry_id, p.ordinal FROM postings p
        WHERE {_OF_PAIRS} AND (%(until)s::timestamptz IS NULL OR p.created_at <= %(until)s) {_NEWEST}
        """,
        pairs.values | {"until": until},
        prepare=False,
    ).fetchone()
    return None if row is None else Place(*row)


def standing(conn: Connection, pairs: Pairs, *, at: Place | None = None, before: datetime | None = None) -> Decimal:
    """The sum over the pairs after the posting `at`, or just before a moment."""
    figure = "p.total_after" if pairs.bucket is None else "p.balance_after"
    bound, values = "p.created_at < %(before)s", {"before": before}
    if at is not None:
        bound, values = f"{_PLACE} <= (%(time)s, %(entry)s, %(ordinal)s)", _place_values(at)
    row: Any = conn.execute(
        f"""
        SELECT coalesce(sum(last.figure), 0) FROM balances b CROSS JOIN LATERAL (
            SELECT {figure} AS figure FROM postings p
            WHERE {_OF_PAIRS} AND p.program_id = b.program_id AND {_IN_BUCKET} AND {bound} {_NEWEST}) last
        WHERE b.holder_id = %(group)s AND b.asset_id = %(asset)s
        """,
        pairs.values | values,
        prepare=False,
    ).fetchone()
    found: Decimal = row[0]
    return found


def statement_lines(
    conn: Connection, pairs: Pairs, *, from_: datetime | None, after: Place | None, until: Place, limit: int
) -> Sequence[HistoryRow]:
    """Postings from a moment on, beyond `after` and up to `until`, oldest first; at most `limit` + 1.

    Each pair is read by its own index no further than the page may need.
    """
    beyond = "TRUE" if after is None else f"{_PLACE} > (%(after_time)s, %(after_entry)s, %(after_ordinal)s)"
    earlier = {} if after is None else {f"after_{name}": value for name, value in _place_values(after).items()}
    with conn.cursor(row_factory=class_row(HistoryRow)) as cursor:
        return cursor.execute(
            f"""
            SELECT {HISTORY_COLUMNS} FROM (
                SELECT line.* FROM balances b CROSS JOIN LATERAL (
                    SELECT p.* FROM postings p
                    WHERE {_OF_PAIRS} AND p.program_id = b.program_id AND {_IN_BUCKET} AND {beyond}
                        AND {_PLACE} <= (%(time)s, %(entry)s, %(ordinal)s)
                        AND (%(from)s::timestamptz IS NULL OR p.created_at >= %(from)s)
                    {_OLDEST} LIMIT %(limit)s) line
                WHERE b.holder_id = %(group)s AND b.asset_id = %(asset)s
                ORDER BY line.created_at, line.entry_id, line.ordinal LIMIT %(limit)s
            ) p {OF_POSTINGS} {_OLDEST}
            """,
            pairs.values | earlier | _place_values(until) | {"from": from_, "limit": limit + 1},
            prepare=False,
        ).fetchall()


def _place_values(place: Place) -> dict[str, Any]:
    return {"time": place.created_at, "entry": place.entry_id, "ordinal": place.ordinal}
