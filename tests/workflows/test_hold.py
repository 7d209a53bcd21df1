"""Holds as flows: they end at their deadline or before, by what operations tell, and write one RELEASE however they are hit."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal import connect
from tests.cli.stack import ROOT
from tests.support.books import assert_books
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.support.stack import poll, run_worker
from tests.workflows.due_world import Purse
from tests.workflows.test_event_lane import until
from tests.workflows.timers import Answers, Bound, JumpingClock, hold_report, some_hold, working
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_hold import HoldInput, HoldSignal, HoldState, HoldStatus, hold_workflow_id
from workflows.signals import ensure_due_work, start_hold, tell_hold

HoldFlow = WorkflowHandle[Any, Any]
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def ledger(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database whose clock is bound to the server's that jumps."""
    with closing(Database(make_database(postgres.dsn, "hold_flows"), pool_size=8)) as database:
        yield database


def handle_of(client: Client, hold: HoldInput) -> HoldFlow:
    return client.get_workflow_handle(hold_workflow_id(hold.hold_id), result_type=HoldStatus)


async def status(flow: HoldFlow) -> HoldStatus:
    return await flow.query(contracts.STATUS_QUERY, result_type=HoldStatus)


@asynccontextmanager
async def held(client: Client, answers: Answers | Bound, hold: HoldInput) -> AsyncIterator[HoldFlow]:
    """A hold's flow, after its first look."""
    async with working(client, answers) as queue:
        await start_hold(client, hold, queue=queue)
        await until(lambda: answers.looks > 0)
        yield handle_of(client, hold)


class TestWhatItShows:
    def test_attributes_details_and_no_personal_data(self, loop: LoopThread, client: Client) -> None:
        hold = some_hold()

        async def scenario() -> None:
            async with held(client, Answers(hold=[hold_report(remaining="15.00")]), hold) as flow:
                await until(lambda: _has_looked(flow))
                described = await flow.describe()
                found = described.typed_search_attributes
                assert (found[KIND], found[STATUS]) == ("hold", "OPEN")
                assert found[ORGANIZATION] == str(hold.organization_id)
                assert found[PROGRAM] == str(hold.program_id)
                assert flow.id == f"hold/{hold.hold_id}"
                assert await described.static_summary() == "hold with a deadline"
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                assert "**OPEN** until 2026-01-15T10:30:00+00:00" in metadata.current_details
                assert "**Held** 15.00 of 40.00 USD" in metadata.current_details
                assert "**Reference** auth-1" in metadata.current_details
                await flow.terminate()

        loop.run(scenario())

    def test_an_unknown_hold_fails_at_once(self, loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database) -> None:
        async def scenario() -> None:
            async with held(skipping.client, Bound(JumpingClock(skipping, loop, ledger)), some_hold()) as flow:
                with pytest.raises(WorkflowFailureError) as failure:
                    await flow.result()
                assert "there is no hold" in str(failure.value.cause.cause)

        loop.run(scenario())


async def _has_looked(flow: HoldFlow) -> bool:
    return (await status(flow)).hold is not None


class TestSignals:
    @pytest.mark.parametrize("what", list(HoldSignal))
    def test_what_ended_it_is_its_outcome(self, loop: LoopThread, client: Client, what: HoldSignal) -> None:
        hold = some_hold()
        answers = Answers(hold=[hold_report(), hold_report(remaining="10.00"), hold_report(HoldState.ENDED)])

        async def scenario() -> None:
            async with held(client, answers, hold) as flow:
                await until(lambda: _has_looked(flow))
                await tell_hold(client, hold.hold_id, what)
                await until(lambda: answers.looks == 2)
                assert (await status(flow)).state is HoldState.OPEN
                await tell_hold(client, hold.hold_id, what)
                outcome = await flow.result()
                assert outcome.state == HoldState[what.name]
                assert (await flow.describe()).typed_search_attributes[STATUS] == what.name

        loop.run(scenario())

    def test_its_deadline_beats_what_was_told(self, loop: LoopThread, client: Client) -> None:
        answers = Answers(hold=[hold_report(), hold_report(HoldState.EXPIRED)])
        hold = some_hold()

        async def scenario() -> None:
            async with held(client, answers, hold) as flow:
                await until(lambda: _has_looked(flow))
                await tell_hold(client, hold.hold_id, HoldSignal.RELEASED)
                assert (await flow.result()).state is HoldState.EXPIRED

        loop.run(scenario())


