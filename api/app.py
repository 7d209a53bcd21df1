"""The composition of the API: settings in, an ASGI application out."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.admission import KeyCache, Turnstile
from api.flows import event_flow
from api.middleware import Dispatch, Gate
from api.openapi import DESCRIPTION, describe
from api.routes import ROUTERS, clock
from db.session import Database
from runtime.settings import Settings, get_settings
from runtime.tracing import traced_app
from services.organizations import ensure_bootstrap

VERSION = "0.1.0"
# threads beyond the pool's size only wait for a connection; a few more keep key lookups and renewals from waiting
SPARE_CONNECTIONS = 2

LifespanPart = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(settings: Settings | None = None, parts: Sequence[LifespanPart] = (event_flow,)) -> FastAPI:
    """Build the API. Each of `parts` runs while it serves, started in order, after the database is there.

    A part finds `app.state.settings` and `app.state.database` and may add to `app.state` what its routes need.
    """
    settings = settings or get_settings()
    app = FastAPI(
        title="OpenScrip",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan,
        redirect_slashes=False,
        openapi_url=None,
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    app.state.parts = tuple(parts)
    app.state.readiness = {}
    app.state.is_draining = False
    for router in ROUTERS:
        app.router.routes.extend(router.routes)
    # the test clock is described in any case, and served only where it is switched on
    served = [route for route in app.router.routes if settings.test_clock or route not in clock.router.routes]
    dispatch = app.state.dispatch = Dispatch(served, app.router.app)
    # our own stack in place of the framework's: the gate answers every exception, the dispatch finds every route
    app.build_middleware_stack = lambda: _stack(app, dispatch)  # type: ignore[method-assign]
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _stack(app: FastAPI, dispatch: Dispatch) -> ASGIApp:
    stack: ASGIApp = dispatch
    for middleware, args, options in reversed(app.user_middleware):
        stack = middleware(stack, *args, **options)
    return traced_app(Gate(stack))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    threads = settings.database_pool_size
    database = Database(settings.require_database_url(), pool_size=threads + SPARE_CONNECTIONS).watched("requests")
    app.state.database = database
    app.state.keys = KeyCache(database)
    bucket = settings.bucket
    app.state.turnstile = None if bucket is None else Turnstile(database, float(bucket.rate), bucket.burst)
    anyio.to_thread.current_default_thread_limiter().total_tokens = threads
    try:
        if settings.bootstrap_api_key is not None:
            await anyio.to_thread.run_sync(_bootstrap, database, settings.bootstrap_api_key.get_secret_value())
        async with AsyncExitStack() as stack:
            for part in app.state.parts:
                await stack.enter_async_context(part(app))
            yield
    finally:
        database.close()


def _bootstrap(database: Database, secret: str) -> None:
    with database.session() as session:
        ensure_bootstrap(session, secret)
