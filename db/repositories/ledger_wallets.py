"""The wallets of a program, as lists show them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.session import Connection


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A program's wallet of one linked PREFUNDED asset."""

    asset_id: UUID
    scale: int
    available: Decimal
    linked_at: datetime


def wallets_of(conn: Connection, program_id: UUID, asset_id: UUID | None, keyset: Keyset) -> Slice[WalletRow]:
    """One page of the wallets, empty ones included."""
    after, parameters = keyset.where_sql()
    with conn.cursor(row_factory=class_row(WalletRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT asset_id, scale, available, linked_at FROM (
                SELECT l.asset_id, a.scale, coalesce(w.available, 0) AS available, l.linked_at
                FROM program_assets l
                JOIN assets a ON a.id = l.asset_id AND a.issuance_policy = 'PREFUNDED'
                LEFT JOIN wallets w ON w.program_id = l.program_id AND w.asset_id = l.asset_id
                WHERE l.program_id = %(program)s AND (%(asset)s::uuid IS NULL OR l.asset_id = %(asset)s)
            ) AS wallet WHERE {after} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | {"program": program_id, "asset": asset_id},
        ).fetchall()
    return keyset.cut(rows)


def lock_program(conn: Connection, program_id: UUID) -> None:
    """Lock what is one for all wallets of a program, its state: before the wallets, in the order of locks."""
    conn.execute("SELECT 1 FROM program_states WHERE program_id = %s FOR UPDATE", [program_id])
