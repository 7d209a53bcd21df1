"""`openscrip serve`: the API in one process."""

from contextlib import closing

import uvicorn

from api.app import create_app
from api.flows import event_flow
from cli.local import local_settings
from cli.redemptions import hosted_redemptions
from db.session import Database
from runtime.log import configure_logging, warn_without_secret_key
from services.clock import require_own_time

DRAIN_SECONDS = 10
PARTS = (event_flow, hosted_redemptions)


def run(host: str | None, port: int | None) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests that are under way."""
    settings = local_settings()
    configure_logging(settings)
    warn_without_secret_key(settings)
    with closing(Database(settings.require_database_url(), pool_size=1)) as database:
        require_own_time(database, may_be_moved=settings.test_clock)
    uvicorn.run(
        create_app(settings, PARTS),
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
