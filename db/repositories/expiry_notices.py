"""Lots to announce before they expire, and how far the announcing is (webhooks.md 5.13).

A lot's day is the UTC day of its expiry. Within reach of a midnight are the day that it begins, and so many further ones as the
asset has days of notice. What was made after the midnight, or expires by it, isn't its business.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.ledger.accounts import AssetTerms, Balance

_DAY = "(l.expires_at AT TIME ZONE 'UTC')::date"
_OPEN = "NOT l.is_announced AND l.status IN ('DEFERRED', 'AVAILABLE') AND l.expires_at IS NOT NULL"
_ANNOUNCING = "a.expiry_notice_days IS NOT NULL AND a.status <> 'ARCHIVED'"
_REACH = "%(today)s::date + a.expiry_notice_days"
_AT = "l.expires_at > %(midnight)s AND l.created_at <= %(midnight)s"


class Place(NamedTuple):
    """A holder's lots of one asset that expire on one day; midnights are worked through in this order."""

    asset_id: UUID
    day: date
    holder_id: UUID


@dataclass(frozen=True, slots=True)
class Pass:
    """The midnight that is done, and the one under way with the place that was done last."""

    done_through: datetime
    midnight: datetime | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class NoticeAsset:
    """An asset with notices."""

    terms: AssetTerms
    notice_days: int


class MarkedLot(NamedTuple):
    """A lot that was marked as announced."""

    holder_id: UUID
    pair_program_id: UUID
    program_id: UUID
    day: date
    id: UUID
    remaining: Decimal
    expires_at: datetime


class HolderRow(NamedTuple):
    """What a message says of an account: its buckets; the external id of a participant, None of a group."""

    balance: Balance
    external_id: str | None


def read_pass(conn: Connection, *, lock: bool = False) -> Pass:
    """How far it is; with `lock` until the transaction ends nobody else gets further."""
    row: Any = conn.execute(
        f"SELECT done_through, midnight, asset_id, day, holder_id FROM expiry_notices {'FOR UPDATE' if lock else ''}"
    ).fetchone()
    return Pass(row[0]) if row[1] is None else Pass(row[0], row[1], Place(*row[2:]))


def move_on(conn: Connection, midnight: datetime, place: Place) -> None:
    """Note that everything up to a place is done."""
    conn.execute(
        "UPDATE expiry_notices SET midnight = %s, asset_id = %s, day = %s, holder_id = %s",
        [midnight, place.asset_id, place.day, place.holder_id],
    )


def finish(conn: Connection, midnight: datetime) -> None:
    """Note that a midnight is done."""
    conn.execute(
        "UPDATE expiry_notices SET done_through = %s, midnight = NULL, asset_id = NULL, day = NULL, holder_id = NULL", [midnight]
    )


def next_asset(conn: Connection, midnight: datetime, after: UUID | None) -> NoticeAsset | None:
    """The next asset with something to announce, by id."""
    return _asset(
        conn,
        f"""
        (%(asset)s::uuid IS NULL OR a.id > %(asset)s) AND EXISTS (
            SELECT 1 FROM lots l WHERE l.asset_id = a.id AND {_OPEN} AND {_DAY} BETWEEN %(today)s AND {_REACH} AND {_AT}
        )
        """,
        {"today": midnight.date(), "midnight": midnight, "asset": after},
    )


def find_asset(conn: Connection, asset_id: UUID) -> NoticeAsset | None:
    """The asset, unless it has no notices any more."""
    return _asset(conn, "a.id = %(asset)s", {"asset": asset_id})


def _asset(conn: Connection, condition: str, values: Mapping[str, object]) -> NoticeAsset | None:
    row = conn.execute(
        f"""
        SELECT a.id, a.symbol, a.scale, true, a.issuance_policy = 'PREFUNDED', a.max_transaction_amount, false,
               a.organization_id, a.expiry_notice_days
        FROM assets a WHERE {_ANNOUNCING} AND {condition} ORDER BY a.id LIMIT 1
        """,
        values,
    ).fetchone()
    return None if row is None else NoticeAsset(AssetTerms(*row[:-1]), row[-1])


