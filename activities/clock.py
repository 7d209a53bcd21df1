"""What the test clock calls: move to the next due moment, do everything that is due then, and so on for a slice of time."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client

from activities.due import post_all_due
from activities.expiry_notices import announce_all
from activities.fulfillments import attempt_all, expire_all, fulfillment_input, start_fulfillments
from activities.lanes import LaneActivities
from activities.tiers import start_tiers
from activities.webhook_sender import Sender
from activities.webhook_sending import send_all_due
from activities.webhooks import FulfillmentSender
from db.repositories import event_queue as queue
from db.session import Database, freeze, psycopg_of
from services import (
    clock,
    due,
    expiry_notices,
    fulfillment_attempts,
    fulfillments,
    holds,
    scheduled,
    tier_steps,
    webhook_sending,
)
from services.clock import Move
from services.holds import DatedHold
from services.tier_steps import TierKey
from services.transactions import transact
from workflows.contracts import DrainInput, DueKind
from workflows.contracts_clock import ClockInput, ClockReport
from workflows.contracts_fulfillment import FulfillmentInput
from workflows.contracts_hold import HoldInput
from workflows.signals import RPCError, ensure_due_work, start_hold

# One call works for about this long, so that its flow shows where the clock is.
SLICE_SECONDS = 2.0
# Somebody else drains the lane, or an event waits for another attempt.
WAIT_SECONDS = 0.02
# What comes later than this after a move is seen to by the reconciliation.
NEAR = timedelta(minutes=2)
# Flows of holds, and as many of fulfilments, that one call has woken: their ids travel in its report. What is due is done in
# any case; a flow that isn't woken ends when its own timer does.
MOST_PASSED_HOLDS = 500
# Flows of tiers that are woken after a slice; the reconciliation wakes those of which something is due.
MOST_TIERS = 100


@dataclass(frozen=True, slots=True)
class ClockActivities:
    """Moves the test clock, with the database and the Temporal client of this worker; a call that is repeated goes on."""

    database: Database
    client: Client
    lanes: int
    sender: FulfillmentSender
    deliveries: Sender

    @activity.defn(no_thread_cancel_exception=True)
    def move_clock(self, call: ClockInput) -> ClockReport:
        """Visit due moments in order, up to the target or the end of the slice."""
        deadline = time.monotonic() + SLICE_SECONDS
        now = transact(self.database, lambda session: clock.begin(session, call.target))
        report = _resumed() or ClockReport(now=now, visited=call.after or now)
        here = report.visited or now
        visit = _Visit(self.database, self.lanes, self.sender, self.deliveries, deadline, lambda: activity.heartbeat(report))
        if not visit.finish(here):
            return report
        while here < call.target and time.monotonic() < deadline and not activity.is_worker_shutdown():
            room = MOST_PASSED_HOLDS - max(len(report.passed_holds), len(report.passed_fulfillments))
            if not room:
                return report
            passed, move = self._advance(here, call.target, room)
            here = report.visited = move.moment
            report.steps += move.is_due
            report.now = move.now
            report.passed_holds += passed.holds
            report.passed_fulfillments += passed.fulfillments
            visit.beat()
            if not visit.finish(here):
                return report
        report.reached = here >= call.target
        return report

    def _advance(self, after: datetime, target: datetime, room: int) -> tuple["_Passed", Move]:
        def work(session: Session) -> tuple[_Passed, Move]:
            move = clock.advance(session, after, target)
            passed = [_named(hold) for hold in holds.ending_between(session, after, move.moment, room)]
            # where the move ends, those that come soon: their flows sleep by the clock as it was
            until = move.moment if move.is_due else move.moment + NEAR
            waiting = fulfillments.ended_between(session, after, until, room)
            waiting += fulfillment_attempts.due_between(session, after, until, room)
            return _Passed(passed, [fulfillment_input(key) for key in waiting[:room]]), move

        return transact(self.database, work)

    @activity.defn
    async def wake_sleepers(self, passed: list[HoldInput], waiting: list[FulfillmentInput] | None = None) -> int:
        """Have the flows that sleep look at the clock again: the due work, and those whose deadline was passed."""
        for kind in DueKind:
            await ensure_due_work(self.client, kind, wake=True)
        for hold in passed:
            try:
                await start_hold(self.client, hold, wake=True)
            except RPCError as error:
                activity.logger.warning("hold %s wasn't woken: %s", hold.hold_id, error)
        await start_tiers(self.client, await asyncio.to_thread(self._tiers), wake=True)
        return len(passed) + await start_fulfillments(self.client, waiting or [])

    def _tiers(self) -> list[TierKey]:
        return transact(self.database, lambda session: tier_steps.timed(session, MOST_TIERS))


@dataclass(frozen=True, slots=True)
class _Passed:
    """What has a flow that sleeps, and a deadline that was passed."""

    holds: list[HoldInput]
    fulfillments: list[FulfillmentInput]


class _OutOfTime(Exception):
    """The slice of time is over."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What is still to do at a moment: events, what is due of automations, messages."""

    lanes: list[int]
    scheduled: scheduled.Waiting
    has_messages: bool

    def __bool__(self) -> bool:
        return bool(self.lanes or self.scheduled or self.has_messages)


