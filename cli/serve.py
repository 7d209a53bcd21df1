"""`openscrip serve`: the API in one process."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.flows import event_flow
from cli.local import local_settings
from cli.redemptions import hosted_redemptions
from db.reach import await_database
from db.session import Database
from runtime.log import configure_logging, warn_without_secret_key
from runtime.settings import Settings
from runtime.tracing import flush, tracing
from services.clock import require_own_time

DRAIN_SECONDS = 10
# uvicorn's own code for a server that couldn't start
STARTUP_FAILURE = 3


@asynccontextmanager
async def traces_sent(_app: FastAPI) -> AsyncIterator[None]:
    """A part of the API: sends the last traces, because the signal that ends the process is raised again right after."""
    yield
    await asyncio.to_thread(flush)


PARTS = (traces_sent, event_flow, hosted_redemptions)


def run(host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests that are under way."""
    settings = local_settings()
    configure_logging(settings)
    warn_without_secret_key(settings)
    with closing(Database(settings.require_database_url(), pool_size=1)) as database:
        await_database(database)
        require_own_time(database, may_be_moved=settings.test_clock)
    with tracing(settings, "openscrip-api"):
        _serve(settings, host, port)


class DrainingServer(uvicorn.Server):
    """Serves on for a while after the first signal, no longer ready and with `Connection: close`; a second one ends that.

    By then a load balancer has noticed, and no connection is kept that a request could be on its way over.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._seconds = seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self._seconds or self._app.state.is_draining:
            super().handle_exit(sig, frame)
            return
        self._app.state.is_draining = True
        timer = threading.Timer(self._seconds, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def _serve(settings: Settings, host: str | None, port: int | None) -> None:
    app = create_app(settings, PARTS)
    config = uvicorn.Config(
        app,
        host=host or settings.api_host,
        port=port or settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = DrainingServer(config, app, settings.drain_seconds)
    server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)
