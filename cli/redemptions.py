"""The API's own worker of redemptions: a flow that a request starts runs in the same process, without a detour."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from activities.redemptions import RedemptionActivities
from api.redemptions import Redeemer
from db.session import Database
from runtime.settings import Settings
from runtime.temporal import deployment_config, ensure_search_attributes
from workflows.hosting import REDEMPTIONS_AT_ONCE, redemption_worker

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0


@asynccontextmanager
async def hosted_redemptions(app: FastAPI) -> AsyncIterator[None]:
    """A part of the API: serve the redemptions' queue, as soon as Temporal is there, with connections of its own."""
    settings: Settings = app.state.settings
    redeemer: Redeemer = app.state.redeemer
    with (
        contextlib.closing(
            Database(settings.require_database_url(), pool_size=REDEMPTIONS_AT_ONCE).watched("redemptions")
        ) as database,
        ThreadPoolExecutor(REDEMPTIONS_AT_ONCE, "redemption") as executor,
    ):
        # what is committed here wakes the same flows as what requests commit
        database.after_commit = app.state.database.after_commit
        working = asyncio.create_task(_work(settings, redeemer, database, executor))
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _work(settings: Settings, redeemer: Redeemer, database: Database, executor: ThreadPoolExecutor) -> None:
    client = await redeemer.client()
    await ensure_search_attributes(client)
    while True:
        try:
            activities = RedemptionActivities(database, redeemer.tell).all
            await redemption_worker(client, activities, executor, deployment_config(settings)).run()
        except Exception as error:
            # the workers of other processes go on
            log.exception("redemption_worker_failed", error=type(error).__name__)
            await asyncio.sleep(RESTART_SECONDS)
