"""What flows of automations call, and making sure of these flows from a worker."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlmodel import Session
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.lanes import is_unreachable
from activities.waking import wake_lanes
from db.repositories.processing import clock
from db.session import Database, psycopg_of
from domain.automations import AutomationStatus
from domain.errors import DomainError
from runtime.metrics import SYSTEM_EVENTS
from services import automation_commands as commands
from services import automation_views as views
from services import scheduled
from services.automation_views import AutomationView
from services.automations import AutomationKey
from services.system_events import Made
from services.transactions import transact
from workflows.contracts_automation import (
    AutomationCommand,
    AutomationInput,
    AutomationPhase,
    AutomationReport,
    AutomationSignal,
    CommandReport,
)
from workflows.signals import RPCError, start_automation

log = structlog.get_logger(__name__)

# After so many failures that aren't the database's absence a run is given up.
MOST_FAILURES = 6
# A flow that was made sure of this long ago is made sure of again: Temporal may have lost it.
CHECKED_FOR_SECONDS = 3600.0
A_PASS = 500

_PHASES = {AutomationStatus.ACTIVE: AutomationPhase.ACTIVE, AutomationStatus.PAUSED: AutomationPhase.PAUSED}


@dataclass(frozen=True, slots=True)
class AutomationActivities:
    """Looks after single automations, with the database and the Temporal client of this worker."""

    database: Database
    client: Client
    lanes: int

    @activity.defn
    async def attend_automation(self, call: AutomationInput) -> AutomationReport:
        """Fire what is due, any number of times with one effect, and say where the automation stands."""
        made = await self._fire(call)
        found = await asyncio.to_thread(transact, self.database, lambda session: views.view(session, _key(call)))
        if found is None:
            message = f"there is no automation {call.automation_id}"
            raise ApplicationError(message, type="AutomationNotFound", non_retryable=True)
        return _report(found, made.events)

    @activity.defn
    async def command_automation(self, call: AutomationCommand) -> CommandReport:
        """Do what a signal asks for as the API does it, any number of times with one effect; a refusal is the answer."""
        ids = call.automation
        key = (ids.organization_id, ids.program_id, ids.automation_id)
        at = await self._moment() if call.command is AutomationSignal.TRIGGER else None

        def work(session: Session) -> Made:
            if at is not None:
                return commands.trigger(session, *key, self.lanes, at)[1]
            _COMMANDS[call.command](session, *key)
            return Made()

        try:
            made = await asyncio.to_thread(transact, self.database, work)
        except DomainError as error:
            return CommandReport(command=call.command, refusal=error.message)
        await wake_lanes(self.client, made.lanes, self.lanes)
        return CommandReport(command=call.command)

    async def _moment(self) -> datetime:
        """When a signal was carried out first: an attempt whose answer was lost may have fired."""
        details = activity.info().heartbeat_details
        if details:
            return datetime.fromisoformat(str(details[0]))
        at = await asyncio.to_thread(transact, self.database, lambda session: clock(psycopg_of(session)))
        activity.heartbeat(at.isoformat())
        return at

    async def _fire(self, call: AutomationInput) -> Made:
        """In one transaction; given up after failures of its own."""
        details = activity.info().heartbeat_details
        failures = int(details[0]) if details else 0

        def work(session: Session) -> Made:
            return scheduled.fire(session, [call.automation_id], self.lanes)

        try:
            made = await asyncio.to_thread(transact, self.database, work)
        except Exception as error:
            if is_unreachable(error):
                raise
            if failures + 1 < MOST_FAILURES:
                activity.heartbeat(failures + 1)
                raise
            log.exception("automation_run_given_up", automation=str(call.automation_id))
            await asyncio.to_thread(transact, self.database, lambda session: views.give_up(session, _key(call)))
            return Made()
        SYSTEM_EVENTS.labels("scheduled").inc(made.events)
        await wake_lanes(self.client, made.lanes, self.lanes)
        return made


_COMMANDS: dict[AutomationSignal, Callable[..., Any]] = {
    AutomationSignal.CANCEL: commands.cancel,
    AutomationSignal.PAUSE: commands.pause,
    AutomationSignal.REFRESH: commands.refresh,
}


async def reconcile_automations(database: Database, client: Client) -> tuple[int, int]:
    """Start the flows of automations that ought to have one: how many were looked at, and how many of them couldn't be."""

    def in_need(session: Session) -> list[AutomationKey]:
        return views.without_flow(session, CHECKED_FOR_SECONDS, A_PASS)

    keys = await asyncio.to_thread(transact, database, in_need)
    started = []
    for key in keys:
        ids = AutomationInput(automation_id=key.automation_id, organization_id=key.organization_id, program_id=key.program_id)
        try:
            await start_automation(client, ids)
        except RPCError as error:
            log.warning("automation_flow_failed", automation=str(key.automation_id), error=str(error))
        else:
            started.append(key.automation_id)
    if started:
        await asyncio.to_thread(transact, database, lambda session: views.note_flows(session, started))
    return len(keys), len(keys) - len(started)


def _key(call: AutomationInput) -> AutomationKey:
    return AutomationKey(call.automation_id, call.organization_id, call.program_id)


def _report(found: AutomationView, events: int) -> AutomationReport:
    automation = found.automation
    schedule = None if automation.cron_expression is None else f"{automation.cron_expression}, {automation.timezone}"
    return AutomationReport(
        phase=AutomationPhase.OVER if found.is_over else _PHASES.get(automation.status, AutomationPhase.ACTIVE),
        status=automation.status,
        trigger_type=automation.trigger_type,
        scope=automation.scope,
        event_name=automation.event_name,
        events=events,
        schedule=schedule,
        next_at=automation.due_at,
        next_in_seconds=found.next_in_seconds,
        last_run_at=automation.last_run_at,
        has_pending_run=found.has_pending_run,
        execution_status=automation.execution_status,
        total=automation.participants_total,
        processed=automation.participants_processed,
        failures=automation.failures,
        last_error=automation.last_error,
        finished_at=datetime.now(UTC),
        has_subscriptions=found.has_subscriptions,
    )
