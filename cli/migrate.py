"""`openscrip migrate`: schema and bootstrap organization; safe to repeat and to run from many machines at once."""

import structlog

from cli.local import local_settings
from db.migrate import upgrade
from db.session import Database
from runtime.log import configure_logging
from services.organizations import ensure_bootstrap


def run() -> None:
    """Migrate as the schema's owner, then create the first organization when a bootstrap key is set."""
    settings = local_settings()
    configure_logging(settings)
    log = structlog.get_logger(__name__)
    upgrade(settings.require_migration_database_url(), lanes=settings.lanes)
    log.info("migrated")
    if settings.bootstrap_api_key is None:
        return
    database = Database(settings.require_database_url(), pool_size=1)
    try:
        with database.session() as session:
            ensure_bootstrap(session, settings.bootstrap_api_key.get_secret_value())
    finally:
        database.close()
