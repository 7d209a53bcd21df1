"""A program with a participant whose value has dates, made and moved by the product's own services, without the API."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.session import Database
from runtime.ids import new_id
from services import balances
from services.movements import Adjusted, Adjustment, AdjustType, Moved, Movement
from services.participants import ParticipantInput, upsert_participant
from services.state import Author, Entity, EntityKind
from services.transactions import transact
from tests.services.rule_world import World, make_organization, make_world, set_status
from workflows.contracts_hold import HoldInput


class Purse:
    """One participant of a fresh organization; `miles` is its LOT asset, `cash` its SIMPLE one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.world: World = make_world(database, make_organization(database))
        self.author = Author(self.world.organization_id, new_id())
        self.participant = self.new_participant()

    def new_participant(self) -> UUID:
        with self.database.session() as session:
            made, _ = upsert_participant(session, self.author, f"p-{new_id()}", None, ParticipantInput())
        return made.participant.id

    def credit(self, amount: str = "100", asset: UUID | None = None, **fields: Any) -> Adjusted:
        wanted = Adjustment(
            self.world.program_id, asset or self.world.miles, AdjustType.CREDIT, Decimal(amount), "test", **fields
        )
        who = Entity(EntityKind.PARTICIPANT, self.participant)
        return transact(self.database, lambda session: balances.adjust(session, self.author, who, wanted, is_strict=False))

    def hold(self, amount: str, after: timedelta, asset: UUID | None = None, reference_id: str | None = "auth-1") -> HoldInput:
        wanted = Movement(
            self.world.program_id,
            asset or self.world.cash,
            "Deposit of room 12",
            Decimal(amount),
            reference_id=reference_id,
            expires_at=after,
        )
        who = Entity(EntityKind.PARTICIPANT, self.participant)
        held: Moved = transact(
            self.database, lambda session: balances.hold_balance(session, self.author, who, wanted, is_strict=False)
        )
        assert held.hold_id is not None
        return HoldInput(hold_id=held.hold_id, organization_id=self.world.organization_id, program_id=self.world.program_id)

    def archive(self, asset: UUID) -> None:
        set_status(self.database, "assets", asset, "ARCHIVED")

    def entries(self) -> list[str]:
        """Action types of all entries of the organization, oldest first, straight from the journal."""
        with self.database.connection() as conn:
            rows = conn.execute(
                "SELECT action_type FROM journal_entries WHERE organization_id = %s ORDER BY created_at, id",
                [self.world.organization_id],
            ).fetchall()
        return [row[0] for row in rows]

    def buckets(self, asset: UUID) -> tuple[Decimal, ...]:
        """Available, held, deferred as the row says: nobody looks through the product."""
        with self.database.connection() as conn:
            row = conn.execute(
                "SELECT available, held, deferred FROM balances WHERE holder_id = %s AND asset_id = %s", [self.participant, asset]
            ).fetchone()
        assert row is not None
        return row
