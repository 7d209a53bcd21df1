"""Redemptions, what lots gave to them and got back, and their reversals."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import class_row

from db.repositories import arrays
from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.ledger.accounts import Lot, LotStatus
from domain.ledger.redeem import LotPart, Owed


@dataclass(frozen=True, slots=True)
class TargetRow:
    """Where a program's redemptions go; `kind` is PARTICIPANT or GROUP when the entity is a holder."""

    type: str
    entity_id: UUID | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class RedemptionRow:
    """One redemption, with its asset's scale."""

    id: UUID
    organization_id: UUID
    participant_id: UUID
    program_id: UUID
    asset_id: UUID
    amount: Decimal
    description: str
    redemption_target_type: str
    redemption_target_entity_id: UUID | None
    entry_id: UUID
    created_at: datetime
    updated_at: datetime
    scale: int
    reward_id: UUID | None = None
    quantity: int | None = None
    unit_cost: Decimal | None = None
    status: str = "COMPLETED"
    reversed_amount: Decimal = Decimal(0)
    reversed_quantity: int | None = None
    fulfillment_status: str | None = None
    fulfillment_expires_at: datetime | None = None
    fulfillment_note: str | None = None
    fulfillment_type: str | None = None


@dataclass(frozen=True, slots=True)
class ReversalRow:
    """One reversal, with its asset's scale."""

    id: UUID
    organization_id: UUID
    redemption_id: UUID
    amount: Decimal
    quantity: int | None
    reason: str
    entry_id: UUID
    created_at: datetime
    scale: int


@dataclass(frozen=True, slots=True)
class RedemptionFilter:
    """What a participant's list is narrowed to."""

    status: str | None = None
    reward_id: UUID | None = None
    program_id: UUID | None = None
    asset_id: UUID | None = None
    fulfillment_status: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


_DERIVED = ("status", "scale")
_STORED = tuple(field.name for field in fields(RedemptionRow) if field.name not in _DERIVED)
_COLUMNS = ", ".join(f"r.{field.name}" for field in fields(RedemptionRow) if field.name != "scale") + ", a.scale"
_REVERSAL_STORED = tuple(field.name for field in fields(ReversalRow) if field.name != "scale")
_CONDITIONS = {
    "status": "r.status = %(status)s",
    "reward_id": "r.reward_id = %(reward_id)s",
    "program_id": "r.program_id = %(program_id)s",
    "asset_id": "r.asset_id = %(asset_id)s",
    "fulfillment_status": "r.fulfillment_status = %(fulfillment_status)s",
    "from_": "r.created_at >= %(from_)s",
    "to": "r.created_at <= %(to)s",
}


def captured_target(conn: Connection, redemption: RedemptionRow) -> TargetRow:
    """The target that a redemption was made with."""
    entity_id = redemption.redemption_target_entity_id
    if entity_id is None:
        return TargetRow(redemption.redemption_target_type, None, None)
    row: Any = conn.execute(
        "SELECT kind FROM holders WHERE id = %s AND organization_id = %s", [entity_id, redemption.organization_id]
    ).fetchone()
    return TargetRow(redemption.redemption_target_type, entity_id, None if row is None else row[0])


def real_time(conn: Connection) -> datetime:
    """The database's own clock, which no test moves."""
    row: Any = conn.execute("SELECT clock_timestamp()").fetchone()
    moment: datetime = row[0]
    return moment


def limit_until(conn: Connection, until: datetime, least_ms: int) -> None:
    """Let no statement of this transaction, above all no lock that it waits for, outlast a moment of the database's clock.

    A transaction that begins when the moment is near or past has `least_ms` for each statement.
    """
    conn.execute(
        """
        SELECT set_config('statement_timeout', greatest(%s::bigint,
            ceil(1000 * extract(epoch FROM %s::timestamptz - clock_timestamp()))::bigint)::text, true)
        """,
        [least_ms, until],
        prepare=True,
    )


def limit(conn: Connection, milliseconds: int) -> Cursor[tuple[Any, ...]]:
    """Let no statement of this transaction take longer; gives the database's own clock, inside a pipeline when it ends."""
    return conn.execute("SELECT clock_timestamp(), set_config('statement_timeout', %s, true)", [str(milliseconds)], prepare=True)


def limit_to(conn: Connection, milliseconds: int) -> datetime:
    """Let no statement of this transaction take longer; the database's own clock, which no test moves."""
    row: Any = limit(conn, milliseconds).fetchone()
    moment: datetime = row[0]
    return moment


