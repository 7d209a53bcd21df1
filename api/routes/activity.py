"""What happened on participants' accounts: history and statement."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing, Page
from api.schemas.activity import (
    AccountStatementQuery,
    HistoryItem,
    HistoryQuery,
    StatementRead,
    history_body,
    line_body,
    statement_head,
)
from api.schemas.common import Paged
from services import activity
from services.activity import Statement
from services.paging import SortColumn
from services.state import Entity, EntityKind

router = router_for("Activity")

# The postings of one entry follow each other as written; newest first turns this very order round.
BY_POSTING = (SortColumn("p.created_at"), SortColumn("p.entry_id", "uuid"), SortColumn("p.ordinal", "integer"))
HISTORY = Listing("participant_history", {"newest": BY_POSTING})
# A statement's cursor has the place of its last line and the place where the statement ends.
BY_PLACE = (SortColumn("account_seq", "bigint"), SortColumn("until_seq", "bigint"))
STATEMENT = Listing("participant_statement", {"oldest": BY_PLACE})


@router.get(
    "/v1/participants/{id}/activity/history",
    response_model=Paged[HistoryItem],
    responses=errors(404),
    summary="Get participant transaction history",
)
def get_history(participant_id: PathId, query: Annotated[HistoryQuery, Query()], call: CallDep) -> Response:
    """A row for each posting on the participant, newest first; a hold has two."""
    page = HISTORY.page(query, participant_id)
    holder = Entity(EntityKind.PARTICIPANT, participant_id)
    found = call.run(
        lambda session: activity.holder_history(session, call.organization_id, holder, query.to_filter(), page.keyset)
    )
    return page.answer(found, history_body)


@router.get(
    "/v1/participants/{id}/statement",
    response_model=StatementRead,
    responses=errors(404),
    summary="Get participant statement",
)
def get_statement(participant_id: PathId, query: Annotated[AccountStatementQuery, Query()], call: CallDep) -> Response:
    """Lines of one asset, oldest first, with running balances over the account's whole history."""
    page = STATEMENT.page(query, participant_id, descending=False)
    wanted = query.to_query(page.keyset.after)
    found = call.run(lambda session: activity.participant_statement(session, call.organization_id, participant_id, wanted))
    return answer_statement(page, query, found)


def answer_statement(page: Page, query: AccountStatementQuery, found: Statement) -> Response:
    """A page of a statement with its head."""
    of_bucket = query.bucket is not None
    return page.answer(found.page, lambda row: line_body(row, of_bucket=of_bucket), **statement_head(query, found))