def next_places(
    conn: Connection, midnight: datetime, asset_id: UUID, notice_days: int, after: Place | None, limit: int
) -> list[Place]:
    """The next places of an asset with something to announce."""
    is_later = "" if after is None else f"AND ({_DAY}, l.holder_id) > (%(day)s, %(holder)s)"
    rows = conn.execute(
        f"""
        SELECT DISTINCT {_DAY} AS day, l.holder_id FROM lots l
        WHERE l.asset_id = %(asset)s AND {_OPEN} AND {_DAY} BETWEEN %(today)s AND %(today)s::date + %(days)s::integer
          AND {_AT} {is_later}
        ORDER BY day, l.holder_id LIMIT %(limit)s
        """,
        {
            "asset": asset_id,
            "midnight": midnight,
            "today": midnight.date(),
            "days": notice_days,
            "limit": limit,
            "day": None if after is None else after.day,
            "holder": None if after is None else after.holder_id,
        },
    )
    return [Place(asset_id, *row) for row in rows]


def mark(conn: Connection, midnight: datetime, places: Sequence[Place]) -> list[MarkedLot]:
    """Mark what there is to announce at places of one asset, whose holders are locked."""
    rows = conn.execute(
        f"""
        UPDATE lots l SET is_announced = true
        FROM unnest(%(days)s::date[], %(holders)s::uuid[]) AS place (day, holder_id)
        WHERE l.asset_id = %(asset)s AND {_DAY} = place.day AND l.holder_id = place.holder_id AND {_OPEN} AND {_AT}
        RETURNING l.holder_id, l.pair_program_id, l.program_id, place.day, l.id, l.remaining, l.expires_at
        """,
        {
            "asset": places[0].asset_id,
            "midnight": midnight,
            "days": [place.day for place in places],
            "holders": arrays.uuids(place.holder_id for place in places),
        },
    )
    return [MarkedLot(*row) for row in rows]


def touch(conn: Connection, asset_id: UUID, pairs: Collection[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], HolderRow]:
    """Let everybody load these accounts (holder, pair's program) of an asset again: their lots have changed. What they have."""
    rows = conn.execute(
        """
        UPDATE balances b SET version = b.version + 1
        FROM unnest(%s::uuid[], %s::uuid[]) AS changed (holder_id, program_id)
        LEFT JOIN participants p ON p.id = changed.holder_id
        WHERE b.holder_id = changed.holder_id AND b.asset_id = %s AND b.program_id = changed.program_id
        RETURNING b.holder_id, b.program_id, b.available, b.held, b.deferred, p.external_id
        """,
        [arrays.uuids(pair[0] for pair in pairs), arrays.uuids(pair[1] for pair in pairs), asset_id],
    )
    return {(row[0], row[1]): HolderRow(Balance(*row[2:5]), row[5]) for row in rows}


def next_day(conn: Connection, midnight: datetime) -> date | None:
    """The day that begins with the first midnight, from this one on, that has something to announce as things are."""
    row: Any = conn.execute(
        f"""
        SELECT min(greatest(first.day - a.expiry_notice_days, %(today)s::date)) FROM assets a
        CROSS JOIN LATERAL (
            SELECT {_DAY} AS day FROM lots l
            WHERE l.asset_id = a.id AND {_OPEN} AND {_DAY} >= %(today)s AND l.expires_at > %(midnight)s
            ORDER BY {_DAY} LIMIT 1
        ) AS first
        WHERE {_ANNOUNCING}
        """,
        {"today": midnight.date(), "midnight": midnight},
    ).fetchone()
    return None if row is None else row[0]


def count_days(conn: Connection, midnight: datetime, last: date, limit: int) -> int:
    """How many midnights, from this one to that of the last day, have something to announce as things are, up to a limit."""
    row: Any = conn.execute(
        f"""
        SELECT count(*) FROM (
            SELECT DISTINCT greatest({_DAY} - a.expiry_notice_days, %(today)s::date)
            FROM assets a JOIN lots l ON l.asset_id = a.id AND {_OPEN}
            WHERE {_ANNOUNCING} AND {_DAY} BETWEEN %(today)s AND %(last)s::date + a.expiry_notice_days
              AND l.expires_at > %(midnight)s LIMIT %(limit)s
        ) AS days
        """,
        {"today": midnight.date(), "midnight": midnight, "last": last, "limit": limit},
    ).fetchone()
    return int(row[0])
