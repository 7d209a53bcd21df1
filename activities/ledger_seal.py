"""What sealing calls: look for unsealed entries for a while, and seal them page by page."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import structlog
from temporalio import activity

from activities.lanes import is_unreachable
from db.session import Database
from runtime.metrics import ENTRIES_SEALED
from services import sealing
from services.sealing import PAGE_ENTRIES, Horizon
from services.transactions import transact
from workflows.contracts_seal import SEAL_ACTIVITY, SealReport

log = structlog.get_logger(__name__)

# One call goes on for about this long, so that its flow renews its details.
SLICE_SECONDS = 10.0
# Between two looks when nothing is left: an entry is sealed at the look after the next one.
PAUSE_SECONDS = 0.3
BEAT_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SealActivities:
    """Seals the ledger, with the database of this worker; any number at once have the effect of one."""

    database: Database
    slice_seconds: float = SLICE_SECONDS

    @activity.defn(name=SEAL_ACTIVITY)
    async def seal_ledger(self) -> SealReport:
        """Seal what can't be overtaken any more, look again soon, and report after a while."""
        run = Sealer(self.database)
        deadline = time.monotonic() + self.slice_seconds
        while time.monotonic() < deadline and not activity.is_worker_shutdown():
            if not await _beating(run.round):
                await asyncio.sleep(PAUSE_SECONDS)
        return await _beating(run.finish)


async def _beating(work: Callable[[], T]) -> T:
    """Work on a thread, and heartbeat meanwhile: a round over many organizations may take long."""
    task = asyncio.create_task(asyncio.to_thread(work))
    activity.heartbeat()
    while not task.done():
        await asyncio.wait({task}, timeout=BEAT_SECONDS)
        activity.heartbeat()
    return task.result()


@dataclass(slots=True)
class Sealer:
    """Rounds over the organizations that have unsealed entries, a page of each; `report` is what they did."""

    database: Database
    horizon: Horizon = field(default_factory=Horizon)
    report: SealReport = field(default_factory=SealReport)

    def round(self) -> bool:
        """Seal a page of each organization; whether some of them may have more."""
        waiting = transact(self.database, sealing.waiting_organizations)
        until = transact(self.database, self.horizon.look) if waiting else None
        return until is not None and self._seal(until, waiting)

    def finish(self) -> SealReport:
        """The report, with what is left."""
        backlog = transact(self.database, sealing.backlog)
        update = {"unsealed": backlog.entries, "lag_seconds": backlog.oldest_seconds, "finished_at": datetime.now(UTC)}
        return self.report.model_copy(update=update)

    def _seal(self, until: datetime, organizations: Iterable[UUID]) -> bool:
        more = False
        for organization_id in organizations:
            sealed = self._page(organization_id, until)
            more = more or sealed == PAGE_ENTRIES
            self.report.entries += sealed
            self.report.pages += 1 if sealed else 0
            ENTRIES_SEALED.inc(sealed)
        return more

    def _page(self, organization_id: UUID, until: datetime) -> int:
        try:
            return transact(self.database, lambda session: sealing.seal_page(session, organization_id, until))
        except Exception as error:
            if is_unreachable(error):
                raise
            # the others' entries don't wait for it; the metrics and the integrity report show that it does
            log.exception("sealing_failed", organization=str(organization_id), error=type(error).__name__)
            self.report.failed += 1
            return 0
