"""The integrity report."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from api.deps import CallDep
from api.openapi import errors
from api.openapi import router as router_for
from api.responses import ok
from api.schemas.integrity import IntegrityQuery, IntegrityRead, integrity_body
from services import integrity

router = router_for("Ledger")


@router.get("/v1/reports/integrity", response_model=IntegrityRead, responses=errors(), summary="Get ledger integrity")
def get_integrity(query: Annotated[IntegrityQuery, Query()], call: CallDep) -> Response:
    """Whether the books agree with themselves: hashes of the latest entries, and sums over the whole ledger, at one moment."""
    return ok(integrity_body(call.run(lambda session: integrity.examine(session, call.organization_id, query.window))))
