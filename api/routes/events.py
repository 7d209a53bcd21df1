"""Events after they were accepted: read, listed, retried (events-rules.md 2.3 - 2.8)."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from fastapi import Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import accepted, ok
from api.schemas import events as schemas
from api.schemas.common import Paged
from api.schemas.event_impact import EventImpact, EventSimulate, EventSimulation, impact_body, simulation_body
from api.schemas.events import EventByKeyQuery, EventDetailQuery, EventQuery, ParticipantEventQuery
from domain.errors import BadRequest, Fault
from domain.event_data import encode_event_data
from services import event_simulation
from services import events as service
from services.events import STATUS_SQL, EventFilters, EventRow
from services.paging import SortColumn

router = router_for("Events")

T = TypeVar("T")
_TIE = (SortColumn("e.created_at"), SortColumn("e.id", "uuid"))
EVENTS = Listing(
    "events",
    {
        "created_at": _TIE,
        "event_timestamp": (SortColumn("e.event_timestamp"), *_TIE),
        "status": (SortColumn(STATUS_SQL, "text"), *_TIE),
    },
)


# -------------------------------------------------------------------- reading
@router.get("/v1/events", summary="List events", response_model=Paged[schemas.EventItem], responses=errors())
def list_events(call: CallDep, query: Annotated[EventQuery, Query()]) -> Response:
    """Events without their evaluations, newest first unless sorted otherwise; unknown ids give an empty list."""
    filters = EventFilters(
        program_id=query.program_id,
        participant_id=query.participant_id,
        external_id=query.external_id,
        status=query.status,
        event_type=query.event_type,
        rule_id=query.rule_id,
        created_from=query.from_,
        created_to=query.to,
        event_from=query.event_from,
        event_to=query.event_to,
    )
    page = EVENTS.page(query)
    found = call.run(lambda session: service.list_events(session, call.organization_id, filters, page.keyset, query.sort_by))
    return page.answer(found, _event)


@router.get(
    "/v1/participants/{id}/activity/events",
    tags=["Activity"],
    summary="List participant events",
    response_model=Paged[schemas.EventItem],
    responses=errors(404),
)
def list_participant_events(call: CallDep, id: PathId, query: Annotated[ParticipantEventQuery, Query()]) -> Response:
    """Events whose subject or recipient the participant is, newest first."""
    filters = EventFilters(
        involves_id=id,
        program_id=query.program_id,
        status=query.status,
        created_from=query.from_,
        created_to=query.to,
        event_from=query.event_from,
        event_to=query.event_to,
    )
    page = EVENTS.page(query, id)
    found = call.run(lambda session: service.list_participant_events(session, call.organization_id, filters, page.keyset))
    return page.answer(found, _event)


@router.get("/v1/events/by-key", summary="Get event by idempotency key", response_model=schemas.EventRead, responses=errors(404))
def get_event_by_key(call: CallDep, query: Annotated[EventByKeyQuery, Query()]) -> Response:
    """The event with its rule evaluations, by its identity."""

    def find(session: Session) -> dict[str, Any]:
        event = service.find_by_key(session, call.organization_id, query.program_id, query.idempotency_key)
        return _detailed(session, event, include_skipped=query.include_skipped)

    return ok(call.run(find))


@router.get("/v1/events/{id}", summary="Get an event", response_model=schemas.EventRead, responses=errors(404))
def get_event(call: CallDep, id: PathId, query: Annotated[EventDetailQuery, Query()]) -> Response:
    """The event with its rule evaluations."""

    def find(session: Session) -> dict[str, Any]:
        return _detailed(session, service.get_event(session, call.organization_id, id), include_skipped=query.include_skipped)

    return ok(call.run(find))


@router.get("/v1/events/{id}/impact", summary="Get event impact", response_model=EventImpact, responses=errors(404))
def get_event_impact(call: CallDep, id: PathId) -> Response:
    """The event with everything that it changed: entries with their postings, their sums, changes of state.

    The arrays are empty unless it is COMPLETED.
    """

    def find(session: Session) -> dict[str, Any]:
        event = service.get_event(session, call.organization_id, id)
        return _detailed(session, event, include_skipped=True) | impact_body(service.impact_of(session, event))

    return ok(call.run(find))


def _detailed(session: Session, event: EventRow, *, include_skipped: bool) -> dict[str, Any]:
    return {**_event(event), "rule_evaluations": service.rule_evaluations(session, event, include_skipped=include_skipped)}


def _event(event: EventRow) -> dict[str, Any]:
    return {
        "id": event.id,
        "program_id": event.program_id,
        "participant_id": event.participant_id,
        "external_id": event.external_id,
        "recipient_id": event.recipient_id,
        "idempotency_key": event.idempotency_key,
        "event_type": event.event_type,
        "event_data": event.event_data,
        "event_timestamp": event.event_timestamp,
        "received_at": event.created_at,
        "processed_at": event.processed_at,
        "status": event.status,
        "error_code": event.error_code,
        "error_message": event.error_message,
        "automation_id": event.automation_id,
        "caused_by_event_id": event.caused_by_event_id,
        "chain_depth": event.chain_depth,
        "created_at": event.created_at,
        "updated_at": event.updated_at,
    }


# ----------------------------------------------------------------- simulating
@router.post(
    "/v1/events/simulate",
    summary="Simulate an event",
    response_model=EventSimulation,
    responses=errors(404, 409, 413, 415),
)
def simulate_event(call: CallDep, body: EventSimulate) -> Response:
    """What an event would become and change if it were sent now: the real run, of which nothing is kept.

    It starts from what is committed; events that are still waiting aren't run before it.
    """
    encoded = encode_event_data(body.event_data)
    if isinstance(encoded, Fault):
        raise BadRequest([encoded])
    who = body.model_dump(include={"external_id", "participant_id", "recipient_id", "recipient_external_id"})
    trial = event_simulation.Trial(call.organization_id, body.program_id, encoded, body.event_timestamp, **who)
    return ok(simulation_body(call.run(lambda session: event_simulation.simulate_event(session, trial))))


# ------------------------------------------------------------------- retrying
@router.post(
    "/v1/events/{id}/retry",
    status_code=202,
    summary="Retry a failed event",
    response_model=schemas.RetryAnswer,
    responses=errors(404, 409),
)
async def retry_event(call: CallDep, id: PathId) -> Response:
    """Queue a FAILED event again, behind what its participant has waiting."""
    lanes: int = call.request.app.state.lanes
    failed, lane = await _on_thread(call, lambda session: service.retry(session, call.organization_id, id, lanes))
    call.request.app.state.waker.wake({lane})
    return accepted(
        {
            "event_id": failed.id,
            "message": "Event queued for retry",
            "previous_status": "FAILED",
            "previous_error": failed.error_message,
            "status": "PENDING",
        }
    )


@router.post(
    "/v1/events/retry",
    status_code=202,
    summary="Retry failed events",
    response_model=schemas.BulkRetryAnswer,
    responses=errors(404, 413, 415),
)
async def retry_events(call: CallDep, body: schemas.BulkRetry) -> Response:
    """Queue all FAILED events of a program that meet the filters, in the order they were accepted."""
    lanes: int = call.request.app.state.lanes
    queued, woken = await _on_thread(
        call,
        lambda session: service.retry_all(
            session,
            call.organization_id,
            body.program_id,
            lanes,
            error_code=body.error_code,
            created_from=body.from_,
            created_to=body.to,
        ),
    )
    call.request.app.state.waker.wake(woken)
    return accepted({"queued": queued})


async def _on_thread(call: Call, work: Callable[[Session], T]) -> T:
    return await to_thread.run_sync(call.run, work)
