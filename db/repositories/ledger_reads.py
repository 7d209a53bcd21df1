"""What balances, lots, histories and statements show. Every query is a read of one index (design.md, Ledger)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.session import Connection


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """A holder's balance of one asset."""

    asset_id: UUID
    symbol: str
    scale: int
    available: Decimal
    held: Decimal
    deferred: Decimal


def balances(conn: Connection, holder_id: UUID, asset_id: UUID | None = None) -> list[BalanceRow]:
    """Balances of the assets that the holder ever had an entry in, by symbol."""
    with conn.cursor(row_factory=class_row(BalanceRow)) as cursor:
        return cursor.execute(
            """
            SELECT b.asset_id, a.symbol, a.scale, sum(b.available) AS available, sum(b.held) AS held, sum(b.deferred) AS deferred
            FROM balances b JOIN assets a ON a.id = b.asset_id
            WHERE b.holder_id = %s AND b.account_seq > 0 AND (%s::uuid IS NULL OR b.asset_id = %s)
            GROUP BY b.asset_id, a.id ORDER BY a.symbol COLLATE "C"
            """,
            [holder_id, asset_id, asset_id],
        ).fetchall()


@dataclass(frozen=True, slots=True)
class LotRow:
    """A lot as lists show it."""

    id: UUID
    asset_id: UUID
    program_id: UUID
    amount: Decimal
    remaining: Decimal
    status: str
    created_at: datetime
    expires_at: datetime | None
    matures_at: datetime | None
    reference_id: str | None
    parent_lot_id: UUID | None


@dataclass(frozen=True, slots=True)
class LotFilter:
    """What a list of lots is narrowed to; the two bounds of the expiry are strict, lots without a date match neither."""

    program_id: UUID | None = None
    status: str | None = None
    expires_before: datetime | None = None
    expires_after: datetime | None = None
    reference_id: str | None = None


