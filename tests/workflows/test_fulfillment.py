"""A webhook's worker is killed between asking and counting: it is asked again, the same, and nothing happens twice."""

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import worker
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.cli.stack import ROOT
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.receiver import Reply, is_signed_by, receive
from tests.support.shop import Shop
from tests.support.stack import SECRET_KEY, Stack, poll, run_stack
from workflows import policies
from workflows.contracts import WEBHOOK_QUEUE


@contextlib.contextmanager
def webhook_worker(stack: Stack):
    """A worker of the webhooks' queue in this process."""
    executor = ThreadPoolExecutor(worker.WEBHOOKS_AT_ONCE)

    async def start():
        running = worker.webhook_worker(stack.client, stack.database, stack.settings, executor)
        await running.__aenter__()
        return running

    running = stack.loop.run(start())
    try:
        yield
    finally:
        stack.loop.run(running.__aexit__(None, None, None))
        executor.shutdown()


def die_asking(stack: Stack) -> "subprocess.Popen[bytes]":
    """A worker process of the webhooks' queue that kills itself when it has the first answer."""
    environment = {
        **os.environ,
        "OPENSCRIP_DATABASE_URL": stack.database.url,
        "OPENSCRIP_TEMPORAL_ADDRESS": stack.settings.temporal_target,
        "OPENSCRIP_SECRET_KEY": SECRET_KEY.get_secret_value(),
        "OPENSCRIP_WEBHOOK_ALLOW_PRIVATE": "1",
    }
    argv = [sys.executable, "-m", "tests.workflows.dying_worker", "asked"]
    return subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_between_asking_and_counting(postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # nobody in this process's own stack serves the queue; a worker that is silent is given up soon
    monkeypatch.setattr(worker, "WEBHOOK_QUEUE", "nobody-asks-here")
    monkeypatch.setattr(policies, "ATTEMPT_TIMEOUT", timedelta(seconds=4))
    with (
        EmbeddedTemporal(tmp_path / "temporal", headless=True, in_memory=True) as temporal,
        run_stack(make_database(postgres.dsn, "killed_asking"), temporal, tmp_path) as stack,
        receive(script=lambda _: Reply(422)) as receiver,
        die_asking(stack) as dying,
    ):
        assert dying.stdout is not None
        try:
            assert dying.stdout.readline() == b"working\n"
            shop = Shop(new_tenant(stack.database, stack.base_url))
            shop.credit("USD", "100.00")
            code, secret = shop.hooked(receiver.url)
            made = shop.take(code)
            assert dying.wait(60) == -signal.SIGKILL
        finally:
            dying.kill()
        assert len(receiver.received) == 1
        assert shop.found(made)["fulfillment_status"] == "PENDING"
        monkeypatch.setattr(worker, "WEBHOOK_QUEUE", WEBHOOK_QUEUE)
        with webhook_worker(stack):
            first, second = receiver.wait_for(2, 60)
            poll(lambda: shop.found(made)["fulfillment_status"] != "PENDING", 30)
        assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
        assert is_signed_by(second, secret)
        found = shop.found(made)
        assert (found["fulfillment_status"], found["status"]) == ("FAILED", "FULLY_REVERSED")
        assert len(shop.reversals(made)) == 1
        assert len(receiver.received) == 2
        shop.require_sound(stack.database)
        shop.api.http.close()