class TestOnTheLedger:
    """The product's activity, with the database's clock bound to the server's time."""

    @pytest.mark.parametrize("after", [timedelta(seconds=90), timedelta(days=3), 3 * YEAR], ids=str)
    def test_the_deadline_is_met(
        self, loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database, after: timedelta
    ) -> None:
        clock = JumpingClock(skipping, loop, ledger)
        purse, hold = self._held(clock, after)

        async def scenario() -> None:
            async with held(skipping.client, Bound(clock), hold) as flow:
                await until(lambda: _has_looked(flow))
                await skipping.sleep(after - timedelta(seconds=5))
                assert purse.entries() == ["CREDIT", "HOLD"]
                await skipping.sleep(timedelta(seconds=6))
                outcome = await flow.result()
                assert outcome.state is HoldState.EXPIRED
                assert outcome.hold.remaining == "0.00"

        loop.run(scenario())
        assert purse.entries() == ["CREDIT", "HOLD", "RELEASE"]
        assert purse.buckets(purse.world.cash) == (Decimal(100), Decimal(0), Decimal(0))
        assert_books(ledger, purse.world.organization_id)

    def test_an_archived_asset_ends_the_flow_and_nothing_else(
        self, loop: LoopThread, skipping: WorkflowEnvironment, ledger: Database
    ) -> None:
        clock = JumpingClock(skipping, loop, ledger)
        purse, hold = self._held(clock, timedelta(minutes=5))

        async def scenario() -> None:
            async with held(skipping.client, Bound(clock), hold) as flow:
                await until(lambda: _has_looked(flow))
                await asyncio.to_thread(purse.archive, purse.world.cash)
                await skipping.sleep(timedelta(minutes=6))
                assert (await flow.result()).state is HoldState.FROZEN

        loop.run(scenario())
        assert purse.entries() == ["CREDIT", "HOLD"]

    @staticmethod
    def _held(clock: JumpingClock, after: timedelta) -> tuple[Purse, HoldInput]:
        clock.set()
        purse = Purse(clock.database)
        purse.credit("100", purse.world.cash)
        return purse, purse.hold("40", after)


@pytest.fixture
def real(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Database]:
    """A database with the real time, for one test."""
    name = f"real_{tmp_path.name.replace('-', '_').lower()}"
    with closing(Database(make_database(postgres.dsn, name), pool_size=8)) as database:
        yield database


def deposit(database: Database, seconds: float) -> tuple[Purse, HoldInput]:
    purse = Purse(database)
    purse.credit("100", purse.world.cash)
    return purse, purse.hold("40", timedelta(seconds=seconds))


def settings_for(database: Database, temporal: EmbeddedTemporal) -> Settings:
    return Settings(database_url=database.url, temporal_address=temporal.address, database_pool_size=4)


def test_temporal_is_down_over_the_deadline(real: Database, loop: LoopThread, tmp_path: Path) -> None:
    with EmbeddedTemporal(tmp_path / "temporal", port=free_port(), headless=True) as temporal:
        settings = settings_for(real, temporal)
        client = loop.run(connect(settings))
        with run_worker(settings, loop):
            purse, hold = deposit(real, 8)
            loop.run(start_hold(client, hold))
            flow = handle_of(client, hold)
            loop.run(until(lambda: _has_looked(flow)))
            temporal.stop()
            time.sleep(8)
            assert purse.entries() == ["CREDIT", "HOLD"]
            temporal.start()
            poll(lambda: purse.entries() == ["CREDIT", "HOLD", "RELEASE"], 30)
            assert loop.run(flow.result()).state is HoldState.EXPIRED
    assert purse.entries() == ["CREDIT", "HOLD", "RELEASE"]


@pytest.mark.parametrize(("moment", "kind"), [("before", "hold"), ("after", "hold"), ("before", "due"), ("after", "due")])
def test_a_worker_is_killed_at_the_commit(real: Database, loop: LoopThread, tmp_path: Path, moment: str, kind: str) -> None:
    with EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal:
        settings = settings_for(real, temporal)
        client = loop.run(connect(settings))
        purse, hold = deposit(real, 1)
        loop.run(start_hold(client, hold) if kind == "hold" else ensure_due_work(client))
        environment = {**os.environ, "OPENSCRIP_DATABASE_URL": real.url, "OPENSCRIP_TEMPORAL_ADDRESS": temporal.address}
        dying = subprocess.run(
            [sys.executable, "-m", "tests.workflows.dying_worker", moment], cwd=ROOT, env=environment, timeout=60, check=False
        )
        assert dying.returncode == -signal.SIGKILL
        assert purse.entries() == ["CREDIT", "HOLD"] + ["RELEASE"] * (moment == "after")
        with run_worker(settings, loop):
            poll(lambda: purse.entries() == ["CREDIT", "HOLD", "RELEASE"], 30)
            if kind == "hold":
                assert loop.run(handle_of(client, hold).result()).state is HoldState.EXPIRED
            else:
                due = client.get_workflow_handle(contracts.DUE_WORKFLOW_ID)
                poll(lambda: loop.run(due.query(contracts.STATUS_QUERY, result_type=contracts.DueStatus)).phase == "sleeping", 30)
    assert purse.entries() == ["CREDIT", "HOLD", "RELEASE"]
    assert_books(real, purse.world.organization_id)
