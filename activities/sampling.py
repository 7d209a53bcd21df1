"""Gauges of what waits in the database: sampled by each worker that serves metrics, so that a scrape waits for nothing."""

import asyncio
import math

import structlog

from db.repositories import backlog
from db.session import Database
from runtime.metrics import (
    LANE_BACKLOG,
    LANE_OLDEST_SECONDS,
    SEALING_LAG_SECONDS,
    UNSEALED_ENTRIES,
    WEBHOOK_ENDPOINTS_BLOCKED,
    WEBHOOK_OLDEST_SECONDS,
)

log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 5.0
COUNTED = 10_000


async def keep_sampling(database: Database) -> None:
    """Sample until cancelled; while the database can't be asked the gauges are NaN."""
    while True:
        try:
            await asyncio.to_thread(sample, database)
        except Exception as error:  # noqa: BLE001 - the metrics show it, and work goes on
            log.warning("sampling_failed", error=type(error).__name__)
            forget()
        await asyncio.sleep(SAMPLE_SECONDS)


def sample(database: Database) -> None:
    """Set the gauges to what waits now."""
    with database.connection() as conn:
        lanes, deliveries = backlog.lanes(conn, COUNTED), backlog.deliveries(conn)
        seals = backlog.seals(conn, COUNTED)
    for each in lanes:
        LANE_BACKLOG.labels(str(each.lane)).set(each.events)
        LANE_OLDEST_SECONDS.labels(str(each.lane)).set(each.oldest_seconds)
    UNSEALED_ENTRIES.set(seals.entries)
    SEALING_LAG_SECONDS.set(seals.oldest_seconds)
    WEBHOOK_OLDEST_SECONDS.set(deliveries.oldest_seconds)
    for reason, count in deliveries.blocked.items():
        WEBHOOK_ENDPOINTS_BLOCKED.labels(reason).set(count)


def forget() -> None:
    """Leave no gauge at what was true once."""
    LANE_BACKLOG.clear()
    LANE_OLDEST_SECONDS.clear()
    WEBHOOK_ENDPOINTS_BLOCKED.clear()
    for gauge in (WEBHOOK_OLDEST_SECONDS, SEALING_LAG_SECONDS, UNSEALED_ENTRIES):
        gauge.set(math.nan)
