"""The test clock of a deployment; served with OPENSCRIP_TEST_CLOCK=1 only."""

from fastapi import Request
from starlette.responses import Response

from api.clock import ClockMover
from api.openapi import errors
from api.openapi import router as router_for
from api.responses import ok
from api.schemas.clock import ClockMove, ClockRead

router = router_for("Test clock")


@router.get("/v1/test-clock", summary="Get the test clock", response_model=ClockRead, responses=errors(404))
async def read_clock(request: Request) -> Response:
    """What the server's clock shows."""
    return ok({"now": await _mover(request).read(), "steps": 0})


@router.post("/v1/test-clock", summary="Move the test clock", response_model=ClockRead, responses=errors(404, 413, 415))
async def move_clock(request: Request, body: ClockMove) -> Response:
    """Forward, through every due moment on the way in order. After a 503 the same call goes on where the clock stopped."""
    mover = _mover(request)
    steps = await mover.move(body.now)
    return ok({"now": await mover.read(), "steps": steps})


def _mover(request: Request) -> ClockMover:
    mover: ClockMover = request.app.state.clock
    return mover
