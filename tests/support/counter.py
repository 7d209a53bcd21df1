"""A participant who redeems a reward whose webhook hands it over, by the product's services, without API and flows."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from activities.webhooks import FulfillmentSender
from db.session import Database, psycopg_of
from domain.rewards import FulfillmentType, RedemptionType, RewardStatus, fulfillment_of
from runtime.ids import new_id
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from services import fulfillments, redemptions, reversals, rewards
from services.catalog import CatalogOrder
from services.fulfillment_attempts import Made
from services.fulfillments import FulfillmentKey, Outcome
from services.redemption_views import FulfillmentStatus, RedemptionRow
from services.redemptions import Redeeming
from services.reversals import Reversing
from services.rewards import NewReward, RewardChange, RewardView
from services.tickets import Ticket
from services.transactions import transact
from tests.support.clock import Clock
from tests.workflows.due_world import Purse

KEY = SecretStr("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")


class Counter:
    """A participant with USD 100.00; each redemption costs 10.00. The database's clock belongs to the test."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.settings = Settings(**{"secret_key": KEY, "webhook_allow_private": True, **settings})
        self.sender = FulfillmentSender(database, self.settings)
        self.clock = Clock(database)
        self.purse = Purse(database)
        self.cash = self.purse.world.cash
        self.organization_id = self.purse.world.organization_id
        self.program_id = self.purse.world.program_id
        self.purse.credit("100", self.cash)

    def reward(self, url: str, timeout: str | None = None, **fields: Any) -> RewardView:
        """A reward that is handed over by a webhook."""
        new = NewReward(
            name=fields.pop("name", f"CODE {new_id()}"),
            redemption_type=RedemptionType.UNIT_BASED,
            asset_id=self.cash,
            unit_cost=Decimal("10.00"),
            status=RewardStatus.ACTIVE,
            fulfillment=fulfillment_of(FulfillmentType.WEBHOOK, url, timeout),
            **fields,
        )
        ids = (self.organization_id, self.program_id)
        secrets = WebhookSecrets(self.settings)
        return transact(self.database, lambda session: rewards.create_reward(session, *ids, new, secrets, is_strict=False))

    def change(self, reward: RewardView, changes: Mapping[str, Any]) -> RewardView:
        wanted = RewardChange(self.program_id, reward.reward.id, changes)
        secrets = WebhookSecrets(self.settings)
        return transact(
            self.database,
            lambda session: rewards.update_reward(session, self.organization_id, wanted, secrets, is_strict=False),
        )

    def redeem(self, reward: RewardView, quantity: int = 1) -> FulfillmentKey:
        order = CatalogOrder(self.organization_id, self.program_id, reward.reward.id, quantity)
        wanted = Redeeming(self.purse.participant, self.program_id, order)
        ticket = self._ticket()
        until = self._real_time() + timedelta(seconds=5)
        made = transact(self.database, lambda session: redemptions.carry_out(session, ticket, wanted, until))
        return FulfillmentKey(UUID(made.outcome.body["id"]), self.organization_id, self.program_id)

    def reverse(self, key: FulfillmentKey, reason: str = "changed mind") -> None:
        ticket, until = self._ticket(), self._real_time() + timedelta(seconds=5)
        wanted = Reversing(key.redemption_id, reason)
        transact(self.database, lambda session: reversals.carry_out(session, ticket, wanted, until))

    def report(self, key: FulfillmentKey, status: FulfillmentStatus, note: str | None = None) -> None:
        outcome = Outcome(status, note)
        transact(self.database, lambda session: fulfillments.report(session, self.purse.author, key.redemption_id, outcome))

    def attempt(self, key: FulfillmentKey) -> Made | None:
        return self.sender.make(key)

    def found(self, key: FulfillmentKey) -> RedemptionRow:
        """As it is, after its deadline."""
        return transact(self.database, lambda session: fulfillments.look(session, self.organization_id, key.redemption_id))

    def standing(self, key: FulfillmentKey) -> tuple[str | None, str]:
        found = self.found(key)
        return found.fulfillment_status, found.status

    def seconds_left(self, key: FulfillmentKey) -> float | None:
        """Until the next attempt, as its flow is told."""
        found = transact(self.database, lambda session: fulfillments.attend(session, self.organization_id, key.redemption_id))
        assert found is not None
        assert found.request is not None
        return found.request.seconds_left

    def reversal_reasons(self, key: FulfillmentKey) -> list[str]:
        with self.database.session() as session:
            rows = psycopg_of(session).execute(
                "SELECT reason FROM redemption_reversals WHERE redemption_id = %s", [key.redemption_id]
            )
            return [row[0] for row in rows]

    @property
    def available(self) -> Decimal:
        return self.purse.buckets(self.cash)[0]

    def _ticket(self) -> Ticket:
        return Ticket(self.purse.author, new_id(), None, b"")

    def _real_time(self) -> Any:
        with self.database.connection() as conn:
            return conn.execute("SELECT clock_timestamp()").fetchone()[0]
