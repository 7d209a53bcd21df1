"""A program with assets, made straight in the database, for the tests of rules."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.session import Connection, Database
from runtime.ids import new_id


@dataclass(frozen=True)
class World:
    """One organization's program, with PTS (SIMPLE, scale 0), CASH (SIMPLE, 2) and MILES (LOT, 2) linked to it."""

    organization_id: UUID
    program_id: UUID
    pts: UUID
    cash: UUID
    miles: UUID

    def credit(self, **fields: Any) -> dict[str, Any]:
        """A CREDIT of 10 PTS, changed by `fields`."""
        return {"type": "CREDIT", "asset_id": str(self.pts), "amount": "10", **fields}


def make_organization(database: Database) -> UUID:
    """A bare organization."""
    organization_id = new_id()
    with database.connection() as conn:
        conn.execute("INSERT INTO organizations (id, name, created_at) VALUES (%s, 'Test', openscrip_now())", [organization_id])
    return organization_id


def make_world(database: Database, organization_id: UUID) -> World:
    """A program with its three assets."""
    with database.connection() as conn:
        program_id = new_id()
        conn.execute(
            """
            INSERT INTO programs (id, organization_id, name, created_at, updated_at)
            VALUES (%s, %s, 'P', openscrip_now(), openscrip_now())
            """,
            [program_id, organization_id],
        )
        pts, cash, miles = (
            _asset(conn, organization_id, program_id, mode, scale) for mode, scale in (("SIMPLE", 0), ("SIMPLE", 2), ("LOT", 2))
        )
    return World(organization_id, program_id, pts, cash, miles)


def _asset(conn: Connection, organization_id: UUID, program_id: UUID, mode: str, scale: int) -> UUID:
    asset_id = new_id()
    conn.execute(
        """
        INSERT INTO assets
            (id, organization_id, name, symbol, inventory_mode, issuance_policy, scale, created_at, updated_at)
        VALUES (%s, %s, 'Asset', %s, %s, 'UNLIMITED', %s, openscrip_now(), openscrip_now())
        """,
        [asset_id, organization_id, f"A{asset_id.hex[-15:]}", mode, scale],
    )
    conn.execute(
        """
        INSERT INTO program_assets (program_id, asset_id, organization_id, linked_at)
        VALUES (%s, %s, %s, openscrip_now())
        """,
        [program_id, asset_id, organization_id],
    )
    return asset_id


def set_status(database: Database, table: str, id_: UUID, status: str) -> None:
    """Change the status of a program or an asset."""
    statements = {
        "programs": "UPDATE programs SET status = %s WHERE id = %s",
        "assets": "UPDATE assets SET status = %s WHERE id = %s",
    }
    with database.connection() as conn:
        conn.execute(statements[table], [status, id_])
