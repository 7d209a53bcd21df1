"""Redemptions as flows: what they show, refusals, and one effect at most, whatever is down, frozen or killed meanwhile."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowFailureError

from activities.redemptions import RedemptionActivities
from api.app import create_app
from api.flows import event_flow
from cli.serve import PARTS
from db.session import Database
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from runtime.ids import new_id
from runtime.settings import Settings
from runtime.temporal import connect, ensure_search_attributes
from tests.cli.stack import ROOT
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.loop import LoopThread
from tests.support.server import serve
from tests.support.stack import poll
from tests.support.till import Till
from tests.workflows import redeemers
from tests.workflows.redeemers import REFUSED, Script, order, redeemed, return_of
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts_redemption import RedemptionState, RedemptionStatus
from workflows.hosting import REDEMPTIONS_AT_ONCE, redemption_worker
from workflows.signals import start_redemption, start_reversal


class TestWhatItShows:
    def test_a_redemption(self, loop: LoopThread, client: Client) -> None:
        wanted = order()

        async def scenario() -> None:
            await ensure_search_attributes(client)
            async with redeemers.working(client, Script(redeemed())) as queue:
                flow = await start_redemption(client, wanted, queue=queue)
                assert flow.id == f"redemption/{wanted.redemption_id}"
                result = await flow.result()
                described = await flow.describe()
                found = described.typed_search_attributes
                assert (found[KIND], found[STATUS]) == ("redemption", "COMPLETED")
                assert (found[ORGANIZATION], found[PROGRAM]) == (str(wanted.organization_id), str(wanted.program_id))
                assert str(wanted.participant_id) in str(await described.static_details())
                status = await flow.query(contracts.STATUS_QUERY, result_type=RedemptionStatus)
                assert (status.state, status.result) == (RedemptionState.COMPLETED, result)
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                for part in ("**COMPLETED**", "**Amount** 30 MILES", f"30 of {redeemers.LOT}", "and 2 more"):
                    assert part in metadata.current_details, metadata.current_details

        loop.run(scenario())

    def test_a_refusal_leaves_its_id_free(self, loop: LoopThread, client: Client) -> None:
        wanted = order(idempotency_key="k")

        async def scenario() -> None:
            await ensure_search_attributes(client)
            async with redeemers.working(client, Script(REFUSED, redeemed())) as queue:
                flow = await start_redemption(client, wanted, queue=queue)
                with pytest.raises(WorkflowFailureError):
                    await flow.result()
                assert (await flow.describe()).typed_search_attributes[STATUS] == "REFUSED"
                status = await flow.query(contracts.STATUS_QUERY, result_type=RedemptionStatus)
                assert (status.state, status.refusal) == (RedemptionState.REFUSED, "insufficient_balance: available 5")
                again = await start_redemption(client, wanted, queue=queue)
                assert again.id == flow.id
                assert (await again.result()).answer["amount"] == "30"

        loop.run(scenario())

    def test_a_reversal(self, loop: LoopThread, client: Client) -> None:
        wanted = return_of(new_id())
        redemption = {"amount": "120", "reversed_amount": "30"}

        async def scenario() -> None:
            await ensure_search_attributes(client)
            async with redeemers.working(client, Script(redeemed(redemption=redemption))) as queue:
                flow = await start_reversal(client, wanted, queue=queue)
                assert flow.id == f"redemption-reversal/{wanted.redemption_id}"
                await flow.result()
                metadata = await flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
                assert "**Reversed in all** 30 of 120" in metadata.current_details

        loop.run(scenario())


# ------------------------------------------------------------------ when something is down

TIMEOUT = 1.0
CROWD, CROWD_TIMEOUT = 24, 4.0


@pytest.fixture(scope="module")
def real(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database for the tests of this module."""
    with contextlib.closing(Database(make_database(postgres.dsn, "redemption_flows"), pool_size=8)) as database:
        yield database


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    """A Temporal server that no worker serves but those of the test."""
    with EmbeddedTemporal(tmp_path_factory.mktemp("quiet"), headless=True, in_memory=True) as server:
        yield server


@dataclass
class Shop:
    """An API of its own with somebody who has USD 100.00, and the settings it runs with."""

    till: Till
    settings: Settings
    database: Database

    def send(self, amount: str, **fields: Any) -> tuple[httpx.Response, float]:
        """A redemption, and how long its answer took."""
        began = time.monotonic()
        return self.till.sent(amount, **fields), time.monotonic() - began

    def send_back(self, made: dict[str, Any], **fields: Any) -> tuple[httpx.Response, float]:
        """The reversal of a redemption, and how long its answer took."""
        began = time.monotonic()
        body = {"reason": "returned", **fields}
        return self.till.api.http.post(f"/v1/redemptions/{made['id']}/reverse", json=body), time.monotonic() - began

    def require_refused(self, answer: tuple[httpx.Response, float], timeout: float = TIMEOUT) -> None:
        response, seconds = answer
        assert response.status_code == 503, response.text
        assert response.json()["code"] == "service_unavailable"
        assert response.headers["Retry-After"] == "1"
        assert seconds < timeout + 1.0

    def require_untouched(self, for_seconds: float = 0.0) -> None:
        """Nothing was debited, and nothing is."""
        end = time.monotonic() + for_seconds
        while True:
            assert self.till.available() == "100.00"
            assert self.till.actions() == ["CREDIT"]
            if time.monotonic() >= end:
                break
            time.sleep(0.1)
        self.till.require_sound(self.database)


