"""Sending what waits: to one endpoint, a few at once and in order; and to all of them, when the test clock comes to a moment."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from activities.webhook_room import SLOW_SECONDS
from activities.webhook_sender import Sender
from domain.webhook_attempts import Answer, Delivery
from domain.webhook_health import MOST_AT_ONCE
from services import webhook_sending as sending
from services.transactions import transact
from services.webhook_sending import Claimed, EndpointKey, Result, Turn
from workflows.contracts_webhooks import EndpointInput, RetryInput, SendReport

log = structlog.get_logger(__name__)

# While attempts are under way, new messages are looked for this often.
LOOK_SECONDS = 0.25
# Answers that come within this long of each other are marked by one transaction; longer when nothing else waits to be sent.
LINGER_SECONDS = 0.003
CALM_SECONDS = 0.02
# Others send as much as the endpoint may be sent at once.
HELD_UP_SECONDS = 0.5
SHOWN_PENDING = 1000
# When the test clock comes to a moment.
ENDPOINTS_AT_ONCE = 20
OTHERS_SECONDS = 0.05
ROUND_SECONDS = 1.0


async def send_waiting(
    sender: Sender,
    endpoint: EndpointInput,
    beat: Callable[[], None],
    is_over: Callable[[], bool],
    looks_again: Sequence[float] = (),
) -> SendReport:
    """Send what waits for an endpoint until nothing does or it is over; then what is under way is waited for.

    When something was sent, it looks again for more after each of the seconds in `looks_again`.
    """
    return await _Run(sender, endpoint, beat, is_over, looks_again).run()


@dataclass(slots=True)
class _Run:
    """One call's sending to one endpoint; of what is under way, when it began."""

    sender: Sender
    endpoint: EndpointInput
    beat: Callable[[], None]
    is_over: Callable[[], bool]
    looks_again: Sequence[float]
    flights: dict[asyncio.Task[Answer], tuple[Claimed, float]] = field(default_factory=dict)
    report: SendReport = field(default_factory=lambda: SendReport(status=""))
    looks: int = 0
    is_quick: bool = False

    async def run(self) -> SendReport:
        results: list[Result] = []
        while True:
            is_over = self.is_over()
            turn = await self._turn(results, 0 if is_over else MOST_AT_ONCE - len(self.flights))
            self._note(turn)
            self.beat()
            if self.flights:
                results = await self._answers(is_behind=turn.is_behind)
            elif is_over or not (turn.more or await self._rests(turn)):
                return await self._finish(turn, more=is_over)
            else:
                results = []

    async def _turn(self, results: Sequence[Result], wanted: int) -> Turn:
        """Mark, claim and launch as much as there is room for."""
        room = self.sender.room
        taken = room.take(max(0, wanted), len(self.flights), is_quick=self.is_quick)
        launched = 0
        try:
            turn = await self.sender.turn(self.endpoint.endpoint_id, results, taken)
            if turn.claimed:
                await self._launch(turn)
            launched = len(turn.claimed)
        finally:
            # tests may be more than there was room for
            room.give(taken - launched)
        return turn

    async def _rests(self, turn: Turn) -> bool:
        """Sleep a while before another look for messages; False when it is time to end."""
        if turn.blocked or turn.is_held_up or not self.report.attempts or self.looks == len(self.looks_again):
            return False
        await asyncio.sleep(self.looks_again[self.looks])
        self.looks += 1
        return True

    async def _launch(self, turn: Turn) -> None:
        assert turn.secrets is not None, "what is claimed has an endpoint"
        secrets = await self.sender.unseal(self.endpoint.endpoint_id, turn)
        began, self.looks = time.monotonic(), 0
        for claimed in turn.claimed:
            flight = asyncio.create_task(self.sender.call(turn.secrets.url, secrets, claimed))
            flight.add_done_callback(lambda _: self.sender.room.give())
            self.flights[flight] = (claimed, began)

    async def _answers(self, *, is_behind: bool) -> list[Result]:
        """The answers that have come, in about the order in which they came; none when it is time to look for new messages."""
        done, waiting = await asyncio.wait(self.flights, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if done and not is_behind:
            await asyncio.sleep(CALM_SECONDS)
        elif done and waiting:
            await asyncio.sleep(LINGER_SECONDS)
        now, results = time.monotonic(), []
        for task in [task for task in self.flights if task.done()]:
            claimed, began = self.flights.pop(task)
            self.is_quick = now - began < SLOW_SECONDS
            results.append(Result(claimed, task.result()))
        if any(now - began >= SLOW_SECONDS for _, began in self.flights.values()):
            self.is_quick = False
        return results

    def _note(self, turn: Turn) -> None:
        report = self.report
        report.attempts += len(turn.outcomes)
        report.delivered += sum(each.outcome is Delivery.DELIVERED for each in turn.outcomes)
        report.failed += sum(each.status == "FAILED" for each in turn.outcomes)
        report.given_up += turn.given_up
        ids = (self.endpoint.endpoint_id, self.endpoint.organization_id)
        # the others have no flow, and need none
        self.sender.told(
            [
                RetryInput(delivery_id=each.claimed.key.id, endpoint_id=ids[0], organization_id=ids[1])
                for each in turn.outcomes
                if each.status == "PENDING" or each.claimed.attempt_count
            ]
        )

    async def _finish(self, turn: Turn, *, more: bool) -> SendReport:
        id_ = self.endpoint.endpoint_id
        report = self.report
        report.status = turn.status.value
        report.pending = await self.sender.transact(lambda session: sending.pending(session, id_, SHOWN_PENDING))
        report.blocked = None if turn.blocked is None else turn.blocked.value
        report.next_in_seconds = turn.blocked_seconds
        report.finished_at = datetime.now(UTC)
        if turn.blocked_seconds is not None:
            report.blocked_until = report.finished_at + timedelta(seconds=turn.blocked_seconds)
        elif turn.is_held_up:
            report.next_in_seconds = HELD_UP_SECONDS
        report.more = more and report.pending > 0
        return report


def send_all_due(sender: Sender, beat: Callable[[], None], go_on: Callable[[], None], failed: set[UUID]) -> None:
    """Send everything that may be sent now, and wait for what others send, but to endpoints that failed for a reason of ours.

    Such ones are added to `failed`. `beat` is called meanwhile; `go_on`, between rounds, may raise: then nothing is under way.
    """
    while transact(sender.database, lambda session: sending.is_anything_due(session, failed)):
        due = transact(sender.database, lambda session: sending.due_endpoints(session, ENDPOINTS_AT_ONCE, failed))
        failed.update(asyncio.run(_send_to(sender, due, beat)))
        go_on()
        if not due:
            time.sleep(OTHERS_SECONDS)


async def _send_to(sender: Sender, due: Sequence[EndpointKey], beat: Callable[[], None]) -> set[UUID]:
    """Send for a while; gives the endpoints that couldn't be sent to."""
    until = time.monotonic() + ROUND_SECONDS
    inputs = [EndpointInput(endpoint_id=key.endpoint_id, organization_id=key.organization_id) for key in due]
    sent = (send_waiting(sender, each, beat, lambda: time.monotonic() > until) for each in inputs)
    failed = set()
    for key, outcome in zip(due, await asyncio.gather(*sent, return_exceptions=True), strict=True):
        if isinstance(outcome, Exception):
            log.warning("webhook_sending_failed", endpoint=str(key.endpoint_id), error=str(outcome))
            failed.add(key.endpoint_id)
    return failed
