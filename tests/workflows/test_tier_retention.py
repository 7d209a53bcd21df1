"""A tier's flow: it sleeps until something is due for a holder, shows what it does, and lives as long as its tier."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from db.session import Database
from runtime.embedded import EmbeddedPostgres
from services.tiers import archive_tier, update_tier
from services.transactions import transact
from tests.services.rule_world import make_organization, make_world
from tests.support.databases import make_database
from tests.support.ladder import Crowd, calendar_year, make_crowd
from tests.support.loop import LoopThread
from tests.workflows.test_event_lane import until
from tests.workflows.timers import Answers, Bound, JumpingClock, tier_report, working
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_tiers import TierRetentionInput, TierRetentionStatus, TierState, TierTotals, tier_retention_workflow_id
from workflows.signals import start_tier_retention

Flow = WorkflowHandle[Any, Any]


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock is bound to the server's that jumps."""
    with closing(Database(make_database(postgres.dsn, "tier_retention"), pool_size=8)) as database:
        yield database


def some_tier() -> TierRetentionInput:
    tier_id = UUID(int=random.getrandbits(100))
    return TierRetentionInput(tier_id=tier_id, organization_id=UUID(int=1), program_id=UUID(int=2))


async def status(flow: Flow) -> TierRetentionStatus:
    return await flow.query(contracts.STATUS_QUERY, result_type=TierRetentionStatus)


async def sleeps(flow: Flow) -> bool:
    return (await status(flow)).phase == "sleeping"


@asynccontextmanager
async def running(client: Client, answers: Answers | Bound, tier: TierRetentionInput | None = None) -> AsyncIterator[Flow]:
    wanted = tier or some_tier()
    async with working(client, answers) as queue:
        await start_tier_retention(client, wanted, queue=queue)
        yield client.get_workflow_handle(tier_retention_workflow_id(wanted.tier_id), result_type=TierRetentionStatus)


def test_it_shows_what_it_does_and_ends_with_its_tier(loop: LoopThread, client: Client) -> None:
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    busy = tier_report(holders=200, levels=3, counters=190, pages=1, more=True)
    idle = tier_report(seconds=86400.0, next_at=moment, holders=5, counters=5, renewed=500, failed=0)
    answers = Answers(tiers=[busy, idle, tier_report(TierState.ARCHIVED)])

    async def scenario() -> None:
        async with running(client, answers) as flow:
            await until(lambda: sleeps(flow))
            found = (await flow.describe()).typed_search_attributes
            assert (found[KIND], found[STATUS]) == ("tier-retention", "ACTIVE")
            assert (found[ORGANIZATION], found[PROGRAM]) == (str(UUID(int=1)), str(UUID(int=2)))
            assert (await status(flow)).totals == TierTotals(holders=205, levels=3, counters=195, passes=2, pages=1, renewed=500)
            metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
            assert "**Tier** `club`, ACTIVE" in metadata.current_details
            assert "**Next moment** 2031-01-01T00:00:00+00:00" in metadata.current_details
            assert (
                "**Since start** 205 holders, 3 levels lost, 195 counters rolled over, 500 renewed, 2 looks, 1 pages"
                in metadata.current_details
            )
            await flow.signal(contracts.WAKE_SIGNAL)
            assert (await flow.result()).phase == "ended"
            assert (await flow.describe()).typed_search_attributes[STATUS] == "ARCHIVED"

    loop.run(scenario())


def test_it_continues_as_new_and_forgets_nothing(loop: LoopThread, forgetful: WorkflowEnvironment) -> None:
    answers = Answers(tiers=[tier_report(holders=1, more=True)] * 40 + [tier_report(TierState.ARCHIVED)])

    async def scenario() -> None:
        async with running(forgetful.client, answers) as flow:
            ended = await flow.result()
            assert (ended.totals.holders, ended.totals.passes) == (40, 41)
            assert (await flow.describe()).run_id != flow.first_execution_run_id

    loop.run(scenario())


