"""Journal entries: every movement of value, as it was written."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import ok
from api.schemas.common import Paged
from api.schemas.journal_entries import JournalEntryRead, JournalQuery, entry_body
from services import journal
from services.paging import SortColumn

router = router_for("Ledger")

ENTRIES = Listing("journal_entries", {"newest": (SortColumn("e.created_at"), SortColumn("e.id", "uuid"))})


@router.get("/v1/journal-entries", response_model=Paged[JournalEntryRead], responses=errors(404), summary="List journal entries")
def list_entries(query: Annotated[JournalQuery, Query()], call: CallDep) -> Response:
    """Newest first. Filters on postings must be met by one and the same posting; the entry is then shown whole."""
    page = ENTRIES.page(query)
    found = call.run(
        lambda session: journal.list_entries(session, call.organization_id, query.to_filter(), query.external_id, page.keyset)
    )
    return page.answer(found, entry_body)


@router.get("/v1/journal-entries/{id}", response_model=JournalEntryRead, responses=errors(404), summary="Get a journal entry")
def get_entry(entry_id: PathId, call: CallDep) -> Response:
    """With its postings, in the order written."""
    return ok(entry_body(call.run(lambda session: journal.get_entry(session, call.organization_id, entry_id))))