def lock_name(conn: Connection, id_: UUID) -> None:
    """Wait until no other transaction makes what has this id; held to the end of the transaction."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 20260115))", [str(id_)], prepare=True)


def find(conn: Connection, organization_id: UUID, redemption_id: UUID) -> RedemptionRow | None:
    """One redemption of the organization."""
    with conn.cursor(row_factory=class_row(RedemptionRow)) as cursor:
        return cursor.execute(
            f"SELECT {_COLUMNS} FROM redemptions r JOIN assets a ON a.id = r.asset_id WHERE r.id = %s AND r.organization_id = %s",
            [redemption_id, organization_id],
            prepare=True,
        ).fetchone()


def page(
    conn: Connection, organization_id: UUID, participant_id: UUID, wanted: RedemptionFilter, keyset: Keyset
) -> Slice[RedemptionRow]:
    """One page of a participant's redemptions; the keyset's columns are `r.created_at` and `r.id`."""
    after, parameters = keyset.where_sql()
    given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    conditions = [after, *(_CONDITIONS[name] for name in given)]
    with conn.cursor(row_factory=class_row(RedemptionRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT {_COLUMNS} FROM redemptions r JOIN assets a ON a.id = r.asset_id
            WHERE r.participant_id = %(participant)s AND r.organization_id = %(organization)s AND {" AND ".join(conditions)}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | given | {"participant": participant_id, "organization": organization_id},
        ).fetchall()
    return keyset.cut(rows)


def find_reversal(conn: Connection, organization_id: UUID, reversal_id: UUID) -> ReversalRow | None:
    """One reversal of the organization."""
    with conn.cursor(row_factory=class_row(ReversalRow)) as cursor:
        return cursor.execute(
            f"{_reversals()} WHERE v.id = %s AND v.organization_id = %s", [reversal_id, organization_id]
        ).fetchone()


def reversals(conn: Connection, redemption_id: UUID, keyset: Keyset) -> Slice[ReversalRow]:
    """One page of a redemption's reversals; the keyset's columns are `v.created_at` and `v.id`."""
    after, parameters = keyset.where_sql()
    with conn.cursor(row_factory=class_row(ReversalRow)) as cursor:
        rows = cursor.execute(
            f"""
            {_reversals()} WHERE v.redemption_id = %(redemption)s AND {after}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | {"redemption": redemption_id},
        ).fetchall()
    return keyset.cut(rows)


def _reversals() -> str:
    columns = ", ".join(f"v.{name}" for name in _REVERSAL_STORED)
    joins = "JOIN redemptions r ON r.id = v.redemption_id JOIN assets a ON a.id = r.asset_id"
    return f"SELECT {columns}, a.scale FROM redemption_reversals v {joins}"


def lots_given(conn: Connection, redemption_id: UUID) -> list[LotPart]:
    """What each lot gave to a redemption, in the order of consumption."""
    rows = conn.execute("SELECT lot_id, amount FROM redemption_lots WHERE redemption_id = %s ORDER BY ordinal", [redemption_id])
    return [LotPart(*row) for row in rows]


def owed_lots(conn: Connection, redemption_id: UUID) -> list[Owed]:
    """The lots that a redemption still owes something, as they are, in the order of consumption."""
    rows = conn.execute(
        """
        SELECT o.amount - o.restored, l.id, l.program_id, l.amount, l.remaining, l.status, l.created_at, l.entry_id,
               l.expires_at, l.matures_at, l.reference_id, l.parent_lot_id, l.hold_id, l.is_announced
        FROM redemption_lots o JOIN lots l ON l.id = o.lot_id
        WHERE o.redemption_id = %s AND o.restored < o.amount ORDER BY o.ordinal
        """,
        [redemption_id],
    )
    return [Owed(_lot(row[1:]), row[0]) for row in rows]


def _lot(row: tuple[Any, ...]) -> Lot:
    id_, program_id, amount, remaining, status, *rest = row
    return Lot(id_, program_id, amount, remaining, LotStatus(status), *rest)


# ------------------------------------------------------------------ writing


def insert(conn: Connection, row: RedemptionRow, taken: Sequence[LotPart]) -> None:
    """Record a redemption and what each lot gave to it; best inside a pipeline."""
    marks = ", ".join(f"%({name})s" for name in _STORED)
    conn.execute(
        f"INSERT INTO redemptions ({', '.join(_STORED)}) VALUES ({marks})",
        {name: getattr(row, name) for name in _STORED},
        prepare=True,
    )
    if taken:
        conn.execute(
            """
            INSERT INTO redemption_lots (redemption_id, ordinal, lot_id, amount)
            SELECT %s, given.ordinal - 1, given.lot_id, given.amount
            FROM unnest(%s::uuid[], %s::numeric[]) WITH ORDINALITY AS given (lot_id, amount, ordinal)
            """,
            [row.id, arrays.uuids(part.lot_id for part in taken), arrays.numbers(part.amount for part in taken)],
            prepare=True,
        )


def insert_reversal(conn: Connection, row: ReversalRow, restored: Sequence[LotPart]) -> None:
    """Record a reversal, what each lot got back, and what that makes of the redemption."""
    marks = ", ".join(f"%({name})s" for name in _REVERSAL_STORED)
    with conn.pipeline():
        conn.execute(
            f"INSERT INTO redemption_reversals ({', '.join(_REVERSAL_STORED)}) VALUES ({marks})",
            {name: getattr(row, name) for name in _REVERSAL_STORED},
        )
        conn.execute(
            """
            UPDATE redemptions SET reversed_amount = reversed_amount + %s, reversed_quantity = reversed_quantity + %s,
                   updated_at = %s
            WHERE id = %s
            """,
            [row.amount, row.quantity or 0, row.created_at, row.redemption_id],
        )
        if restored:
            conn.execute(
                """
                UPDATE redemption_lots o SET restored = o.restored + back.amount
                FROM unnest(%s::uuid[], %s::numeric[]) AS back (lot_id, amount)
                WHERE o.redemption_id = %s AND o.lot_id = back.lot_id
                """,
                [
                    arrays.uuids(part.lot_id for part in restored),
                    arrays.numbers(part.amount for part in restored),
                    row.redemption_id,
                ],
            )