def lots(conn: Connection, holder_id: UUID, asset_id: UUID, wanted: LotFilter, keyset: Keyset) -> Slice[LotRow]:
    """One page of a holder's lots of one asset."""
    after, parameters = keyset.where_sql()
    # The last holds for every lot: it names the index of all lots, which the loading of open ones mustn't take.
    conditions = [after, "holder_id = %(holder)s", "asset_id = %(asset)s", "amount > 0"]
    filters = {
        "program_id": ("program_id = %(program_id)s", wanted.program_id),
        "status": ("status = %(status)s", wanted.status),
        "expires_before": ("expires_at < %(expires_before)s", wanted.expires_before),
        "expires_after": ("expires_at > %(expires_after)s", wanted.expires_after),
        "reference_id": ("reference_id = %(reference_id)s", wanted.reference_id),
    }
    conditions += [condition for condition, value in filters.values() if value is not None]
    values = {name: value for name, (_, value) in filters.items() if value is not None}
    with conn.cursor(row_factory=class_row(LotRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT id, asset_id, program_id, amount, remaining, status, created_at, expires_at, matures_at, reference_id,
                   parent_lot_id
            FROM lots WHERE {" AND ".join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | values | {"holder": holder_id, "asset": asset_id},
        ).fetchall()
    return keyset.cut(rows)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A posting on a holder or wallet, with what its entry says about it."""

    posting_id: UUID
    journal_entry_id: UUID
    ordinal: int
    action_type: str
    asset_id: UUID
    scale: int
    amount: Decimal
    bucket: str
    description: str
    event_id: UUID | None
    event_timestamp: datetime | None
    created_by_api_key_id: UUID | None
    created_at: datetime
    account_seq: int
    balance_after: Decimal
    total_after: Decimal
    program_id: UUID


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """What a history is narrowed to; ranges are inclusive."""

    asset_id: UUID | None = None
    bucket: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    event_from: datetime | None = None
    event_to: datetime | None = None
    program_id: UUID | None = None


HISTORY_COLUMNS = """p.id AS posting_id, p.entry_id AS journal_entry_id, p.ordinal, e.action_type, p.asset_id, a.scale, p.amount,
    p.bucket, e.description, e.event_id, e.event_timestamp, e.created_by_api_key_id, p.created_at, p.account_seq, p.balance_after,
    p.total_after, p.program_id"""
OF_POSTINGS = "JOIN journal_entries e ON e.id = p.entry_id JOIN assets a ON a.id = p.asset_id"


def history(conn: Connection, entity_id: UUID, wanted: HistoryFilter, keyset: Keyset) -> Slice[HistoryRow]:
    """One page of the postings on a holder's or program's accounts."""
    after, parameters = keyset.where_sql()
    filters: dict[str, tuple[str, Any]] = {
        "asset_id": ("p.asset_id = %(asset_id)s", wanted.asset_id),
        "bucket": ("p.bucket = %(bucket)s", wanted.bucket),
        "program_id": ("p.program_id = %(program_id)s", wanted.program_id),
        "from": ("p.created_at >= %(from)s", wanted.from_),
        "to": ("p.created_at <= %(to)s", wanted.to),
        "event_from": ("coalesce(e.event_timestamp, e.created_at) >= %(event_from)s", wanted.event_from),
        "event_to": ("coalesce(e.event_timestamp, e.created_at) <= %(event_to)s", wanted.event_to),
    }
    conditions = [after, *(condition for condition, value in filters.values() if value is not None)]
    values = {name: value for name, (_, value) in filters.items() if value is not None}
    with conn.cursor(row_factory=class_row(HistoryRow)) as cursor:
        # Planned for its values each time: a generic plan joins and sorts the whole account.
        rows = cursor.execute(
            f"""
            SELECT {HISTORY_COLUMNS} FROM postings p {OF_POSTINGS}
            WHERE p.entity_id = %(entity)s AND {" AND ".join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | values | {"entity": entity_id},
            prepare=False,
        ).fetchall()
    return keyset.cut(rows, lambda row: (row.created_at, row.journal_entry_id, row.ordinal))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account stood after one of its postings: its place, and the balance of a bucket or of all three."""

    account_seq: int
    balance: Decimal


def standing(
    conn: Connection,
    entity_id: UUID,
    asset_id: UUID,
    bucket: str | None,
    *,
    before: datetime | None = None,
    until: datetime | None = None,
    at_seq: int | None = None,
) -> Standing:
    """Where an account stood just before or at a moment, or after the posting `at_seq`; nought without postings."""
    bounds = {"p.created_at < %s": before, "p.created_at <= %s": until, "p.account_seq <= %s": at_seq}
    given = {condition: value for condition, value in bounds.items() if value is not None}
    by_time = before is not None or until is not None
    order = "p.created_at DESC, p.entry_id DESC, p.ordinal DESC" if by_time else "p.account_seq DESC"
    figure = "p.total_after" if bucket is None else "p.balance_after"
    conditions = ["p.entity_id = %s", "p.asset_id = %s", *given]
    values: list[Any] = [entity_id, asset_id, *given.values()]
    if bucket is not None:
        conditions.append("p.bucket = %s")
        values.append(bucket)
    statement = f"SELECT p.account_seq, {figure} FROM postings p WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT 1"
    # Planned for its values each time: a generic plan sorts the whole account.
    row = conn.execute(statement, values, prepare=False).fetchone()
    return Standing(0, Decimal(0)) if row is None else Standing(*row)


def statement_lines(
    conn: Connection, entity_id: UUID, asset_id: UUID, bucket: str | None, *, after_seq: int, until_seq: int, limit: int
) -> Sequence[HistoryRow]:
    """The postings of one account between two places, the first excluded, oldest first; at most `limit` + 1."""
    narrowed = "" if bucket is None else "AND p.bucket = %(bucket)s"
    with conn.cursor(row_factory=class_row(HistoryRow)) as cursor:
        return cursor.execute(
            f"""
            SELECT {HISTORY_COLUMNS} FROM postings p {OF_POSTINGS}
            WHERE p.entity_id = %(entity)s AND p.asset_id = %(asset)s AND p.account_seq > %(after)s AND p.account_seq <= %(until)s
                {narrowed}
            ORDER BY p.account_seq LIMIT %(limit)s
            """,
            {
                "entity": entity_id,
                "asset": asset_id,
                "bucket": bucket,
                "after": after_seq,
                "until": until_seq,
                "limit": limit + 1,
            },
        ).fetchall()
