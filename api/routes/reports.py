"""Reports on all holders' value: summary, activity, liability, rollforward, schedule of expiries."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep
from api.moments import settled_moment
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.schemas.common import Paged
from api.schemas.report_activity import (
    ActivityQuery,
    ActivityRead,
    ScheduleRead,
    ScheduleReadQuery,
    activity_body,
    schedule_body,
)
from api.schemas.reports import (
    LiabilityPage,
    LiabilityQuery,
    RollforwardQuery,
    RollforwardRead,
    SummaryQuery,
    SummaryRead,
    liability_body,
    rollforward_body,
    summary_body,
)
from services import expiration_schedule, program_activity, reports
from services.paging import Slice, SortColumn

router = router_for("Reports")

BY_SYMBOL = (SortColumn("a.symbol", "text"), SortColumn("a.id", "uuid"))
BY_PAIR = (SortColumn("a.symbol", "text"), SortColumn("g.name", "text"), SortColumn("a.id", "uuid"), SortColumn("g.id", "uuid"))
BUCKET = SortColumn("b.bucket", "text")
# Later pages of the liability are of the moment of the first one: the last value of their cursor.
AS_OF = SortColumn("as_of")
SUMMARY = Listing("ledger_summary", {"symbol": BY_SYMBOL})
LIABILITY = Listing("liability", {"symbol": (*BY_PAIR, AS_OF)})
LIABILITY_BY_BUCKET = Listing("liability_by_bucket", {"symbol": (*BY_PAIR, BUCKET, AS_OF)})
ROLLFORWARD = Listing("liability_rollforward", {"symbol": BY_PAIR})
LATEST = (SortColumn("latest.at", is_nullable=True), SortColumn("g.id", "uuid"))
ACTIVITY = Listing("program_activity", {"latest": LATEST})
SCHEDULE = Listing("expiration_schedule", {"symbol": BY_SYMBOL})


@router.get("/v1/reports/ledger-summary", response_model=Paged[SummaryRead], responses=errors(404), summary="Get ledger summary")
def get_summary(query: Annotated[SummaryQuery, Query()], call: CallDep) -> Response:
    """What was issued, redeemed, expired, forfeited and is outstanding, by asset; with `from` and `to` also of that period."""
    page = SUMMARY.page(query, descending=False)
    found = call.run(
        lambda session: reports.ledger_summary(session, call.organization_id, query.program_id, query.window, page.keyset)
    )
    return page.answer(found, summary_body)


@router.get(
    "/v1/reports/program-activity", response_model=Paged[ActivityRead], responses=errors(), summary="Get program activity"
)
def get_activity(query: Annotated[ActivityQuery, Query()], call: CallDep) -> Response:
    """Events, entries and what they issued and redeemed, by program; the latest activity first."""
    page = ACTIVITY.page(query)
    found = call.run(
        lambda session: program_activity.program_activity(session, call.organization_id, query.to_filter(), page.keyset)
    )
    return page.answer(found, activity_body)


@router.get("/v1/reports/liability", response_model=LiabilityPage, responses=errors(404), summary="Get liability")
def get_liability(query: Annotated[LiabilityQuery, Query()], call: CallDep) -> Response:
    """What holders had at a moment, by asset and program. An answer for one moment never changes later."""
    page = (LIABILITY_BY_BUCKET if query.by_bucket else LIABILITY).page(query, descending=False)
    after = page.keyset.after
    as_of = settled_moment(call, query.as_of) if after is None else datetime.fromisoformat(str(after[-1]))
    keyset = replace(page.keyset, columns=page.keyset.columns[:-1], after=None if after is None else after[:-1])
    found = call.run(
        lambda session: reports.liability(session, call.organization_id, query.scope, as_of, keyset, by_bucket=query.by_bucket)
    )
    last = None if found.last is None else (*found.last, as_of)
    return page.answer(Slice(found.rows, last), liability_body, as_of=as_of)


@router.get(
    "/v1/reports/liability-rollforward",
    response_model=Paged[RollforwardRead],
    responses=errors(404),
    summary="Get liability rollforward",
)
def get_rollforward(query: Annotated[RollforwardQuery, Query()], call: CallDep) -> Response:
    """How the outstanding value of each asset and program went from `opening_balance` to `closing_balance`, line by line."""
    page = ROLLFORWARD.page(query, descending=False)
    found = call.run(
        lambda session: reports.liability_rollforward(session, call.organization_id, query.scope, query.window, page.keyset)
    )
    return page.answer(found, rollforward_body)


@router.get(
    "/v1/reports/expiration-schedule",
    response_model=Paged[ScheduleRead],
    responses=errors(404),
    summary="Get expiration schedule",
)
def get_schedule(query: Annotated[ScheduleReadQuery, Query()], call: CallDep) -> Response:
    """What is left of lots by when it expires: in each bucket of the window, before it, after it, never."""
    page = SCHEDULE.page(query, descending=False)
    found = call.run(
        lambda session: expiration_schedule.expiration_schedule(session, call.organization_id, query.to_query(), page.keyset)
    )
    return page.answer(found, schedule_body)
