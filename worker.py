"""The Temporal worker process: composition root. Run it as `python worker.py`; as many as you like, on any machine."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from activities.automation_flows import AutomationActivities
from activities.automations import FanOutActivities, ScheduledActivities
from activities.books import BooksActivities
from activities.clock import ClockActivities
from activities.due import DueActivities, HoldActivities, ReconcileActivities
from activities.expiry_notices import NoticeActivities
from activities.fulfillments import FulfillmentActivities
from activities.keeping import Keeper
from activities.lanes import LaneActivities, SweepActivities
from activities.ledger_seal import SealActivities
from activities.redemptions import RedemptionActivities
from activities.sampling import keep_sampling
from activities.subscriptions import SubscriptionActivities
from activities.tiers import TierActivities
from activities.waking import FlowWaker
from activities.webhook_deliveries import DeliveryActivities
from activities.webhook_sender import Sender, open_sender
from activities.webhooks import FulfillmentSender, WebhookActivities
from db.reach import await_database
from db.session import Database
from runtime.log import configure_logging, warn_without_secret_key
from runtime.metrics import serve_metrics
from runtime.processes import ServiceError
from runtime.settings import Settings, SettingsError, get_settings
from runtime.temporal import connect, deployment_config, sandbox_runner
from runtime.tracing import tracing
from services.clock import require_own_time
from services.deployment import deployed_lanes
from workflows.automation import AutomationWorkflow
from workflows.automation_run import AutomationRunWorkflow
from workflows.clock import ClockWorkflow
from workflows.contracts import DELIVERY_QUEUE, LEDGER_QUEUE, WEBHOOK_QUEUE
from workflows.due_work import DueWorkWorkflow
from workflows.event_lane import EventLaneWorkflow
from workflows.fulfillment import FulfillmentWorkflow
from workflows.hold import HoldWorkflow
from workflows.hosting import REDEMPTIONS_AT_ONCE, redemption_worker
from workflows.lane_sweep import LaneSweepWorkflow
from workflows.ledger_seal import LedgerSealWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.tier_retention import TierRetentionWorkflow
from workflows.webhook_endpoint import WebhookEndpointWorkflow
from workflows.webhook_retry import WebhookRetryWorkflow
from workflows.webhook_signals import WebhookWaker

log = structlog.get_logger(__name__)

# A killed worker's sticky tasks go to the others after this long.
STICKY_TIMEOUT = timedelta(seconds=2)
GRACE = timedelta(seconds=10)
# Draining is Python's work: a second one fills the pauses in which the first waits for the database, more would only take
# turns at the interpreter and make smaller batches.
DRAINS_AT_ONCE = 2
# Endpoints that are sent to at once; each waits for its receivers, and for nobody else's.
ENDPOINTS_AT_ONCE = 500
# Webhooks are waited for, mostly: many threads, which seldom need the database and never while they wait.
WEBHOOKS_AT_ONCE = 64
WEBHOOK_CONNECTIONS = 4


def activity_slots(settings: Settings) -> int:
    """As many as the pool has connections, and one for sealing: it is always under way, and needs a connection only at times."""
    return settings.database_pool_size + 1


def build_worker(
    client: Client, database: Database, settings: Settings, lanes: int, executor: ThreadPoolExecutor, deliveries: Sender
) -> Worker:
    """The worker of the ledger queue, made on its loop: lanes, due moments, fan-outs, schedules' flows, and what they call."""
    waker = FlowWaker(client)
    sender = FulfillmentSender(database, settings)
    lane = LaneActivities(database, waker.wake_due_work, waker.wake_hold)
    clock = ClockActivities(database, client, lanes, sender, deliveries)
    sweep = SweepActivities(database, client, lanes, settings.sweep_seconds)
    fan_out = FanOutActivities(database, client, lanes)
    automation = AutomationActivities(database, client, lanes)
    return Worker(
        client,
        task_queue=LEDGER_QUEUE,
        workflows=[
            EventLaneWorkflow,
            LaneSweepWorkflow,
            DueWorkWorkflow,
            HoldWorkflow,
            AutomationWorkflow,
            AutomationRunWorkflow,
            ReconcileWorkflow,
            FulfillmentWorkflow,
            TierRetentionWorkflow,
            LedgerSealWorkflow,
            ClockWorkflow,
        ],
        activities=[
            lane.drain_lane,
            sweep.sweep_lanes,
            DueActivities(database).post_due,
            ScheduledActivities(database, client, lanes).fire_due_events,
            NoticeActivities(database).announce_expiry,
            fan_out.run_fan_out,
            fan_out.cancel_fan_out,
            automation.attend_automation,
            automation.command_automation,
            SubscriptionActivities(database, client, lanes).attend_subscriptions,
            HoldActivities(database).attend_hold,
            FulfillmentActivities(database).attend_fulfillment,
            TierActivities(database).attend_tier,
            SealActivities(database).seal_ledger,
            ReconcileActivities(database, client, sweep).reconcile_flows,
            BooksActivities(database).check_books,
            clock.move_clock,
            clock.wake_sleepers,
        ],
        activity_executor=executor,
        max_concurrent_activities=activity_slots(settings),
        max_concurrent_local_activities=DRAINS_AT_ONCE,
        workflow_runner=sandbox_runner(),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment_config(settings),
    )


