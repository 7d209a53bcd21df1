"""Health, readiness and metrics; no key needed."""

import asyncio
from collections.abc import Awaitable, Callable

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from api.openapi import router as router_for
from api.responses import Json
from db.session import Database
from services import health

router = router_for("Operations")

CHECK_SECONDS = 3.0
# apart from the threads of requests: busy isn't unready
_threads = CapacityLimiter(2)
Check = Callable[[], Awaitable[bool]]


@router.get("/healthz", summary="Is the process alive?", responses={200: {"description": "It is"}})
async def healthz() -> Response:
    return Json({"status": "ok"})


@router.get("/readyz", summary="Can requests be served?", responses={503: {"description": "Something they need is missing"}})
async def readyz(request: Request) -> Response:
    """Database reachable with current migrations; what else the process needs (Temporal) as `app.state.readiness` says.

    A process that is about to end isn't ready, although it serves.
    """
    database: Database = request.app.state.database
    checks: dict[str, Check] = {
        "database": lambda: to_thread.run_sync(health.is_current, database, abandon_on_cancel=True, limiter=_threads),
        **request.app.state.readiness,
    }
    results = dict(zip(checks, await asyncio.gather(*map(_passes, checks.values())), strict=True))
    if request.app.state.is_draining:
        results["draining"] = False
    is_ready = all(results.values())
    states = {name: "ok" if good else "failed" for name, good in results.items()}
    body = {"status": "ok" if is_ready else "unavailable", "checks": states}
    return Json(body, status_code=200 if is_ready else 503)


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except Exception:  # noqa: BLE001 - whatever fails, it isn't ready
        return False


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Response:
    """The API description; built on a thread at the first request, as it takes a while."""
    return Json(request.app.openapi())


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
