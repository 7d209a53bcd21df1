"""The API's side of the flows: a Temporal client, the wakers of lanes and webhooks, the ingest, the timers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from anyio import to_thread
from fastapi import FastAPI
from temporalio.client import Client

from api.clock import ClockMover
from api.ingest import EventIngest
from api.redemptions import Redeemer
from api.timers import Timers
from api.waker import LaneWaker
from db.session import Database
from runtime.settings import Settings
from runtime.temporal import connect
from services.clock import require_own_time
from services.deployment import deployed_lanes
from workflows.signals import wake_lane
from workflows.webhook_signals import WebhookWaker

HEALTH_TIMEOUT = timedelta(seconds=2)


@asynccontextmanager
async def event_flow(app: FastAPI) -> AsyncIterator[None]:
    """Serve events and redemptions: `ingest`, `waker`, `timers`, `clock` and `redeemer` of `app.state`.

    Temporal is connected to when it is first needed, so that events are accepted while it is away.
    """
    settings: Settings = app.state.settings
    database: Database = app.state.database
    lanes = await to_thread.run_sync(deployed_lanes, database)
    await to_thread.run_sync(partial(require_own_time, database, may_be_moved=settings.test_clock))
    client = await connect(settings, lazy=True)
    waker = LaneWaker(partial(_wake, client, lanes))
    ingest = EventIngest(database, waker, lanes)
    timers = app.state.timers = Timers(client)
    app.state.clock = ClockMover(client, database)
    redeemer = app.state.redeemer = Redeemer(settings, database)
    app.state.lanes, app.state.waker, app.state.ingest = lanes, waker, ingest
    webhooks = WebhookWaker(client)
    database.after_commit = webhooks.note
    app.state.readiness["temporal"] = partial(_is_reachable, client)
    try:
        yield
    finally:
        await ingest.close()
        await waker.close()
        database.after_commit = None
        await webhooks.close()
        await timers.close()
        await redeemer.close()


async def _wake(client: Client, lanes: int, lane: int) -> None:
    await wake_lane(client, lane, lanes)


async def _is_reachable(client: Client) -> bool:
    return await client.service_client.check_health(timeout=HEALTH_TIMEOUT)
