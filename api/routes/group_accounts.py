"""What groups have and what happened to it: balances, lots, operations, history, statement."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import complete_list
from api.routes.activity import BY_POSTING
from api.routes.balances import FIFO, BalanceEndpoints
from api.schemas.activity import (
    GroupAccountQuery,
    GroupBalanceQuery,
    GroupBalanceRead,
    GroupHistoryItem,
    GroupHistoryQuery,
    GroupStatementRead,
    group_balance_body,
    group_history_body,
    group_line_body,
    statement_head,
)
from api.schemas.balances import GroupAdjustRead
from api.schemas.common import Paged
from services import activity, group_activity
from services.paging import SortColumn
from services.state import Entity, EntityKind

router = router_for("Group balances")

HISTORY = Listing("group_history", {"newest": BY_POSTING})
# A statement's cursor has the place of its last line and the place where the statement ends.
BY_PLACE = (
    SortColumn("p.created_at"),
    SortColumn("p.entry_id", "uuid"),
    SortColumn("p.ordinal", "integer"),
    SortColumn("until_created_at"),
    SortColumn("until_entry_id", "uuid"),
    SortColumn("until_ordinal", "integer"),
)
STATEMENT = Listing("group_statement", {"oldest": BY_PLACE})


@router.get(
    "/v1/groups/{id}/balances",
    response_model=Paged[GroupBalanceRead],
    responses=errors(404),
    summary="Get group balances",
)
def get_balances(group_id: PathId, query: Annotated[GroupBalanceQuery, Query()], call: CallDep) -> Response:
    """A row for each asset, by asset id, over all programs or one, after what is due."""
    rows = call.run(lambda session: group_activity.group_balances(session, call.organization_id, group_id, query.program_id))
    return complete_list([group_balance_body(row) for row in rows])


BalanceEndpoints(EntityKind.GROUP, Listing("group_lots", FIFO)).add_to(router, "/v1/groups/{id}/balances", GroupAdjustRead)


@router.get(
    "/v1/groups/{id}/activity/history",
    response_model=Paged[GroupHistoryItem],
    responses=errors(404),
    summary="Get group transaction history",
)
def get_history(group_id: PathId, query: Annotated[GroupHistoryQuery, Query()], call: CallDep) -> Response:
    """A row for each posting on the group, newest first, over all its pairs."""
    page = HISTORY.page(query, group_id)
    holder = Entity(EntityKind.GROUP, group_id)
    found = call.run(
        lambda session: activity.holder_history(session, call.organization_id, holder, query.to_filter(), page.keyset)
    )
    return page.answer(found, group_history_body)


@router.get("/v1/groups/{id}/statement", response_model=GroupStatementRead, responses=errors(404), summary="Get group statement")
def get_statement(group_id: PathId, query: Annotated[GroupAccountQuery, Query()], call: CallDep) -> Response:
    """Lines of one asset, oldest first, with running balances over all pairs, or of one program's pair."""
    page = STATEMENT.page(query, group_id, descending=False)
    wanted = query.to_group_query(page.keyset.after)
    found = call.run(lambda session: group_activity.group_statement(session, call.organization_id, group_id, wanted))
    return page.answer(found.page, group_line_body, **statement_head(query, found))
