"""Unlinking an asset while somebody posts on its wallet: either there is an entry and the link stays, or neither."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session

from db.session import Database
from domain.rewards import RedemptionType, RewardStatus
from runtime.settings import Settings
from runtime.webhook_secrets import WebhookSecrets
from services import assets, wallets
from services.organizations import list_api_keys
from services.rewards import NewReward, create_reward
from services.state import Author
from tests.api.routes.money import Money
from tests.support.books import assert_books
from tests.support.client import Tenant
from tests.support.stack import poll


@pytest.fixture
def money(api: Tenant) -> Money:
    found = Money(api)
    found.asset("CASH")
    return found


def waits(database: Database, answer: "Future[Any]") -> bool:
    """Whether a transaction waits for a lock; that of `answer` must not have ended."""
    with database.connection() as conn:
        row: Any = conn.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    assert not answer.done(), "it didn't wait"
    return bool(row[0])


def meanwhile(database: Database, first: Callable[[Session], object], second: Callable[[], Any]) -> Any:
    """Run `first`; before it commits, begin `second`, which has to wait for it."""
    with ThreadPoolExecutor(1) as pool:
        with database.session() as session:
            first(session)
            answer = pool.submit(second)
            poll(lambda: waits(database, answer))
        return answer.result()


def test_a_wallet_that_is_being_funded_keeps_its_link(database: Database, money: Money) -> None:
    program, cash = UUID(money.program), UUID(money.asset("CASH"))
    with database.session() as session:
        [key] = list_api_keys(session, money.api.organization_id)
    author, wanted = Author(money.api.organization_id, key.id), wallets.WalletChange(program, cash, Decimal(100))
    unlink = f"/v1/programs/{program}/assets/{cash}"
    refused = meanwhile(
        database,
        lambda session: wallets.fund_program(session, author, wanted, is_strict=False),
        lambda: money.api.call("DELETE", unlink, 409),
    )
    assert refused["details"] == {"reason": "has_entries"}
    assert money.in_wallet("CASH") == "100.00"
    assert_books(database, money.api.organization_id)


def test_a_wallet_that_goes_takes_nothing(database: Database, money: Money) -> None:
    program, cash, tenant = UUID(money.program), UUID(money.asset("CASH")), money.api.organization_id
    link = f"/v1/programs/{program}/assets"

    def unlink(session: Session) -> None:
        assets.unlink_asset(session, tenant, program, cash)

    assert meanwhile(database, unlink, lambda: money.wallet("fund", "CASH", "1", 409))["code"] == "asset_not_linked"
    money.api.post(link, {"asset_id": str(cash)}, 201)
    assert meanwhile(database, unlink, lambda: money.credit("CASH", "1", 409))["code"] == "asset_not_linked"
    assert money.api.post(link, {"asset_id": str(cash)}, 201)["program_ids"] == [money.program]
    assert money.in_wallet("CASH") == "0.00"
    assert_books(database, tenant)


def test_an_asset_that_a_reward_is_made_for_keeps_its_link(database: Database, money: Money) -> None:
    program, cash, tenant = UUID(money.program), UUID(money.asset("CASH")), money.api.organization_id
    new = NewReward("Mug", RedemptionType.UNIT_BASED, cash, Decimal(5), RewardStatus.ACTIVE)
    refused = meanwhile(
        database,
        lambda session: create_reward(session, tenant, program, new, WebhookSecrets(Settings()), is_strict=False),
        lambda: money.api.call("DELETE", f"/v1/programs/{program}/assets/{cash}", 409),
    )
    assert refused["details"] == {"reason": "in_use"}