def webhook_worker(client: Client, database: Database, settings: Settings, executor: ThreadPoolExecutor) -> Worker:
    """The worker of the webhooks' queue: receivers that are slow hold up each other at most."""
    return Worker(
        client,
        task_queue=WEBHOOK_QUEUE,
        activities=[WebhookActivities(FulfillmentSender(database, settings)).attempt_fulfillment],
        activity_executor=executor,
        max_concurrent_activities=WEBHOOKS_AT_ONCE,
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment_config(settings),
    )


def delivery_worker(client: Client, sender: Sender, settings: Settings) -> Worker:
    """The worker of the queue of messages: endpoints have slots of their own, whatever fulfilments wait for."""
    deliveries = DeliveryActivities(sender)
    return Worker(
        client,
        task_queue=DELIVERY_QUEUE,
        workflows=[WebhookEndpointWorkflow, WebhookRetryWorkflow],
        activities=[deliveries.send_deliveries, deliveries.attempt_delivery],
        max_concurrent_activities=ENDPOINTS_AT_ONCE,
        workflow_runner=sandbox_runner(),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=GRACE,
        deployment_config=deployment_config(settings),
    )


@contextlib.asynccontextmanager
async def keeping(settings: Settings, database: Database, keeper: Keeper) -> AsyncIterator[None]:
    """Look after Temporal's store, and sample what waits for the metrics, where they are served."""
    tasks = [asyncio.create_task(keeper.keep())]
    if settings.worker_metrics_port:
        tasks.append(asyncio.create_task(keep_sampling(database)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Work until `stopping` is set, then let running activities finish."""
    database = Database(settings.require_database_url(), pool_size=settings.database_pool_size + REDEMPTIONS_AT_ONCE).watched(
        "activities"
    )
    await asyncio.to_thread(await_database, database)
    lanes = await asyncio.to_thread(deployed_lanes, database)
    await asyncio.to_thread(require_own_time, database, may_be_moved=settings.test_clock)
    client = await connect(settings)
    keeper = Keeper(database, client, timedelta(seconds=settings.sweep_seconds))
    await keeper.prepare()
    waker = WebhookWaker(client)
    database.after_commit = waker.note
    with (
        contextlib.closing(database),
        open_sender(settings, waker.tell) as deliveries,
        contextlib.closing(
            Database(settings.require_database_url(), pool_size=WEBHOOK_CONNECTIONS).watched("webhooks")
        ) as outward,
        ThreadPoolExecutor(WEBHOOKS_AT_ONCE, "webhook") as callers,
        ThreadPoolExecutor(activity_slots(settings), "activity") as executor,
        ThreadPoolExecutor(REDEMPTIONS_AT_ONCE, "redemption") as redeemers,
    ):
        redemptions = redemption_worker(client, RedemptionActivities(database).all, redeemers, deployment_config(settings))
        outward.after_commit = waker.note
        webhooks = webhook_worker(client, outward, settings, callers)
        ledger = build_worker(client, database, settings, lanes, executor, deliveries)
        async with ledger, redemptions, webhooks, delivery_worker(client, deliveries, settings):
            log.info("worker_started", lanes=lanes, temporal=settings.temporal_target)
            async with keeping(settings, database, keeper):
                await stopping.wait()
            log.info("worker_stopping")
        await waker.close()


async def main() -> None:
    """Run until SIGINT or SIGTERM."""
    settings = get_settings()
    configure_logging(settings)
    warn_without_secret_key(settings)
    serve_metrics(settings)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with tracing(settings, "openscrip-worker"):
        await run(settings, stopping)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (ServiceError, SettingsError) as error:
        sys.exit(f"openscrip: {error}")
