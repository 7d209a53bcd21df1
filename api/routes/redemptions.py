"""Redemptions and their reversals."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from sqlmodel import Session
from starlette.responses import Response
from temporalio.client import Client

from api.deps import Call, CallDep, PathId
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.redemptions import Errand, Handle, Redeemer
from api.responses import ok, outcome
from api.routes.state import author_of
from api.schemas.common import ListQuery, Paged
from api.schemas.redemptions import (
    FulfillmentOutcome,
    ItemRedemptionCreate,
    RedemptionCreate,
    RedemptionQuery,
    RedemptionRead,
    RedemptionReverse,
    ReversalRead,
)
from api.timers import Timers
from runtime.ids import new_id
from services import fulfillments, redemption_views, redemptions, reversals
from services.catalog import CatalogOrder
from services.idempotency import fingerprint_of
from services.paging import SortColumn
from services.redemption_views import FulfillmentStatus, redemption_body, reversal_body
from services.redemptions import Glance, Priced, Redeeming
from services.reversals import Reversing
from services.tickets import Outlook, Ticket
from workflows.contracts_fulfillment import FulfillmentInput, FulfillmentSignal
from workflows.contracts_redemption import RedemptionInput, ReversalInput, redemption_workflow_id, reversal_workflow_id
from workflows.signals import start_redemption, start_reversal

router = router_for("Redemptions")

REDEMPTIONS = Listing("redemptions", {"newest": (SortColumn("r.created_at"), SortColumn("r.id", "uuid"))})
REVERSALS = Listing("redemption_reversals", {"oldest": (SortColumn("v.created_at"), SortColumn("v.id", "uuid"))})


@router.post(
    "/v1/participants/{id}/redemptions",
    status_code=201,
    response_model=RedemptionRead,
    responses=errors(404, 409, 413, 415, 422) | {200: {"model": RedemptionRead, "description": "It was done before"}},
    summary="Redeem points/assets",
)
async def redeem(participant_id: PathId, body: RedemptionCreate, call: CallDep) -> Response:
    """AVAILABLE value leaves for the program's redemption target. A 503 is final: nothing was or will be debited."""
    fingerprint = fingerprint_of("redemption", {"participant_id": participant_id}, payload_of(body))
    wanted = Redeeming(participant_id, body.program_id, Priced(body.asset_id, body.amount, body.description))
    ticket = Ticket(author_of(call), new_id(), body.idempotency_key, fingerprint)
    asked = {"asset_id": body.asset_id, "amount": body.amount, "description": body.description}
    return await _redeem(call, ticket, wanted, asked)


@router.post(
    "/v1/participants/{id}/redemptions/items",
    status_code=201,
    response_model=RedemptionRead,
    responses=errors(404, 409, 413, 415, 422) | {200: {"model": RedemptionRead, "description": "It was done before"}},
    summary="Redeem a catalog item",
)
async def redeem_item(participant_id: PathId, body: ItemRedemptionCreate, call: CallDep) -> Response:
    """A reward for what it costs, whole or not at all; never more than the stock has. A 503 is final as above."""
    payload = payload_of(body)
    if body.amount is None and body.quantity is None:
        payload["quantity"] = 1
    fingerprint = fingerprint_of("redemption-item", {"participant_id": participant_id}, payload)
    ids = (call.organization_id, body.program_id, body.reward_id)
    order = CatalogOrder(*ids, body.quantity, body.amount, body.description)
    ticket = Ticket(author_of(call), new_id(), body.idempotency_key, fingerprint)
    asked = body.model_dump(include={"reward_id", "quantity", "amount", "description"})
    return await _redeem(call, ticket, Redeeming(participant_id, body.program_id, order), asked)


async def _redeem(call: Call, ticket: Ticket, wanted: Redeeming, asked: dict[str, Any]) -> Response:
    """Carry out a redemption; `asked` is what its flow is told of it besides the ids."""
    glance = Glance(ticket, wanted, call.is_strict)

    def look(session: Session, patience_ms: int) -> Outlook:
        return redemptions.look(session, glance, patience_ms)

    def last_look(session: Session, _: Outlook) -> Outlook:
        return redemptions.last_look(session, ticket, wanted.program_id)

    async def start(client: Client, _: Outlook, valid_until: datetime) -> Handle:
        given = RedemptionInput(
            redemption_id=ticket.id,
            organization_id=call.organization_id,
            api_key_id=call.api_key_id,
            program_id=wanted.program_id,
            participant_id=wanted.participant_id,
            idempotency_key=ticket.key,
            fingerprint=ticket.fingerprint.hex(),
            valid_until=valid_until,
            **asked,
        )
        return await start_redemption(client, given)

    workflow_id = redemption_workflow_id(wanted.program_id, ticket.id, ticket.key)
    done = await _redeemer(call).run(Errand(look, last_look, start, workflow_id, ticket.id, glance))
    if not done.is_replay and done.body["fulfillment_status"] == FulfillmentStatus.PENDING:
        _timers(call).start_fulfillment(
            FulfillmentInput(
                redemption_id=UUID(done.body["id"]), organization_id=call.organization_id, program_id=wanted.program_id
            )
        )
    return outcome(done, first_status=201)


