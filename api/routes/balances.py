"""A participant's balances: what they are, and the operations that change them directly."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, Listing
from api.responses import complete_list, outcome
from api.routes.state import author_of
from api.schemas.activity import AssetBalanceRead, BalanceQuery, LotQuery, LotRead, balance_body, lot_body
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
from api.schemas.common import Paged
from domain.errors import DomainError
from services import activity, balances, due
from services.idempotency import Kind, Scope, fingerprint_of, run_once
from services.movements import Moved, Movement

router = router_for("Balances")

BASE = "/v1/participants/{id}/balances"
ERRORS = errors(404, 409, 413, 415, 422)
LOTS = Listing("participant_lots", {"fifo": (CREATED_AT, ID)})


@router.get(
    BASE,
    response_model=Paged[AssetBalanceRead],
    responses=errors(404),
    summary="Get participant balances",
)
def get_balances(participant_id: PathId, query: Annotated[BalanceQuery, Query()], call: CallDep) -> Response:
    """A row for each asset the participant ever had an entry in, by symbol, after what is due."""
    rows = call.run(lambda session: activity.get_balances(session, call.organization_id, participant_id, query.asset_id))
    return complete_list([balance_body(row) for row in rows])


@router.get(
    f"{BASE}/lots",
    response_model=Paged[LotRead],
    responses=errors(404),
    summary="List participant lots",
)
def list_lots(participant_id: PathId, query: Annotated[LotQuery, Query()], call: CallDep) -> Response:
    """In FIFO order, after what is due."""
    page = LOTS.page(query, participant_id, descending=False)
    found = call.run(
        lambda session: activity.list_lots(
            session, call.organization_id, participant_id, query.asset_id, query.to_filter(), page.keyset
        )
    )
    return page.answer(found.page, lambda row: lot_body(row, found.asset))


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
