"""What the due work, holds and the reconciliation call: post what is due in short transactions, start missing flows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities import automation_flows, fulfillments
from activities.automation_flows import reconcile_automations
from activities.fulfillments import reconcile_fulfillments
from activities.lanes import SweepActivities, is_unreachable
from activities.tiers import reconcile_tiers
from activities.waking import start_runs
from activities.webhook_retries import reconcile_retries
from db.session import Database
from domain.money import format_amount
from runtime.metrics import DUE_ENTRIES, RECONCILE_FAILED, RECONCILE_FLOWS, RECONCILE_TIMESTAMP, RECONCILIATIONS
from services import due, fan_outs, holds
from services.fan_outs import FanOutKey
from services.holds import DatedHold, HoldRow
from services.transactions import transact
from workflows.contracts import DueKind, DueReport
from workflows.contracts_hold import HoldInput, HoldReport, HoldState
from workflows.contracts_reconcile import ReconcileReport
from workflows.policies import RECONCILE_HORIZON
from workflows.signals import RPCError, ensure_due_work, ensure_sealing, start_hold

log = structlog.get_logger(__name__)

# One call works for about this long, so that its flow renews its details and a stopping worker can wait for it.
SLICE_SECONDS = 3.0
# Accounts of one transaction: their holders are locked while it runs.
PAGE_ACCOUNTS = 50
# A pass isn't endless; the due work comes for the others.
HOLDS_A_PASS = 2000
RUNS_A_PASS = 500


@dataclass(frozen=True, slots=True)
class DueActivities:
    """Posts what is due, with the database of this worker; any number of runs have one effect."""

    database: Database

    @activity.defn(no_thread_cancel_exception=True)
    def post_due(self) -> DueReport:
        """Post what is due, longest due first, until nothing is or the slice of time is over."""
        deadline = time.monotonic() + SLICE_SECONDS
        run = _Pass(self.database)
        while time.monotonic() < deadline and not activity.is_worker_shutdown():
            if not run.page():
                return self._finish(run)
            activity.heartbeat(run.report.entries)
        return self._finish(run, more=True)

    def _finish(self, run: "_Pass", *, more: bool = False) -> DueReport:
        ahead = transact(self.database, lambda session: due.seconds_until_next(session, run.failed))
        update = {"failed": len(run.failed), "more": more, "next_in_seconds": ahead, "finished_at": datetime.now(UTC)}
        return run.report.model_copy(update=update)


def post_all_due(database: Database, until: datetime | None, beat: Callable[[], None]) -> None:
    """Post everything that is due now, or at a moment that has come, and dated so; `beat` is called after each page."""
    run = _Pass(database, until)
    while run.page():
        beat()


@dataclass(slots=True)
class _Pass:
    """Pages of due accounts, those that are due now or at the moment `until`; `failed` holders are left for later."""

    database: Database
    until: datetime | None = None
    report: DueReport = field(default_factory=DueReport)
    failed: set[UUID] = field(default_factory=set)

    def page(self) -> bool:
        """Post one page; False when nothing is due."""
        page = transact(self.database, lambda session: due.holders_due(session, PAGE_ACCOUNTS, self.failed, self.until))
        for organization_id, holder_ids in page.items():
            self._settle(organization_id, holder_ids)
        return bool(page)

    def _settle(self, organization_id: UUID, holder_ids: list[UUID]) -> None:
        """One page in one transaction; when it fails, halves of it, until the culprit stands alone and is left for later."""
        try:
            accounts, entries = transact(
                self.database, lambda session: due.settle_all(session, organization_id, holder_ids, self.until)
            )
        except Exception as error:
            if is_unreachable(error):
                raise
            if len(holder_ids) == 1:
                log.warning("due_failed", holder=str(holder_ids[0]), error=type(error).__name__, exc_info=True)
                self.failed.update(holder_ids)
                return
            middle = len(holder_ids) // 2
            self._settle(organization_id, holder_ids[:middle])
            self._settle(organization_id, holder_ids[middle:])
        else:
            self.report.accounts += accounts
            self.report.entries += entries
            self.report.pages += 1
            DUE_ENTRIES.inc(entries)


@dataclass(frozen=True, slots=True)
class HoldActivities:
    """Looks after single holds, with the database of this worker."""

    database: Database

    @activity.defn(no_thread_cancel_exception=True)
    def attend_hold(self, hold: HoldInput) -> HoldReport:
        """Release the hold's rest if its deadline has come, and say where it stands."""
        found = transact(self.database, lambda session: holds.attend(session, hold.organization_id, hold.hold_id))
        if found is None:
            raise ApplicationError(f"there is no hold {hold.hold_id}", type="HoldNotFound", non_retryable=True)
        return HoldReport(
            state=_state(found),
            amount=format_amount(found.amount, found.scale),
            remaining=format_amount(found.remaining, found.scale),
            symbol=found.symbol,
            reference_id=found.reference_id,
            expires_at=found.expires_at,
            deadline_in_seconds=found.until_deadline,
        )


