"""Workers for redemptions with scripted answers."""

import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from runtime.ids import new_id
from tests.workflows.workers import serving
from workflows.contracts_redemption import LotLine, RedemptionInput, RedemptionResult, ReversalInput
from workflows.redemption import RedemptionReversalWorkflow, RedemptionWorkflow

FLOWS = (RedemptionWorkflow, RedemptionReversalWorkflow)
LOT = UUID(int=77)
REFUSED = ApplicationError("available 5", {"available": "5"}, type="insufficient_balance", non_retryable=True)

Answer = RedemptionResult | Exception


def redeemed(**fields: Any) -> RedemptionResult:
    """A redemption of 30 MILES from one lot of many."""
    answer = {"id": str(new_id()), "amount": "30", "journal_entry_id": str(UUID(int=5))}
    usual = {"answer": answer, "symbol": "MILES", "lots": [LotLine(lot_id=LOT, amount="30")], "lot_count": 3}
    return RedemptionResult.model_validate({**usual, **fields})


def order(**fields: Any) -> RedemptionInput:
    """What the API would ask for."""
    usual = {
        "redemption_id": new_id(),
        "organization_id": UUID(int=1),
        "api_key_id": UUID(int=2),
        "program_id": UUID(int=3),
        "participant_id": UUID(int=4),
        "asset_id": UUID(int=5),
        "amount": Decimal(30),
        "description": "Till",
        "fingerprint": "00",
        "valid_until": datetime(2026, 1, 15, tzinfo=UTC),
    }
    return RedemptionInput.model_validate({**usual, **fields})


def return_of(redemption_id: UUID, **fields: Any) -> ReversalInput:
    """The same of a reversal."""
    usual = {
        "reversal_id": new_id(),
        "redemption_id": redemption_id,
        "organization_id": UUID(int=1),
        "api_key_id": UUID(int=2),
        "program_id": UUID(int=3),
        "reason": "returned",
        "fingerprint": "00",
        "valid_until": datetime(2026, 1, 15, tzinfo=UTC),
    }
    return ReversalInput.model_validate({**usual, **fields})


class Script:
    """Stands for the database: each call gets the next answer, or raises it."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Sequence[Answer] = answers
        self._lock = threading.Lock()
        self.calls = 0

    def _next(self) -> RedemptionResult:
        with self._lock:
            answer = self._answers[min(self.calls, len(self._answers) - 1)]
            self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    @activity.defn
    def redeem(self, _: RedemptionInput) -> RedemptionResult:
        return self._next()

    @activity.defn
    def reverse_redemption(self, _: ReversalInput) -> RedemptionResult:
        return self._next()


@contextlib.asynccontextmanager
async def working(client: Client, script: Script) -> AsyncIterator[str]:
    """A worker with these activities, in the sandbox; gives the name of its queue."""
    async with serving(client, "redeemers", FLOWS, [script.redeem, script.reverse_redemption]) as queue:
        yield queue
