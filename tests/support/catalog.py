"""A program with rewards, and short words for what tests do to them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.repositories import organizations as clock
from db.repositories import rewards as repository
from db.session import Database, psycopg_of
from domain.rewards import Reward, give_back, take
from tests.api.helpers import asset, participant, program, rows
from tests.support.client import Tenant

MUG = {"name": "MUG", "redemption_type": "UNIT_BASED", "unit_cost": "12.50", "status": "ACTIVE"}
DONATION = {"name": "DONATION", "redemption_type": "AMOUNT_BASED", "unit_cost": "5.00", "status": "ACTIVE"}


@dataclass(frozen=True)
class Catalog:
    """Program P with USD, and what is taken from it by `take`, as a redemption does without its money."""

    api: Tenant
    database: Database
    program: str
    usd: str

    @property
    def path(self) -> str:
        return f"/v1/programs/{self.program}/rewards"

    def at(self, reward_id: str) -> str:
        return f"{self.path}/{reward_id}"

    def post(self, status: int = 201, /, **fields: Any) -> Any:
        """Create MUG, with other fields."""
        return self.api.post(self.path, MUG | {"asset_id": self.usd} | fields, status)

    def donation(self, status: int = 201, /, **fields: Any) -> Any:
        return self.post(status, **DONATION | fields)

    def get(self, reward_id: str) -> Any:
        return self.api.get(self.at(reward_id))

    def patch(self, reward_id: str, status: int = 200, /, **fields: Any) -> Any:
        return self.api.patch(self.at(reward_id), fields, status)

    def names(self, **query: Any) -> list[str]:
        return [row["name"] for row in rows(self.api, self.path, **query)]

    def new_participant(self) -> str:
        return participant(self.api)

    def take(self, reward_id: str, who: str, quantity: int) -> Reward:
        """Take units, or give them back when `quantity` is negative, in one transaction."""
        tenant, place, holder = self.api.organization_id, UUID(self.program), UUID(who)
        with self.database.session() as session:
            conn = psycopg_of(session)
            reward = repository.lock_reward(conn, tenant, place, UUID(reward_id))
            assert reward is not None
            owned, now = repository.units_of(conn, reward.id, holder), clock.now(session)
            changed = take(reward, owned, quantity, now) if quantity > 0 else give_back(reward, -quantity, now)
            repository.save_stock(conn, changed, holder, owned + quantity)
            return changed


def make_catalog(api: Tenant, database: Database) -> Catalog:
    """A fresh program with an asset of scale 2."""
    program_id = program(api)
    return Catalog(api, database, program_id, asset(api, program_id)["id"])
