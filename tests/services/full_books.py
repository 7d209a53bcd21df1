"""An organization with something of everything that is kept: lots, a hold, a budget, a wallet, stock, a reversal."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from pydantic import SecretStr

from db.session import Database
from domain.rewards import RedemptionType, RewardStatus
from runtime.ids import new_id
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from services import redemptions, reversals, rewards
from services.catalog import CatalogOrder
from services.redemptions import Priced, Redeeming
from services.reversals import Reversing
from services.rewards import NewReward
from services.tickets import Ticket
from services.transactions import transact
from tests.services.lane_world import Shop
from tests.workflows.due_world import Purse

SECRETS = WebhookSecrets(Settings(secret_key=SecretStr("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")))


class FullBooks:
    """MILES: lots of 60 and 40, 30 held, 50 redeemed, 10 of it reversed; PTS from a wallet by a rule with a budget; CASH for mugs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.purse = Purse(database)
        self.world = self.purse.world
        self.organization_id = self.world.organization_id
        self.purse.credit("60")
        self.purse.credit("40")
        self.purse.hold("30", timedelta(days=1), self.world.miles)
        redemption = self._redeem(Priced(self.world.miles, Decimal(50), "Voucher"))
        self._reverse(redemption, Decimal(10))
        self.purse.credit("100", self.world.cash)
        self._redeem(CatalogOrder(self.organization_id, self.world.program_id, self._mug(), 2))
        self._events()

    def _events(self) -> None:
        with self.database.connection() as conn:
            conn.execute(
                "INSERT INTO program_states (program_id, organization_id) VALUES (%s, %s)",
                [self.world.program_id, self.organization_id],
            )
        shop = Shop(self.database, self.world)
        shop.fund(self.world.pts, 1000)
        shop.rule(self.world.credit(), budgets=[{"asset_id": str(self.world.pts), "limit": "100"}])
        for _ in range(3):
            shop.send()
        shop.drain_all()

    def _mug(self) -> UUID:
        new = NewReward("Mug", RedemptionType.UNIT_BASED, self.world.cash, Decimal("12.50"), RewardStatus.ACTIVE, max_total=10)
        ids = (self.organization_id, self.world.program_id)
        view = transact(self.database, lambda session: rewards.create_reward(session, *ids, new, SECRETS, is_strict=False))
        return view.reward.id

    def _redeem(self, what: Priced | CatalogOrder) -> UUID:
        wanted, until = Redeeming(self.purse.participant, self.world.program_id, what), self._soon()
        ticket = Ticket(self.purse.author, new_id(), None, b"")
        made = transact(self.database, lambda session: redemptions.carry_out(session, ticket, wanted, until))
        return UUID(made.outcome.body["id"])

    def _reverse(self, redemption: UUID, amount: Decimal) -> None:
        ticket, until = Ticket(self.purse.author, new_id(), "undo-1", b""), self._soon()
        transact(
            self.database, lambda session: reversals.carry_out(session, ticket, Reversing(redemption, "returned", amount), until)
        )

    def _soon(self):
        with self.database.connection() as conn:
            return conn.execute("SELECT clock_timestamp() + interval '20 s'").fetchone()[0]
