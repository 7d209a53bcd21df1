"""Participants and their enrolments."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, PathId, ProgramPathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, NEWEST_FIRST, Listing
from api.responses import complete_list, created, ok
from api.routes.state import author_of
from api.schemas.common import Paged
from api.schemas.participants import (
    EnrollmentRead,
    EnrollmentSet,
    ParticipantItem,
    ParticipantQuery,
    ParticipantRead,
    ParticipantsQuery,
    ParticipantUpdate,
    ParticipantUpsert,
    StatusSet,
    enrollment_body,
    participant_body,
    participant_item,
)
from services import enrollments, participants
from services.paging import SortColumn
from services.participants import ParticipantInput

router = router_for("Participants")

PARTICIPANTS = Listing(
    "participants",
    {
        "created_at": NEWEST_FIRST,
        "external_id": (SortColumn("external_id", "text"), CREATED_AT, ID),
        "status": (SortColumn("status", "text"), CREATED_AT, ID),
    },
)


@router.post(
    "/v1/participants",
    status_code=201,
    response_model=ParticipantRead,
    responses=errors(404, 409, 413, 415) | {200: {"model": ParticipantRead, "description": "It existed and was changed"}},
    summary="Create a participant",
)
def upsert_participant(body: ParticipantUpsert, call: CallDep) -> Response:
    """An upsert: 201 for a new `external_id`, 200 for a known one, of which only what was sent is changed."""
    view, is_new = call.run(
        lambda session: participants.upsert_participant(
            session, author_of(call), body.external_id, body.program_id, body.to_input()
        )
    )
    return created(participant_body(view), is_new=is_new)


@router.get("/v1/participants", response_model=Paged[ParticipantItem], responses=errors(404), summary="List participants")
def list_participants(query: Annotated[ParticipantsQuery, Query()], call: CallDep) -> Response:
    page = PARTICIPANTS.page(query)
    found = call.run(
        lambda session: participants.list_participants(session, call.organization_id, query.to_filter(), page.keyset)
    )
    return page.answer(found, participant_item)


@router.get("/v1/participants/{id}", response_model=ParticipantRead, responses=errors(404), summary="Get a participant")
def get_participant(participant_id: PathId, call: CallDep, query: Annotated[ParticipantQuery, Query()]) -> Response:
    """With tags, attributes, effective counters, tiers, balances and programs."""
    view = call.run(lambda session: participants.get_participant(session, call.organization_id, participant_id, query.program_id))
    return ok(participant_body(view))


@router.patch(
    "/v1/participants/{id}",
    response_model=ParticipantRead,
    responses=errors(404, 409, 413, 415),
    summary="Update a participant",
)
def update_participant(participant_id: PathId, body: ParticipantUpdate, call: CallDep) -> Response:
    """Attributes are merged, tags replaced; the status has an endpoint of its own."""
    given = ParticipantInput(body.changes())
    view = call.run(lambda session: participants.update_participant(session, author_of(call), participant_id, given))
    return ok(participant_body(view))


@router.patch(
    "/v1/participants/{id}/status",
    response_model=ParticipantRead,
    responses=errors(404, 413, 415),
    summary="Update participant status",
)
def set_status(participant_id: PathId, body: StatusSet, call: CallDep) -> Response:
    """Every transition is allowed."""
    view = call.run(lambda session: participants.set_status(session, author_of(call), participant_id, body.status))
    return ok(participant_body(view))


@router.get(
    "/v1/participants/{id}/enrollments",
    response_model=Paged[EnrollmentRead],
    responses=errors(404),
    summary="List participant enrollments",
)
def list_enrollments(participant_id: PathId, call: CallDep) -> Response:
    """Complete list, in order of enrolment."""
    found = call.run(lambda session: enrollments.list_enrollments(session, call.organization_id, participant_id))
    return complete_list([enrollment_body(enrollment) for enrollment in found])


@router.patch(
    "/v1/participants/{id}/enrollments/{programId}",
    response_model=EnrollmentRead,
    responses=errors(404, 409, 413, 415),
    summary="Update participant enrollment",
)
def set_enrollment(participant_id: PathId, program_id: ProgramPathId, body: EnrollmentSet, call: CallDep) -> Response:
    """The three inactive values differ in meaning to the client only."""
    enrollment = call.run(
        lambda session: enrollments.set_enrollment_status(session, call.organization_id, participant_id, program_id, body.status)
    )
    return ok(enrollment_body(enrollment))
