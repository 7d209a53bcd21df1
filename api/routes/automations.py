"""Automations over HTTP (automations.md 4)."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from fastapi import Path, Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, ProgramPathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import NEWEST_FIRST, Listing
from api.responses import accepted, created, no_content, ok
from api.schemas.automations import (
    AutomationCreate,
    AutomationQuery,
    AutomationRead,
    AutomationUpdate,
    SubscriptionQuery,
    SubscriptionRead,
    automation_body,
    subscription_body,
)
from api.schemas.common import Paged, Uuid
from api.timers import tell_automation
from domain.automations import Automation
from services import automation_commands as commands
from services import automations, subscriptions

router = router_for("Automations")

AutomationPathId = Annotated[Uuid, Path(alias="automationId", description="The automation's UUID")]

AUTOMATIONS = Listing("automations", {"created_at": NEWEST_FIRST})
SUBSCRIPTIONS = Listing("subscriptions", {"created_at": NEWEST_FIRST})
_ALL = "/v1/programs/{programId}/automations"
_ONE = _ALL + "/{automationId}"

T = TypeVar("T")


@router.post(
    _ALL, status_code=201, response_model=AutomationRead, responses=errors(404, 409, 413, 415), summary="Create an automation"
)
def create_automation(program_id: ProgramPathId, body: AutomationCreate, call: CallDep) -> Response:
    """Something that makes SYSTEM events by a schedule, at a moment, or at once: one, or one for each matching participant."""
    new = body.to_new()
    made = call.run(lambda session: automations.create_automation(session, call.organization_id, program_id, new))
    return created(_told(call, made))


@router.get(_ALL, response_model=Paged[AutomationRead], responses=errors(404), summary="List automations")
def list_automations(program_id: ProgramPathId, query: Annotated[AutomationQuery, Query()], call: CallDep) -> Response:
    """Newest first. What rules made and is over is shown with `source=rule_action` only."""
    page = AUTOMATIONS.page(query, program_id)
    wanted = automations.AutomationFilter(
        query.search, query.trigger_type, query.scope, query.status, query.source, query.include_archived
    )
    found = call.run(lambda session: automations.list_automations(session, call.organization_id, program_id, wanted, page.keyset))
    return page.answer(found, automation_body)


@router.get(_ONE, response_model=AutomationRead, responses=errors(404), summary="Get an automation")
def get_automation(program_id: ProgramPathId, automation_id: AutomationPathId, call: CallDep) -> Response:
    """An automation of this program, archived or not."""
    found = call.run(lambda session: automations.get_automation(session, call.organization_id, program_id, automation_id))
    return ok(automation_body(found))


@router.patch(_ONE, response_model=AutomationRead, responses=errors(404, 409, 413, 415), summary="Update an automation")
def update_automation(
    program_id: ProgramPathId, automation_id: AutomationPathId, body: AutomationUpdate, call: CallDep
) -> Response:
    """A changed schedule is effective at once; a fan-out under way keeps the settings it began with."""
    wanted = automations.AutomationChange(program_id, automation_id, body.changes())
    changed = call.run(lambda session: automations.update_automation(session, call.organization_id, wanted))
    return ok(_told(call, changed))


@router.delete(_ONE, status_code=204, responses=errors(404), summary="Delete an automation")
def delete_automation(program_id: ProgramPathId, automation_id: AutomationPathId, call: CallDep) -> Response:
    """Archive it: it fires no more, and a fan-out under way is stopped."""
    _told(call, call.run(lambda session: automations.delete_automation(session, call.organization_id, program_id, automation_id)))
    return no_content()


@router.post(f"{_ONE}/trigger", response_model=AutomationRead, responses=errors(404, 409), summary="Trigger an automation")
async def trigger_automation(program_id: ProgramPathId, automation_id: AutomationPathId, call: CallDep) -> Response:
    """Fire now, whatever the schedule says: an event for the program, or a fan-out when none is under way."""
    lanes: int = call.request.app.state.lanes
    automation, made = await _on_thread(
        call, lambda session: commands.trigger(session, call.organization_id, program_id, automation_id, lanes)
    )
    call.request.app.state.waker.wake(set(made.lanes))
    return ok(_told(call, automation))


@router.post(f"{_ONE}/cancel", response_model=AutomationRead, responses=errors(404), summary="Cancel an automation")
def cancel_automation(program_id: ProgramPathId, automation_id: AutomationPathId, call: CallDep) -> Response:
    """Stop the fan-out under way; what fires once and hasn't begun is archived."""
    return ok(_told(call, call.run(lambda session: commands.cancel(session, call.organization_id, program_id, automation_id))))


@router.post(
    f"{_ONE}/refresh-subscriptions",
    status_code=202,
    response_model=dict[str, Any],
    responses=errors(404, 409),
    summary="Refresh subscriptions",
)
def refresh_subscriptions(program_id: ProgramPathId, automation_id: AutomationPathId, call: CallDep) -> Response:
    """Have the filter of a participant_state automation evaluated for everybody."""
    _told(call, call.run(lambda session: commands.refresh(session, call.organization_id, program_id, automation_id)))
    return accepted({})


@router.get(
    f"{_ONE}/subscriptions",
    response_model=Paged[SubscriptionRead],
    responses=errors(404),
    summary="List automation subscriptions",
)
def list_subscriptions(
    program_id: ProgramPathId, automation_id: AutomationPathId, query: Annotated[SubscriptionQuery, Query()], call: CallDep
) -> Response:
    """Newest first; only participant_state automations have any."""
    page = SUBSCRIPTIONS.page(query, automation_id)
    found = call.run(
        lambda session: subscriptions.list_subscriptions(
            session, call.organization_id, program_id, automation_id, query.status, page.keyset
        )
    )
    return page.answer(found, subscription_body)


def _told(call: Call, automation: Automation) -> dict[str, Any]:
    """The answer, after its flow was told."""
    tell_automation(call, automation)
    return automation_body(automation)


async def _on_thread(call: Call, work: Callable[[Session], T]) -> T:
    return await to_thread.run_sync(call.run, work)
