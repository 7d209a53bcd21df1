"""Changes of level that no event made, recorded with all that belongs to them (tiers.md 3.4)."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from db.repositories import tier_history, tier_states
from db.repositories.tier_states import NewStanding
from db.session import Connection
from domain.messages.tiers import tier_message
from domain.tiers.changes import LevelChange
from runtime.ids import new_id
from services import outbox


def save(conn: Connection, standings: Iterable[NewStanding], changes: Sequence[LevelChange]) -> None:
    """Store new standings of locked holders, and the changes of level among them in the order they were made.

    The tiers are held still; both may be empty.
    """
    stored = list(standings)
    if stored:
        tier_states.save(conn, stored)
    if not changes:
        return
    tier_history.insert(conn, changes, [new_id() for _ in changes])
    tier_history.insert_state_rows(conn, changes, [new_id() for _ in changes])
    tell(conn, changes)


def tell(conn: Connection, changes: Sequence[LevelChange]) -> None:
    """Record a message for each change that somebody wants to hear of."""
    organizations: set[UUID] = {change.holder.organization_id for change in changes}
    audience = outbox.look_up(conn, organizations)()
    if audience:
        outbox.record(conn, audience, [tier_message(change) for change in changes])
