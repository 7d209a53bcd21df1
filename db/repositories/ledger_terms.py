"""What a posting use case asks before it posts: the holder under its lock, the program, the asset, their link, the time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.session import Connection
from domain.ledger.accounts import AssetTerms, EntityType

_TABLES = {EntityType.PARTICIPANT: "participants", EntityType.GROUP: "groups"}


@dataclass(frozen=True, slots=True)
class Terms:
    """A program's status and an asset's terms, None where there is no such thing in the organization."""

    program_status: str | None
    is_linked: bool
    asset: AssetTerms | None


def find_terms(conn: Connection, organization_id: UUID, program_id: UUID, asset_id: UUID) -> Terms:
    """The program, the asset and their link, in one read."""
    row: Any = conn.execute(
        """
        SELECT p.status, l.asset_id IS NOT NULL,
               a.id, a.symbol, a.scale, a.inventory_mode = 'LOT', a.issuance_policy = 'PREFUNDED', a.max_transaction_amount,
               a.status = 'ARCHIVED', a.organization_id
        FROM (VALUES (1)) AS one
        LEFT JOIN programs p ON p.id = %(program)s AND p.organization_id = %(organization)s
        LEFT JOIN assets a ON a.id = %(asset)s AND a.organization_id = %(organization)s
        LEFT JOIN program_assets l ON l.program_id = p.id AND l.asset_id = a.id
        """,
        {"organization": organization_id, "program": program_id, "asset": asset_id},
    ).fetchone()
    return Terms(row[0], row[1], None if row[2] is None else AssetTerms(*row[2:]))


def lock_holder(conn: Connection, organization_id: UUID, kind: EntityType, holder_id: UUID) -> str | None:
    """Lock a participant's or group's holder row; its status as it is then, None when the organization has no such holder."""
    locked = conn.execute(
        "SELECT 1 FROM holders WHERE id = %s AND organization_id = %s AND kind = %s FOR UPDATE",
        [holder_id, organization_id, kind.value],
    )
    if locked.fetchone() is None:
        return None
    # A statement of its own: it sees what was committed while the lock was waited for.
    row: Any = conn.execute(f"SELECT status FROM {_TABLES[kind]} WHERE id = %s", [holder_id]).fetchone()
    return str(row[0])


def database_now(conn: Connection) -> datetime:
    """The product's clock (design.md, One clock)."""
    row: Any = conn.execute("SELECT openscrip_now()").fetchone()
    moment: datetime = row[0]
    return moment


def missing_lots(conn: Connection, holder_id: UUID, asset_id: UUID, pair_program_id: UUID, lot_ids: list[UUID]) -> set[UUID]:
    """Which of these ids aren't lots of the account."""
    rows = conn.execute(
        "SELECT id FROM lots WHERE id = ANY(%s) AND holder_id = %s AND asset_id = %s AND pair_program_id = %s",
        [lot_ids, holder_id, asset_id, pair_program_id],
    )
    return set(lot_ids) - {row[0] for row in rows}