def _state(hold: HoldRow) -> HoldState:
    if not hold.remaining:
        return HoldState.EXPIRED if hold.has_expired else HoldState.ENDED
    return HoldState.FROZEN if hold.is_archived else HoldState.OPEN


@dataclass(frozen=True, slots=True)
class ReconcileActivities:
    """The reconciliation, with the database and the Temporal client of this worker, and its sweep."""

    database: Database
    client: Client
    sweep: SweepActivities

    @activity.defn
    async def reconcile_flows(self) -> ReconcileReport:
        """Start the due work and sealing, and wake lanes and endpoints with something waiting; start the flows that ought to run.

        These are those of holds near their deadline, fan-outs, fulfilments, tiers, automations and failed deliveries.
        """
        for kind in DueKind:
            await ensure_due_work(self.client, kind)
        await ensure_sealing(self.client)
        swept = await self.sweep.sweep_lanes()
        runs = await asyncio.to_thread(self._fan_outs)
        failed = len(runs) - await start_runs(self.client, runs)
        ending = await asyncio.to_thread(self._ending)
        for hold in ending:
            wanted = HoldInput(hold_id=hold.id, organization_id=hold.organization_id, program_id=hold.program_id)
            try:
                # woken too: its timer is set by a clock that may have been moved since
                await start_hold(self.client, wanted, wake=True)
            except RPCError as error:
                # the due work releases it all the same
                log.warning("hold_flow_failed", hold=str(hold.id), error=str(error))
                failed += 1
        handed, stuck = await reconcile_fulfillments(self.database, self.client)
        tiers, unkept = await reconcile_tiers(self.database, self.client)
        kept, lost = await reconcile_automations(self.database, self.client)
        retries, untried = await reconcile_retries(self.database, self.client)
        return _counted(
            ReconcileReport(
                holds=len(ending),
                runs=len(runs),
                fulfillments=handed,
                tiers=tiers,
                automations=kept,
                retries=retries,
                lanes=len(swept.woken),
                endpoints=swept.endpoints,
                more=(handed >= fulfillments.A_PASS and not stuck) or (kept >= automation_flows.A_PASS and not lost),
                failed=failed + stuck + unkept + lost + untried,
            )
        )

    def _fan_outs(self) -> list[FanOutKey]:
        return transact(self.database, lambda session: fan_outs.runnable(session, RUNS_A_PASS))

    def _ending(self) -> list[DatedHold]:
        return transact(
            self.database, lambda session: holds.ending_soon(session, RECONCILE_HORIZON.total_seconds(), HOLDS_A_PASS)
        )


def _counted(report: ReconcileReport) -> ReconcileReport:
    """The report, added to the metrics."""
    for kind, count in report.model_dump(exclude={"failed", "more", "books"}).items():
        RECONCILE_FLOWS.labels(kind).inc(count)
    RECONCILE_FAILED.inc(report.failed)
    RECONCILIATIONS.inc()
    RECONCILE_TIMESTAMP.set_to_current_time()
    return report
