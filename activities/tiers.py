"""What flows of tiers call, and starting these flows from a worker."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.lanes import is_unreachable
from db.repositories import event_queue as queue
from db.session import Database
from services import tier_renewals, tier_steps
from services.tier_steps import PAGE, FoundTier, TierKey
from services.transactions import transact
from workflows.contracts_tiers import TierRetentionInput, TierRetentionReport, TierState
from workflows.signals import RPCError, start_tier_retention

log = structlog.get_logger(__name__)

# One call works for about this long, so that its flow renews its details and a stopping worker can wait for it.
SLICE_SECONDS = 3.0
# Pauses between pages while events wait, as a share of the last page's time, and at most.
REST = 1.0
MOST_REST_SECONDS = 0.5
# Flows that one pass of the reconciliation makes sure of, others at every pass.
A_PASS = 500


@dataclass(frozen=True, slots=True)
class TierActivities:
    """Looks after single tiers, with the database of this worker."""

    database: Database

    @activity.defn(no_thread_cancel_exception=True)
    def attend_tier(self, tier_id: UUID) -> TierRetentionReport:
        """Carry out what is due for the tier's holders, longest due first, until nothing is or the slice of time is over."""
        found = transact(self.database, lambda session: tier_steps.find_tier(session, tier_id))
        if found is None:
            raise ApplicationError(f"there is no tier {tier_id}", type="TierNotFound", non_retryable=True)
        deadline, more = time.monotonic() + SLICE_SECONDS, True
        if not found.is_active:
            return self._stop(found, deadline)
        run = _Pass(self.database, found.tier, TierRetentionReport(key=found.key))
        while more and time.monotonic() < deadline and not activity.is_worker_shutdown():
            began = time.monotonic()
            more = run.page()
            activity.heartbeat(run.report.holders)
            if more:
                self._give_way(time.monotonic() - began)
        ahead = transact(self.database, lambda session: tier_steps.next_of(session, tier_id, run.failed))
        is_new = transact(self.database, lambda session: tier_renewals.is_under_way(session, tier_id))
        update = {"failed": len(run.failed), "more": more, "next_in_seconds": ahead.in_seconds, "next_at": ahead.at}
        return run.report.model_copy(update=update | {"is_new": is_new})

    def _stop(self, found: FoundTier, deadline: float) -> TierRetentionReport:
        """Clear what an archived tier has left, page by page; the tier counts as ARCHIVED when that is done."""
        more = True
        while more and time.monotonic() < deadline and not activity.is_worker_shutdown():
            more = transact(self.database, lambda session: tier_steps.stop(session, found.tier.id))
            activity.heartbeat()
        return TierRetentionReport(state=TierState.ACTIVE if more else TierState.ARCHIVED, key=found.key, more=more)

    def _give_way(self, seconds: float) -> None:
        """While events wait, rest as long as the last page took: they share the processors and this process's interpreter."""
        with self.database.connection() as conn:
            waiting = queue.total_backlog(conn, 1)
        if waiting:
            time.sleep(min(seconds * REST, MOST_REST_SECONDS))


@dataclass(slots=True)
class _Pass:
    """Pages of a tier's holders that must be renewed, and of those that are due; those `failed` are left for later."""

    database: Database
    tier: TierKey
    report: TierRetentionReport
    failed: set[UUID] = field(default_factory=set)
    renews: bool = True

    def page(self) -> bool:
        """Do one page; False when nothing is due."""
        if self.renews:
            self.renews = self._renew()
            return True
        due = transact(self.database, lambda session: tier_steps.holders_due(session, self.tier.id, PAGE, self.failed))
        if due:
            self._settle(due)
        return bool(due)

    def _renew(self) -> bool:
        """Do one page of the renewal; False when a pass is over, or none has to be made now."""
        page = transact(self.database, lambda session: tier_renewals.next_page(session, self.tier.id))
        if page is None:
            return False
        visited = self.report.holders
        for part in page.parts:
            self._settle(part)
            activity.heartbeat(self.report.holders)
        self.report.renewed += self.report.holders - visited
        self.report.holders = visited
        transact(self.database, lambda session: tier_renewals.note(session, page, is_complete=not self.failed))
        return not page.is_last

    def _settle(self, holder_ids: list[UUID]) -> None:
        """One page in one transaction; when it fails, halves of it, until the culprit stands alone and is left for later."""
        organization_id = self.tier.organization_id
        try:
            steps = transact(self.database, lambda session: tier_steps.settle_all(session, organization_id, holder_ids))
        except Exception as error:
            if is_unreachable(error):
                raise
            if len(holder_ids) == 1:
                log.warning("tier_steps_failed", holder=str(holder_ids[0]), error=type(error).__name__, exc_info=True)
                self.failed.update(holder_ids)
                return
            middle = len(holder_ids) // 2
            self._settle(holder_ids[:middle])
            self._settle(holder_ids[middle:])
        else:
            self.report.holders += steps.holders
            self.report.levels += steps.levels
            self.report.counters += steps.counters
            self.report.pages += 1


def tier_input(tier: TierKey) -> TierRetentionInput:
    """The start of a tier's flow."""
    return TierRetentionInput(tier_id=tier.id, organization_id=tier.organization_id, program_id=tier.program_id)


async def start_tiers(client: Client, wanted: Collection[TierKey], *, wake: bool) -> int:
    """Make sure that these flows run, and with `wake` that they look; gives how many do. A later pass finds the others."""
    started = 0
    for tier in wanted:
        try:
            await start_tier_retention(client, tier_input(tier), wake=wake)
        except RPCError as error:
            log.warning("tier_flow_failed", tier=str(tier.id), error=str(error))
        else:
            started += 1
    return started


async def reconcile_tiers(database: Database, client: Client) -> tuple[int, int]:
    """Wake the flows of tiers with something due and start some of the others where they don't run.

    Returns how many were looked at, and how many of them couldn't be.
    """
    due, some = await asyncio.to_thread(transact, database, lambda session: tier_steps.in_need_of_flow(session, A_PASS))
    started = await start_tiers(client, due, wake=True) + await start_tiers(client, some, wake=False)
    return len(due) + len(some), len(due) + len(some) - started
