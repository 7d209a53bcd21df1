"""Wallets of programs: fund, burn, balance, history, statement."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import AssetPathId, Call, CallDep, PathId
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import outcome
from api.routes.activity import BY_PLACE, BY_POSTING, answer_statement
from api.routes.state import author_of
from api.schemas.activity import AccountStatementQuery, HistoryItem, HistoryQuery, StatementRead, history_body
from api.schemas.common import Paged
from api.schemas.wallets import (
    ProgramBalanceQuery,
    WalletChangeRead,
    WalletOperation,
    WalletRead,
    change_body,
    wallet_body,
)
from services import wallets
from services.idempotency import Kind, Scope, fingerprint_of, run_once
from services.paging import SortColumn
from services.wallets import WalletChanged

router = router_for("Programs")

WALLETS = Listing("program_wallets", {"linked_at": (SortColumn("linked_at"), SortColumn("asset_id", "uuid"))})
HISTORY = Listing("wallet_history", {"newest": BY_POSTING})
STATEMENT = Listing("wallet_statement", {"oldest": BY_PLACE})
ERRORS = errors(404, 409, 413, 415, 422)


@router.post(
    "/v1/programs/{id}/assets/{assetId}/fund", response_model=WalletChangeRead, responses=ERRORS, summary="Fund a program"
)
def fund(program_id: PathId, asset_id: AssetPathId, body: WalletOperation, call: CallDep) -> Response:
    """Mint value into the program's wallet of a PREFUNDED asset."""
    return _change(call, program_id, asset_id, "fund", body, wallets.fund_program, "Program funded successfully")


@router.post(
    "/v1/programs/{id}/assets/{assetId}/burn",
    response_model=WalletChangeRead,
    responses=ERRORS,
    summary="Burn program balance",
)
def burn(program_id: PathId, asset_id: AssetPathId, body: WalletOperation, call: CallDep) -> Response:
    """Take value out of the program's wallet, for good."""
    return _change(call, program_id, asset_id, "burn", body, wallets.burn_balance, "Program burned successfully")


def _change(
    call: Call,
    program_id: UUID,
    asset_id: UUID,
    operation: str,
    body: WalletOperation,
    use_case: Callable[..., WalletChanged],
    message: str,
) -> Response:
    wanted = body.to_command(program_id, asset_id)
    scope = Scope(call.organization_id, program_id, Kind.WALLET, body.idempotency_key)
    path = {"id": program_id, "assetId": asset_id}
    fingerprint = fingerprint_of(operation, path, payload_of(body))

    def work(session: Session) -> dict[str, Any]:
        return change_body(use_case(session, author_of(call), wanted, is_strict=call.is_strict), message)

    return outcome(call.run(lambda session: run_once(session, scope, fingerprint, lambda: work(session))))


@router.get("/v1/programs/{id}/balance", response_model=Paged[WalletRead], responses=errors(404), summary="Get program balance")
def get_balance(program_id: PathId, query: Annotated[ProgramBalanceQuery, Query()], call: CallDep) -> Response:
    """One row per linked PREFUNDED asset, in order of linking."""
    page = WALLETS.page(query, program_id, descending=False)
    found = call.run(
        lambda session: wallets.program_balance(session, call.organization_id, program_id, query.asset_id, page.keyset)
    )
    return page.answer(found, wallet_body)


@router.get(
    "/v1/programs/{id}/history",
    response_model=Paged[HistoryItem],
    responses=errors(404),
    summary="Get program wallet transaction history",
)
def get_history(program_id: PathId, query: Annotated[HistoryQuery, Query()], call: CallDep) -> Response:
    """A row for each posting on a wallet of the program, newest first."""
    page = HISTORY.page(query, program_id)
    found = call.run(
        lambda session: wallets.wallet_history(session, call.organization_id, program_id, query.to_filter(), page.keyset)
    )
    return page.answer(found, history_body)


@router.get(
    "/v1/programs/{id}/statement", response_model=StatementRead, responses=errors(404, 409), summary="Get program statement"
)
def get_statement(program_id: PathId, query: Annotated[AccountStatementQuery, Query()], call: CallDep) -> Response:
    """Lines of one wallet, oldest first, with running balances over its whole history."""
    page = STATEMENT.page(query, program_id, descending=False)
    wanted = query.to_query(page.keyset.after)
    found = call.run(lambda session: wallets.wallet_statement(session, call.organization_id, program_id, wanted))
    return answer_statement(page, query, found)
