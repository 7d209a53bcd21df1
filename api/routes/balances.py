"""A participant's balances: what they are, and the operations that change them directly."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.responses import outcome
from api.routes.state import author_of
from api.schemas.balances import (
    AdjustRead,
    BalanceAdjust,
    BalanceForfeit,
    BalanceHold,
    BalanceRelease,
    BalanceVoidHold,
    MoveRead,
    adjust_body,
    move_body,
)
from domain.errors import DomainError
from services import balances, due
from services.balances import Moved, Movement
from services.idempotency import Kind, Scope, fingerprint_of, run_once

router = router_for("Balances")

BASE = "/v1/participants/{id}/balances"
ERRORS = errors(404, 409, 413, 415, 422)


@router.post(f"{BASE}/adjust", response_model=AdjustRead, responses=ERRORS, summary="Adjust participant balance")
def adjust(participant_id: PathId, body: BalanceAdjust, call: CallDep) -> Response:
    """A manual credit or debit outside the rules."""
    wanted = body.to_command()

    def work(session: Session) -> dict[str, Any]:
        done = balances.adjust(session, author_of(call), participant_id, wanted, is_strict=call.is_strict)
        return adjust_body(wanted, done)

    return _once(call, participant_id, "adjust", body, work)


@router.post(f"{BASE}/hold", response_model=MoveRead, responses=ERRORS, summary="Hold participant balance")
def hold(participant_id: PathId, body: BalanceHold, call: CallDep) -> Response:
    """AVAILABLE -> HELD; with `expires_at` what is then still held returns by itself."""
    return _move(call, participant_id, "hold", body, balances.hold_balance)


@router.post(f"{BASE}/release", response_model=MoveRead, responses=ERRORS, summary="Release participant balance")
def release(participant_id: PathId, body: BalanceRelease, call: CallDep) -> Response:
    """HELD -> AVAILABLE: everything or up to `amount` of what is selected, exactly `amount` on SIMPLE without a reference."""
    return _move(call, participant_id, "release", body, balances.release_balance)


@router.post(f"{BASE}/forfeit", response_model=MoveRead, responses=ERRORS, summary="Forfeit participant balance")
def forfeit(participant_id: PathId, body: BalanceForfeit, call: CallDep) -> Response:
    """From the bucket to breakage, for good; allowed in every status of the participant."""
    return _move(call, participant_id, "forfeit", body, balances.forfeit_balance)


@router.post(f"{BASE}/void-hold", response_model=MoveRead, responses=ERRORS, summary="Void hold participant balance")
def void_hold(participant_id: PathId, body: BalanceVoidHold, call: CallDep) -> Response:
    """All provisional lots of the reference return to their source; allowed in every status of the participant."""
    return _move(call, participant_id, "void-hold", body, balances.void_hold_balance)


_Body = BalanceHold | BalanceRelease | BalanceForfeit | BalanceVoidHold


def _move(call: Call, participant_id: UUID, operation: str, body: _Body, use_case: Callable[..., Moved]) -> Response:
    wanted: Movement = body.to_command()

    def work(session: Session) -> dict[str, Any]:
        return move_body(wanted, use_case(session, author_of(call), participant_id, wanted, is_strict=call.is_strict))

    return _once(call, participant_id, operation, body, work)


def _once(
    call: Call, participant_id: UUID, operation: str, body: BalanceAdjust | _Body, work: Callable[[Session], dict[str, Any]]
) -> Response:
    scope = Scope(call.organization_id, body.program_id, Kind.BALANCE, body.idempotency_key)
    fingerprint = fingerprint_of(f"participant/{operation}", {"id": participant_id}, payload_of(body))
    try:
        done = call.run(lambda session: run_once(session, scope, fingerprint, lambda: work(session)))
    except DomainError:
        # What was due isn't an effect of the refused request: it stays.
        call.run(lambda session: due.settle(session, call.organization_id, participant_id))
        raise
    return outcome(done)
