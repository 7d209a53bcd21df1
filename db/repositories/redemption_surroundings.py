"""What messages about a redemption say of its surroundings."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.session import Connection


@dataclass(frozen=True, slots=True)
class SurroundingsRow:
    """The participant's external id, the asset's symbol, the reward's name."""

    external_id: str
    asset_symbol: str
    reward_name: str | None


def load_surroundings(conn: Connection, organization_id: UUID, redemption_id: UUID) -> SurroundingsRow:
    """The surroundings of a redemption of the organization."""
    row: Any = conn.execute(
        """
        SELECT p.external_id, a.symbol, w.name
        FROM redemptions r
        JOIN participants p ON p.id = r.participant_id
        JOIN assets a ON a.id = r.asset_id
        LEFT JOIN rewards w ON w.id = r.reward_id
        WHERE r.id = %s AND r.organization_id = %s
        """,
        [redemption_id, organization_id],
    ).fetchone()
    return SurroundingsRow(*row)
