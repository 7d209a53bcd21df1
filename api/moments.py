"""Waiting until a moment is over, without holding a connection (reporting.md, Liability)."""

import time
from datetime import datetime

from api.deps import Call
from domain.errors import ServiceUnavailable
from services import reports

WAIT_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1


def settled_moment(call: Call, as_of: datetime | None) -> datetime:
    """The moment asked for, or now, once nobody can write at or before it any more.

    BadRequest for the future; ServiceUnavailable when that takes more than five seconds.
    """
    mark = call.run(lambda session: reports.mark_moment(session, as_of))
    deadline, pause = time.monotonic() + WAIT_SECONDS, _FIRST_PAUSE
    while not call.run(lambda session: reports.is_over(session, mark)):
        if time.monotonic() >= deadline:
            raise ServiceUnavailable("A transaction that may still write at this time takes long, please retry")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return mark.moment