@dataclass(frozen=True, slots=True)
class _Visit:
    """Everything that is due at a moment, and what comes of it, until a deadline; each beat tells the flow how far it is."""

    database: Database
    lanes: int
    sender: FulfillmentSender
    deliveries: Sender
    deadline: float
    beat: Callable[[], None]
    failed: set[UUID] = field(default_factory=set)

    def finish(self, moment: datetime) -> bool:
        """Do it all; False when that needs longer."""
        try:
            if transact(self.database, partial(self._has_dates, moment)):
                self._do_dates(moment)
            while left := transact(self.database, self._look):
                if left.lanes:
                    self._drain(left.lanes)
                if left.scheduled:
                    scheduled.do(self.database, left.scheduled, self.lanes, self._go_on)
                if left.has_messages:
                    send_all_due(self.deliveries, self.beat, self._go_on, self.failed)
        except _OutOfTime:
            return False
        return True

    @staticmethod
    def _has_dates(moment: datetime, session: Session) -> bool:
        """Whether anything is due that needs no event; most moments have nothing of the kind, and one look tells."""
        return bool(
            due.holders_due(session, 1, (), moment)
            or not expiry_notices.is_done(session, moment)
            or tier_steps.is_anything_due(session, moment)
            or fulfillments.past_deadline(session, 1, ())
            or fulfillment_attempts.due_now(session, 1, ())
        )

    def _do_dates(self, moment: datetime) -> None:
        post_all_due(self.database, moment, self._go_on)
        announce_all(self.database, moment, self._go_on)
        tier_steps.settle_everybody(self.database, moment, self._go_on)
        expire_all(self.database, self._go_on)
        attempt_all(self.sender, self._go_on)

    def _look(self, session: Session) -> "_Left":
        """What is left, by one look: others are at it, too, and turn the one into the other."""
        conn = psycopg_of(session)
        freeze(conn)
        has_messages = webhook_sending.is_anything_due(session, self.failed)
        return _Left(queue.lanes_with_events(conn), scheduled.look(session), has_messages)

    def _go_on(self) -> None:
        self.beat()
        if time.monotonic() > self.deadline:
            raise _OutOfTime

    def _drain(self, waiting: list[int]) -> None:
        """Process every event that waits."""
        lanes = LaneActivities(self.database)
        while waiting:
            reports = [lanes.drain_lane(DrainInput(lane=lane)) for lane in waiting]
            self._go_on()
            if not any(report.events for report in reports):
                time.sleep(WAIT_SECONDS)
            waiting = [lane for lane, report in zip(waiting, reports, strict=True) if report.backlog or report.busy]


def _named(hold: DatedHold) -> HoldInput:
    return HoldInput(hold_id=hold.id, organization_id=hold.organization_id, program_id=hold.program_id)


def _resumed() -> ClockReport | None:
    """What an attempt of the same slice had done before it was lost."""
    details = activity.info().heartbeat_details
    return ClockReport.model_validate(details[0]) if details else None