def test_what_failed_is_tried_again_soon(loop: LoopThread, skipping: WorkflowEnvironment) -> None:
    answers = Answers(tiers=[tier_report(failed=1), tier_report(TierState.ARCHIVED)])

    async def scenario() -> None:
        async with running(skipping.client, answers) as flow:
            await until(lambda: sleeps(flow))
            await skipping.sleep(timedelta(minutes=1))
            assert (await flow.result()).totals.passes == 2

    loop.run(scenario())


@pytest.fixture
def clock(loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database) -> JumpingClock:
    jumping = JumpingClock(skipping, loop, ledger)
    jumping.set()
    return jumping


def make(clock: JumpingClock, **parts: Any) -> Crowd:
    world = make_world(clock.database, make_organization(clock.database))
    return make_crowd(clock.database, world.organization_id, world.program_id, calendar_year(**parts))


def flow_of(crowd: Crowd) -> TierRetentionInput:
    ids = {"organization_id": crowd.organization_id, "program_id": crowd.program_id}
    return TierRetentionInput(tier_id=crowd.tier.id, **ids)


def flow_handle(skipping: WorkflowEnvironment, crowd: Crowd) -> Flow:
    return skipping.client.get_workflow_handle(tier_retention_workflow_id(crowd.tier.id))


def test_three_years_pass_without_a_visitor(loop: LoopThread, skipping: WorkflowEnvironment, clock: JumpingClock) -> None:
    """Each moment is met, though nobody tells the flow of any, and a definition that changes in between is the one it meets."""
    crowd = make(clock, downgrade_policy={"mode": "DROP_ONE", "grace_days": 10, "min_level": None})
    crowd.enter([1300, 1300, 2600, 40])
    bound = Bound(clock)
    first_end = datetime(clock.set().year + 1, 1, 1, tzinfo=UTC)

    async def sleep_to(moment: datetime) -> None:
        await skipping.sleep(moment - await skipping.get_current_time())
        await until(lambda: sleeps(flow_handle(skipping, crowd)))

    async def scenario() -> None:
        async with running(skipping.client, bound, flow_of(crowd)) as flow:
            await until(lambda: sleeps(flow))
            await sleep_to(first_end + timedelta(days=4))
            first = await status(flow)
            assert (first.totals.holders, first.totals.counters, first.totals.levels) == (4, 4, 0)
            await sleep_to(first_end + timedelta(days=20))
            # who had 40 was not gold; ten days of grace
            assert (await status(flow)).totals.levels == 1
            change = {"levels": [{"key": "gold", "qualification": {"mode": "ALL", "criteria": [
                {"counter": "points", "operator": ">=", "threshold": "300"}]}}]}  # fmt: skip
            ids = (crowd.organization_id, crowd.program_id, "club")
            transact(clock.database, lambda session: update_tier(session, *ids, change))
            await sleep_to(first_end + timedelta(days=385))
            assert crowd.standing() == {("gold", "0"): 2, ("gold", "1300"): 1, ("bronze", "0"): 1}
            await sleep_to(first_end + timedelta(days=751))
            assert crowd.standing() == {("silver", "0"): 2, ("gold", "1000"): 1, (None, "0"): 1}
            transact(clock.database, lambda session: archive_tier(session, *ids))
            await flow.signal(contracts.WAKE_SIGNAL)
            await flow.result()

    loop.run(scenario(), 120)
    # a look for each moment, one for the signal, and few more
    assert bound.looks < 25


def test_a_period_end_of_thousands(loop: LoopThread, skipping: WorkflowEnvironment, clock: JumpingClock) -> None:
    crowd = make(clock)
    crowd.enter([1300, 550] * 1_500)
    bound = Bound(clock)

    async def scenario() -> None:
        async with running(skipping.client, bound, flow_of(crowd)) as flow:
            await until(lambda: sleeps(flow))
            await skipping.sleep(timedelta(days=366))

            async def done() -> bool:
                return (await status(flow)).totals.counters == 3_000

            await until(done)
            await flow.terminate()

    loop.run(scenario(), 240)
    assert crowd.standing() == {("gold", "300"): 1_500, ("silver", "50"): 1_500}
    assert crowd.resets() == (3_000, 3_000)
