"""`openscrip promote`: the step of a rollout after which flows belong to the new workers."""

import asyncio

from temporalio.service import RPCError

from cli.local import local_settings
from runtime.processes import ServiceError
from runtime.settings import Settings
from runtime.temporal import connect
from runtime.temporal import promote as make_current


def run() -> None:
    """Make the version current; ServiceError when Temporal doesn't know it: no worker of it has polled yet."""
    settings = local_settings()
    asyncio.run(_promote(settings))
    print(f"{settings.worker_deployment} {settings.worker_build_id} is current")


async def _promote(settings: Settings) -> None:
    try:
        await make_current(await connect(settings), settings)
    except (RPCError, RuntimeError) as error:
        raise ServiceError(f"promote: {error}") from None
