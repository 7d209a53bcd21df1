"""What redemptions and reversals call: one transaction each, which any number of runs do once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from temporalio import activity

from activities.refusals import refusals
from db.session import Database
from domain.ledger.redeem import LotPart
from domain.money import format_plain
from services import fulfillments, redemptions, reversals
from services.catalog import CatalogOrder
from services.idempotency import Outcome
from services.redemptions import Priced, Redeeming
from services.reversals import Reversing
from services.state import Author
from services.tickets import Ticket
from services.transactions import transact
from workflows.contracts_redemption import LotLine, RedemptionInput, RedemptionResult, ReversalInput

# An operator sees this many lots; the books have them all.
SHOWN_LOTS = 20


Told = Callable[[UUID, RedemptionResult], None]


@dataclass(frozen=True, slots=True)
class RedemptionActivities:
    """Redeems and reverses, with the database of this worker; `told`, if there is one, hears of it right after the commit.

    Nothing interrupts them, not even the loss of their task: an exception from outside, at any line, would break a connection
    in the middle of its protocol. Their statements end at the request's `valid_until` by themselves.
    """

    database: Database
    told: Told | None = None

    @activity.defn(no_thread_cancel_exception=True)
    def redeem(self, call: RedemptionInput) -> RedemptionResult:
        """Redeem; refusals are failures that aren't retried."""
        ticket = _ticket(call, call.redemption_id)
        wanted = Redeeming(call.participant_id, call.program_id, _what(call))
        with refusals():
            done = transact(self.database, lambda session: redemptions.carry_out(session, ticket, wanted, call.valid_until))
        return self._tell(ticket, _result(done.outcome, done.symbol, done.lots))

    @activity.defn(no_thread_cancel_exception=True)
    def reverse_redemption(self, call: ReversalInput) -> RedemptionResult:
        """Reverse; refusals are failures that aren't retried."""
        ticket = _ticket(call, call.reversal_id)
        wanted = Reversing(call.redemption_id, call.reason, call.amount, call.quantity)
        with refusals():
            # A deadline that has passed comes first, and stays when this is refused for it.
            transact(self.database, lambda session: fulfillments.expire(session, call.organization_id, call.redemption_id))
            done = transact(self.database, lambda session: reversals.carry_out(session, ticket, wanted, call.valid_until))
        return self._tell(ticket, _result(done.outcome, done.symbol, done.lots, done.redemption))

    def _tell(self, ticket: Ticket, result: RedemptionResult) -> RedemptionResult:
        if self.told is not None:
            self.told(ticket.id, result)
        return result

    @property
    def all(self) -> Sequence[Any]:
        """Both, for a worker."""
        return (self.redeem, self.reverse_redemption)


def _what(call: RedemptionInput) -> Priced | CatalogOrder:
    if call.reward_id is not None:
        ids = (call.organization_id, call.program_id, call.reward_id)
        return CatalogOrder(*ids, call.quantity, call.amount, call.description)
    assert call.asset_id is not None, "without a reward there is an asset"
    assert call.amount is not None, "and an amount"
    return Priced(call.asset_id, call.amount, call.description or "")


def _ticket(call: RedemptionInput | ReversalInput, id_: UUID) -> Ticket:
    author = Author(call.organization_id, call.api_key_id)
    return Ticket(author, id_, call.idempotency_key, bytes.fromhex(call.fingerprint))


def _result(outcome: Outcome, symbol: str, lots: Sequence[LotPart], redemption: dict[str, Any] | None = None) -> RedemptionResult:
    return RedemptionResult(
        answer=outcome.body,
        is_replay=outcome.is_replay,
        symbol=symbol,
        lots=_lines(lots),
        lot_count=len(lots),
        redemption=redemption,
    )


def _lines(parts: Sequence[LotPart]) -> list[LotLine]:
    return [LotLine(lot_id=part.lot_id, amount=format_plain(part.amount)) for part in parts[:SHOWN_LOTS]]