@router.get(
    "/v1/participants/{id}/redemptions",
    response_model=Paged[RedemptionRead],
    responses=errors(404),
    summary="List participant redemptions",
)
def list_redemptions(participant_id: PathId, query: Annotated[RedemptionQuery, Query()], call: CallDep) -> Response:
    """Newest first."""
    page = REDEMPTIONS.page(query, participant_id)
    wanted = query.to_filter()
    found = call.run(
        lambda session: redemption_views.list_redemptions(session, call.organization_id, participant_id, wanted, page.keyset)
    )
    return page.answer(found, redemption_body)


@router.get("/v1/redemptions/{id}", response_model=RedemptionRead, responses=errors(404), summary="Get redemption")
def get_redemption(redemption_id: PathId, call: CallDep) -> Response:
    """With what was reversed of it. A deadline of its fulfilment that has passed is carried out first."""
    return ok(redemption_body(call.run(lambda session: fulfillments.look(session, call.organization_id, redemption_id))))


@router.post(
    "/v1/redemptions/{id}/fulfillment",
    response_model=RedemptionRead,
    responses=errors(404, 409, 413, 415, 422),
    summary="Report the outcome of a fulfilment",
)
def report_fulfillment(redemption_id: PathId, body: FulfillmentOutcome, call: CallDep) -> Response:
    """FULFILLED ends the waiting; FAILED reverses the redemption in full. Saying the same again changes nothing."""
    call.run(lambda session: fulfillments.expire(session, call.organization_id, redemption_id))
    found = call.run(lambda session: fulfillments.report(session, author_of(call), redemption_id, body.to_outcome()))
    _timers(call).tell_fulfillment(redemption_id, FulfillmentSignal.REPORTED)
    return ok(redemption_body(found))


@router.post(
    "/v1/redemptions/{id}/reverse",
    status_code=201,
    response_model=ReversalRead,
    responses=errors(404, 409, 413, 415, 422) | {200: {"model": ReversalRead, "description": "It was done before"}},
    summary="Reverse a redemption",
)
async def reverse(redemption_id: PathId, body: RedemptionReverse, call: CallDep) -> Response:
    """The value returns, to the very lots that gave it. Everything that is left, unless `amount` or `quantity` says less."""
    fingerprint = fingerprint_of("reversal", {"redemption_id": redemption_id}, payload_of(body))
    ticket = Ticket(author_of(call), new_id(), body.idempotency_key, fingerprint)
    wanted = Reversing(redemption_id, body.reason, body.amount, body.quantity)

    waiting: set[UUID] = set()

    def look(session: Session, patience_ms: int) -> Outlook:
        fulfillments.expire(session, call.organization_id, redemption_id)
        outlook = reversals.look(session, ticket, wanted, patience_ms, is_strict=call.is_strict)
        if fulfillments.is_pending(session, redemption_id):
            waiting.add(redemption_id)
        return outlook

    def last_look(session: Session, known: Outlook) -> Outlook:
        return reversals.last_look(session, ticket, _program(known))

    async def start(client: Client, known: Outlook, valid_until: datetime) -> Handle:
        given = ReversalInput(
            reversal_id=ticket.id,
            redemption_id=redemption_id,
            organization_id=call.organization_id,
            api_key_id=call.api_key_id,
            program_id=_program(known),
            reason=body.reason,
            amount=body.amount,
            quantity=body.quantity,
            idempotency_key=ticket.key,
            fingerprint=ticket.fingerprint.hex(),
            valid_until=valid_until,
        )
        return await start_reversal(client, given)

    errand = Errand(look, last_look, start, reversal_workflow_id(redemption_id), ticket.id)
    done = await _redeemer(call).run(errand)
    for id_ in waiting:
        _timers(call).tell_fulfillment(id_, FulfillmentSignal.CANCELLED)
    return outcome(done, first_status=201)


@router.get(
    "/v1/redemptions/{id}/reversals",
    response_model=Paged[ReversalRead],
    responses=errors(404),
    summary="List redemption reversals",
)
def list_reversals(redemption_id: PathId, query: Annotated[ListQuery, Query()], call: CallDep) -> Response:
    """Oldest first."""
    page = REVERSALS.page(query, redemption_id, descending=False)
    found = call.run(lambda session: redemption_views.list_reversals(session, call.organization_id, redemption_id, page.keyset))
    return page.answer(found, reversal_body)


def _redeemer(call: Call) -> Redeemer:
    redeemer: Redeemer = call.request.app.state.redeemer
    return redeemer


def _timers(call: Call) -> Timers:
    timers: Timers = call.request.app.state.timers
    return timers


def _program(known: Outlook) -> UUID:
    assert known.program_id is not None, "a look that refuses nothing names the program"
    return known.program_id
