"""Transfers between participants and groups."""

from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from api.deps import CallDep
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.responses import outcome
from api.routes.state import author_of
from api.schemas.transfers import TransferCreate, TransferRead, transfer_body
from domain.errors import DomainError
from services import transfers
from services.idempotency import Kind, Scope, fingerprint_of, run_once

router = router_for("Transfers")


@router.post(
    "/v1/transfers",
    status_code=201,
    response_model=TransferRead,
    responses=errors(404, 409, 413, 415, 422) | {200: {"model": TransferRead, "description": "It was done before"}},
    summary="Create a transfer",
)
def create_transfer(body: TransferCreate, call: CallDep) -> Response:
    """From one participant or group to 1-100 others within one program, all or nothing."""
    wanted = body.to_command()
    scope = Scope(call.organization_id, body.program_id, Kind.TRANSFER, body.idempotency_key)
    fingerprint = fingerprint_of("transfer", {}, payload_of(body))

    def work(session: Session) -> dict[str, Any]:
        return transfer_body(transfers.create_transfer(session, author_of(call), wanted, is_strict=call.is_strict))

    try:
        done = call.run(lambda session: run_once(session, scope, fingerprint, lambda: work(session)))
    except DomainError:
        # What was due isn't an effect of the refused request: it stays.
        call.run(lambda session: transfers.settle_parties(session, call.organization_id, wanted))
        raise
    return outcome(done, first_status=201)
