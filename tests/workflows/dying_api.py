"""APIs that are killed (SIGKILL, by themselves) at a moment of one request, one after the other.

A line `PORT OPERATION MOMENT KEY` on standard input starts one, which dies over the request with this idempotency key; it is
told when one has ended. They are forks of one process, which has imported everything.
"""

import os
import signal
import sys
from types import ModuleType
from typing import Any

from sqlalchemy import event

from api.routes import redemptions as routes
from cli import serve
from services import redemptions, reversals

MOMENTS = ("before the start", "after the start", "before the commit", "after the commit", "before the answer")
BEFORE_START, AFTER_START, BEFORE_COMMIT, AFTER_COMMIT, BEFORE_ANSWER = MOMENTS


def die(*_: object) -> None:
    """kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def replace(module: ModuleType, name: str, value: object) -> None:
    """Put something in the place of a module's function."""
    setattr(module, name, value)


def arm(operation: str, moment: str, key: str) -> None:
    """Die at this moment of this request."""
    flow = {"redeem": "start_redemption", "reverse": "start_reversal"}[operation]
    module = {"redeem": redemptions, "reverse": reversals}[operation]
    really_start, really_carry_out, really_answer = getattr(routes, flow), module.carry_out, routes.outcome
    started: list[str] = []

    async def start(client: Any, wanted: Any) -> Any:
        if wanted.idempotency_key == key:
            started.append(key)
            if moment == BEFORE_START:
                die()
        return await really_start(client, wanted)

    def carry_out(session: Any, ticket: Any, *rest: Any) -> Any:
        is_mine = ticket.key == key
        if is_mine and moment == AFTER_START:
            die()
        done = really_carry_out(session, ticket, *rest)
        if is_mine and moment == BEFORE_COMMIT:
            die()
        if is_mine and moment == AFTER_COMMIT:
            event.listen(session, "after_commit", die)
        return done

    def answer(*given: Any, **options: Any) -> Any:
        if started and moment == BEFORE_ANSWER:
            die()
        return really_answer(*given, **options)

    replace(routes, flow, start)
    replace(module, "carry_out", carry_out)
    replace(routes, "outcome", answer)


def main() -> None:
    """Start one API for each line, when the one before has ended."""
    print("ready", flush=True)
    for line in sys.stdin:
        port, operation, moment, key = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            if moment:
                arm(operation, moment, key)
            serve.run("127.0.0.1", int(port))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(-os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
