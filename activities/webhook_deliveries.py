"""Sending messages to endpoints: one flow's call sends what waits for one endpoint, a few at once; another's one delivery."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag
from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.webhook_room import SLOW_SECONDS, Room
from db.session import Database
from domain.webhook_attempts import Answer, Delivery
from domain.webhook_health import MOST_AT_ONCE, BlockedReason
from domain.webhook_message import envelope, signed_headers
from domain.webhook_urls import UrlFlaw
from runtime.hosts import Lookup
from runtime.metrics import WEBHOOK_ATTEMPT_SECONDS, WEBHOOK_ATTEMPTS
from runtime.settings import Settings, SettingsError
from runtime.tracing import SpanKind, note, span
from runtime.webhook_client import WebhookClient
from runtime.webhook_secrets import WebhookSecrets
from services import webhook_sending as sending
from services.transactions import transact
from services.webhook_sending import Claimed, EndpointKey, Result, RetryKey, SealedSecrets, Standing, Turn
from services.webhook_targets import addresses_of
from workflows.contracts_webhooks import EndpointInput, RetryInput, RetryReport, SendReport
from workflows.policies import RECONCILE_HORIZON
from workflows.signals import RPCError
from workflows.webhook_signals import start_retry

log = structlog.get_logger(__name__)

# One call claims for about this long; then it lets what is under way end, and the flow renews its details.
SLICE_SECONDS = 60.0
# While attempts are under way, new messages are looked for this often.
LOOK_SECONDS = 0.25
# Answers that come within this long of each other are marked by one transaction; longer when nothing else waits to be sent.
LINGER_SECONDS = 0.003
CALM_SECONDS = 0.02
# When nothing is left, a flow's call looks again after these, before it ends: where messages keep coming it goes on.
LOOKS_AGAIN = (0.02, 0.04, 0.08, 0.16, 0.32)
# Others send as much as the endpoint may be sent at once.
HELD_UP_SECONDS = 0.5
SHOWN_PENDING = 1000
# The flow of a delivery that rests for a disabled endpoint is told when that is over; once in a while it looks by itself.
DISABLED_SECONDS = 600.0
ATTEMPTS_AT_ONCE = 512
CONNECTIONS = 4
# When the test clock comes to a moment.
ENDPOINTS_AT_ONCE = 20
OTHERS_SECONDS = 0.05
ROUND_SECONDS = 1.0
# A pass of the reconciliation isn't endless.
A_PASS = 500

T = TypeVar("T")
Told = Callable[[Sequence[RetryInput]], None]


class Post:
    """Makes single attempts on the caller's thread: checks the address, signs by the real clock, posts."""

    def __init__(
        self,
        settings: Settings,
        client: WebhookClient | None = None,
        lookup: Lookup | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._lookup = lookup
        self._clock = clock
        self._secrets = WebhookSecrets(settings)
        self._client = client or WebhookClient(max_connections=ATTEMPTS_AT_ONCE)

    def open(self, endpoint_id: UUID, secrets: SealedSecrets) -> list[str]:
        """An endpoint's secrets, newest first; SettingsError when they can't be read here."""
        try:
            return [self._secrets.open(sealed, endpoint_id) for sealed in secrets.sealed]
        except InvalidTag:
            message = f"OPENSCRIP_SECRET_KEY isn't the one that sealed the secret of webhook endpoint {endpoint_id}"
            raise SettingsError(message) from None

    def __call__(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        """The answer to one attempt, which belongs to the trace of what the message is about."""
        ids = {"delivery_id": str(claimed.key.id), "message_id": str(claimed.message_id), "message_type": claimed.type}
        ids["organization_id"] = str(claimed.organization_id)
        attempt = claimed.attempt_count + 1
        with span("webhook attempt", parent=claimed.trace_parent, kind=SpanKind.CLIENT, attempt=attempt, **ids):
            answer = self._attempt(url, secrets, claimed)
            note(answer="no answer" if answer.status is None else answer.status)
        return answer

    def _attempt(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        began = time.monotonic()
        try:
            addresses = addresses_of(url, is_private_allowed=self._settings.webhook_allow_private, lookup=self._lookup)
        except UrlFlaw as flaw:
            return Answer(error=f"forbidden address: {flaw}")
        created_at = claimed.key.created_at
        body = envelope(claimed.message_id, claimed.type, created_at, claimed.organization_id, claimed.data)
        try:
            # receivers have the real clock too, whatever the product's says
            headers = signed_headers(claimed.message_id, int(self._clock()), body, secrets)
            answer = self._client.post(url, addresses, headers, body)
        except Exception as error:
            # a fault of ours with one message counts, or it would be tried for ever
            log.exception("webhook_not_sent", delivery=str(claimed.key.id), error=type(error).__name__)
            return Answer(error="not sent: internal error")
        WEBHOOK_ATTEMPT_SECONDS.observe(time.monotonic() - began)
        return answer


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends to endpoints: posts on `callers`, transactions on `clerks`; `told` hears which deliveries failed."""

    database: Database
    post: Post
    callers: ThreadPoolExecutor
    clerks: ThreadPoolExecutor
    told: Told = lambda _: None
    room: Room = field(default_factory=lambda: Room(ATTEMPTS_AT_ONCE))

    async def send(
        self,
        endpoint: EndpointInput,
        beat: Callable[[], None],
        is_over: Callable[[], bool],
        looks_again: Sequence[float] = (),
    ) -> SendReport:
        """Send what waits for an endpoint until nothing does or it is over; then what is under way is waited for.

        When something was sent, it looks again for more after each of the seconds in `looks_again`.
        """
        return await _Run(self, endpoint, beat, is_over, looks_again).run()

    async def attempt(self, retry: RetryInput) -> Turn:
        """Make one delivery's attempt, if it is due and may be made."""
        endpoint_id = retry.endpoint_id
        turn = await self.turn(endpoint_id, (), 1, retry.delivery_id)
        if not turn.claimed or turn.secrets is None:
            return turn
        secrets = await self.unseal(endpoint_id, turn)
        taken = self.room.take(1)
        try:
            answer = await self.call(turn.secrets.url, secrets, turn.claimed[0])
        finally:
            self.room.give(taken)
        return await self.turn(endpoint_id, [Result(turn.claimed[0], answer)], 0)

    async def turn(self, endpoint_id: UUID, results: Sequence[Result], room: int, only: UUID | None = None) -> Turn:
        """One transaction: mark and claim."""
        turn = await self.transact(lambda session: sending.take_turn(session, endpoint_id, results, room, only))
        for each in turn.outcomes:
            WEBHOOK_ATTEMPTS.labels(each.outcome.value).inc()
        return turn

    async def unseal(self, endpoint_id: UUID, turn: Turn) -> list[str]:
        """The secrets of a turn; when they can't be read, what it claimed is given back, and no attempt counts."""
        assert turn.secrets is not None, "what is claimed has an endpoint"
        try:
            return self.post.open(endpoint_id, turn.secrets)
        except SettingsError:
            await self.transact(lambda session: sending.give_back(session, turn.claimed))
            raise

    async def transact(self, work: Callable[[Session], T]) -> T:
        """A transaction on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.clerks, partial(transact, self.database, work))

    async def call(self, url: str, secrets: Sequence[str], claimed: Claimed) -> Answer:
        """A post on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.callers, partial(self.post, url, secrets, claimed))


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


@dataclass(frozen=True, slots=True)
class DeliveryActivities:
    """What the flows of endpoints and of failed deliveries call."""

    sender: Sender

    @activity.defn
    async def send_deliveries(self, endpoint: EndpointInput) -> SendReport:
        """Send what waits for an endpoint, a few at once and each entity's first attempts in order."""
        deadline = time.monotonic() + SLICE_SECONDS
        return await self.sender.send(
            endpoint, activity.heartbeat, lambda: time.monotonic() > deadline or activity.is_worker_shutdown(), LOOKS_AGAIN
        )

    @activity.defn
    async def attempt_delivery(self, retry: RetryInput) -> RetryReport:
        """Make a delivery's next attempt if it is due and its endpoint isn't blocked, and say where it stands."""
        turn = await self.sender.attempt(retry)
        found = await self.sender.transact(lambda session: sending.standing(session, retry.delivery_id))
        if found is None:
            raise ApplicationError(f"there is no delivery {retry.delivery_id}", type="DeliveryNotFound", non_retryable=True)
        return RetryReport(
            status=found.status,
            event_type=found.event_type,
            attempt_count=found.attempt_count,
            max_attempts=found.max_attempts,
            next_attempt_at=found.next_attempt_at,
            next_in_seconds=_look_again_in(turn, found),
            blocked=None if turn.blocked is None else turn.blocked.value,
            last_response_status=found.last_response_status,
            last_error=found.last_error,
        )


def _look_again_in(turn: Turn, found: Standing) -> float | None:
    """When a delivery is due, or, while its endpoint is blocked, somewhat after that: it is taken along then."""
    if found.next_in_seconds is None:
        return None
    ahead = found.next_in_seconds
    spread = random.uniform(1.0, 10.0)  # noqa: S311 - spreads looks
    if found.status == "SENDING" or turn.is_held_up:
        return max(ahead, spread)
    if turn.blocked is BlockedReason.DISABLED:
        return max(ahead, DISABLED_SECONDS * spread)
    if turn.blocked_seconds is not None:
        return max(ahead, turn.blocked_seconds + spread)
    return ahead


@contextmanager
def open_sender(settings: Settings, told: Told = lambda _: None) -> Iterator[Sender]:
    """A sender with connections and threads of its own."""
    with (
        closing(Database(settings.require_database_url(), pool_size=CONNECTIONS).watched("deliveries")) as database,
        ThreadPoolExecutor(ATTEMPTS_AT_ONCE, "webhook") as callers,
        ThreadPoolExecutor(CONNECTIONS, "webhook-clerk") as clerks,
    ):
        yield Sender(database, Post(settings), callers, clerks, told)


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
    sent = (sender.send(each, beat, lambda: time.monotonic() > until) for each in inputs)
    failed = set()
    for key, outcome in zip(due, await asyncio.gather(*sent, return_exceptions=True), strict=True):
        if isinstance(outcome, Exception):
            log.warning("webhook_sending_failed", endpoint=str(key.endpoint_id), error=str(outcome))
            failed.add(key.endpoint_id)
    return failed


async def reconcile_retries(database: Database, client: Client) -> tuple[int, int]:
    """Start the flows of deliveries that are soon attempted again: how many these are, and how many have no flow."""

    def soon(session: Session) -> list[RetryKey]:
        sending.forget_hours(session)
        return sending.retries_soon(session, RECONCILE_HORIZON, A_PASS)

    keys = await asyncio.to_thread(transact, database, soon)
    failed = 0
    for key in keys:
        retry = RetryInput(delivery_id=key.delivery_id, endpoint_id=key.endpoint_id, organization_id=key.organization_id)
        try:
            await start_retry(client, retry)
        except RPCError as error:
            # it is sent all the same, by the flow of its endpoint
            log.warning("webhook_retry_failed", delivery=str(key.delivery_id), error=str(error))
            failed += 1
    return len(keys), failed