@pytest.fixture
def open_shop(real: Database, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Start APIs: at an address of Temporal, with a worker inside or without one."""
    with contextlib.ExitStack() as stack:

        def start(address: str, *, hosts: bool = True, timeout: float = TIMEOUT) -> Shop:
            settings = Settings(
                database_url=real.url,
                temporal_address=address,
                data_dir=tmp_path,
                rate_limit="off",
                redemption_timeout=timeout,
                database_pool_size=4,
            )
            url = stack.enter_context(serve(create_app(settings, PARTS if hosts else (event_flow,))))
            till = Till(new_tenant(real, url))
            stack.callback(till.api.http.close)
            till.credit("USD", "100.00")
            return Shop(till, settings, real)

        yield start


class TestTemporalIsAway:
    def test_unreachable(self, open_shop: Callable[..., Shop]) -> None:
        shop = open_shop("127.0.0.1:1")
        shop.require_refused(shop.send("30.00"))
        shop.require_refused(shop.send("30.00", idempotency_key="k"))
        # what needs no flow is answered as always, and at once
        refused, seconds = shop.send("100.01")
        assert (refused.status_code, seconds < TIMEOUT) == (422, True)
        shop.require_untouched()

    def test_a_crowd_gets_its_answers_in_time(self, open_shop: Callable[..., Shop], tmp_path: Path) -> None:
        """More than have a turn at the same moment, who don't come all at once; nobody waits for those before and then again."""
        with EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal:
            shop = open_shop(temporal.address, timeout=CROWD_TIMEOUT)
            poll(lambda: shop.send("1.00")[0].status_code == 201, 30)
            server = temporal.pid
            os.kill(server, signal.SIGSTOP)
            try:
                with ThreadPoolExecutor(CROWD) as pool:
                    waiting = [pool.submit(self._late, shop, number) for number in range(CROWD)]
                    answers = [answer.result() for answer in waiting]
            finally:
                os.kill(server, signal.SIGCONT)
            # who were allowed twice the time would need more than half again as much
            assert [answer.status_code for answer, _ in answers] == [503] * CROWD
            assert max(seconds for _, seconds in answers) < 1.5 * CROWD_TIMEOUT
            for _ in range(10):
                assert shop.till.available() == "99.00"
                time.sleep(0.1)
            assert shop.till.actions() == ["CREDIT", "REDEMPTION"]
            shop.till.require_sound(shop.database)

    @staticmethod
    def _late(shop: Shop, number: int) -> tuple[httpx.Response, float]:
        time.sleep(number * 0.25 * CROWD_TIMEOUT / CROWD)
        return shop.send("1.00", idempotency_key=f"late-{number}")

    def test_frozen_then_thawed(self, open_shop: Callable[..., Shop], tmp_path: Path) -> None:
        with EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal:
            shop = open_shop(temporal.address)
            poll(lambda: shop.send("1.00", idempotency_key="first")[0].status_code in (200, 201), 30)
            made = self._only(shop)
            server = temporal.pid
            os.kill(server, signal.SIGSTOP)
            try:
                for key in (None, "k"):
                    shop.require_refused(shop.send("30.00", idempotency_key=key))
                assert shop.till.reverse(made, status=503)["code"] == "service_unavailable"
                replayed, _ = shop.send("1.00", idempotency_key="first")
                assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (200, "true")
            finally:
                os.kill(server, signal.SIGCONT)
            for _ in range(20):
                assert shop.till.available() == "99.00"
                time.sleep(0.1)
            assert shop.till.found(made) == made
            done = poll(lambda: self._when_made(shop), 20)
            assert done.status_code == 201
            assert shop.till.available() == "69.00"
            shop.till.reverse(made)
            shop.till.require_sound(shop.database)

    @staticmethod
    def _only(shop: Shop) -> dict[str, Any]:
        [made] = shop.till.api.get(shop.till.path())["data"]
        return dict(made)

    @staticmethod
    def _when_made(shop: Shop) -> httpx.Response | None:
        answer, _ = shop.send("30.00", idempotency_key="k")
        return answer if answer.status_code in (200, 201) else None


class TestWorkersAreAway:
    def test_a_worker_that_comes_too_late_does_nothing(
        self, open_shop: Callable[..., Shop], quiet: EmbeddedTemporal, loop: LoopThread
    ) -> None:
        shop = open_shop(quiet.address, hosts=False)
        self._prepare(shop, loop)
        shop.require_refused(shop.send("30.00"))
        shop.require_refused(shop.send("30.00", idempotency_key="k"))
        with self._worker(shop, loop):
            shop.require_untouched(1.5)
            answer, _ = shop.send("30.00", idempotency_key="k")
            assert answer.status_code == 201
            assert shop.till.available() == "70.00"

    @pytest.mark.parametrize(("moment", "expected"), [("before", 503), ("after", 201)])
    def test_killed_at_the_commit_without_another_worker(
        self,
        open_shop: Callable[..., Shop],
        quiet: EmbeddedTemporal,
        loop: LoopThread,
        moment: str,
        expected: int,
    ) -> None:
        shop = open_shop(quiet.address, hosts=False, timeout=6.0)
        self._prepare(shop, loop)
        with self._dying(shop, moment) as (answering, dying):
            assert dying.wait(30) == -signal.SIGKILL
            response, seconds = answering.result(30)
            assert response.status_code == expected, response.text
            assert seconds < 7.0
        assert shop.till.available() == ("70.00" if moment == "after" else "100.00")
        with self._worker(shop, loop):
            # the flow goes on, and finds that it was done, or that its time is over
            again, _ = shop.send("30.00", idempotency_key="k")
            assert again.status_code == (200 if moment == "after" else 201)
        assert shop.till.available() == "70.00"
        assert shop.till.actions() == ["CREDIT", "REDEMPTION"]
        shop.till.require_sound(shop.database)

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_killed_at_the_commit_with_another_worker(
        self, open_shop: Callable[..., Shop], quiet: EmbeddedTemporal, loop: LoopThread, moment: str
    ) -> None:
        shop = open_shop(quiet.address, hosts=False, timeout=15.0)
        self._prepare(shop, loop)
        with self._dying(shop, moment) as (answering, dying):
            assert dying.wait(30) == -signal.SIGKILL
            with self._worker(shop, loop):
                response, seconds = answering.result(30)
                assert (response.status_code, seconds < 15.0) == (201, True)
        made = response.json()
        assert shop.till.available() == "70.00"
        with self._dying(shop, moment, made) as (answering, dying):
            assert dying.wait(30) == -signal.SIGKILL
            with self._worker(shop, loop):
                response, seconds = answering.result(30)
                assert (response.status_code, seconds < 15.0) == (201, True)
                shop.till.reverse(made, status=422)
        assert shop.till.available() == "100.00"
        assert shop.till.actions() == ["CREDIT", "REDEMPTION", "REDEMPTION_REVERSAL"]
        shop.till.require_sound(shop.database)

    @staticmethod
    def _prepare(shop: Shop, loop: LoopThread) -> None:
        """Nobody but a worker registers search attributes; what killed workers look for isn't there yet."""

        async def register() -> None:
            await ensure_search_attributes(await connect(shop.settings))

        loop.run(register())

    @staticmethod
    @contextlib.contextmanager
    def _worker(shop: Shop, loop: LoopThread) -> Iterator[None]:
        executor = ThreadPoolExecutor(REDEMPTIONS_AT_ONCE)

        async def start() -> Any:
            running = redemption_worker(await connect(shop.settings), RedemptionActivities(shop.database).all, executor)
            await running.__aenter__()
            return running

        running = loop.run(start())
        try:
            yield
        finally:
            loop.run(running.__aexit__(None, None, None))
            executor.shutdown()

    @staticmethod
    @contextlib.contextmanager
    def _dying(
        shop: Shop, moment: str, made: dict[str, Any] | None = None
    ) -> Iterator[tuple["Future[Any]", "subprocess.Popen[bytes]"]]:
        """A redemption under way, or the reversal of one that was made, and the worker that dies over it."""
        environment = {
            **os.environ,
            "OPENSCRIP_DATABASE_URL": shop.database.url,
            "OPENSCRIP_TEMPORAL_ADDRESS": shop.settings.temporal_target,
        }
        argv = [sys.executable, "-m", "tests.workflows.dying_worker", moment, str(shop.till.participant)]
        argv += [] if made is None else ["REDEMPTION_REVERSAL"]
        ask = partial(shop.send, "30.00") if made is None else partial(shop.send_back, made)
        with subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as dying, ThreadPoolExecutor(1) as pool:
            assert dying.stdout is not None
            assert dying.stdout.readline() == b"working\n"
            try:
                yield pool.submit(ask, idempotency_key="k"), dying
            finally:
                dying.kill()
