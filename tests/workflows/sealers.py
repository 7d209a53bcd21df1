"""A worker whose sealing is a script: the flow is the product's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client

from activities.ledger_seal import SealActivities
from tests.workflows.workers import serving
from workflows.contracts_seal import SEAL_ACTIVITY, SealReport
from workflows.ledger_seal import LedgerSealWorkflow

MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def sealed(entries: int = 0, **fields: object) -> SealReport:
    """What a pass sealed."""
    return SealReport.model_validate({"entries": entries, "pages": min(entries, 1), "finished_at": MOMENT, **fields})


class Script:
    """Stands for the database: one report for each pass, and after the last one a pass that takes for ever."""

    def __init__(self, reports: Sequence[SealReport], *, is_endless: bool = False) -> None:
        self._reports = list(reports)
        self._is_endless = is_endless
        self.passes = 0

    @activity.defn(name=SEAL_ACTIVITY)
    async def seal_ledger(self) -> SealReport:
        self.passes += 1
        if self.passes <= len(self._reports):
            return self._reports[self.passes - 1]
        if not self._is_endless:
            while True:
                activity.heartbeat()
                await asyncio.sleep(0.5)
        return self._reports[-1]


@contextlib.asynccontextmanager
async def working(client: Client, script: Script | SealActivities, grace: timedelta = timedelta(0)) -> AsyncIterator[str]:
    """A worker that answers by the script; gives the name of its queue. A pass that goes on is ended after `grace`."""
    async with serving(client, "sealers", [LedgerSealWorkflow], [script.seal_ledger], grace) as queue:
        yield queue
