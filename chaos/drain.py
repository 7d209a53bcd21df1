"""After the last fault: wait until nothing is waiting any more."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import psycopg

from chaos.clients import Caller, Log
from chaos.request import Request
from chaos.stack import Stack
from chaos.world import World
from runtime.processes import ServiceError, wait_until

READY_SECONDS = 90.0
POLL_SECONDS = 0.25
# Nothing that is younger is late.
LATE = "openscrip_now() - interval '1 second'"
# Deadlines of a few seconds are awaited, too: what they do would go on while the books are judged.
SOON = "openscrip_now() + interval '10 seconds'"

# What waits, each as a query for a few of its rows.
WAITING = (
    ("events of a lane", "SELECT event_id, lane, state, attempts FROM event_queue"),
    ("what is due on accounts", f"SELECT holder_id, asset_id, next_due_at FROM balances WHERE next_due_at < {SOON}"),
    ("holds that end", f"SELECT id, expires_at FROM holds WHERE remaining > 0 AND expires_at < {SOON}"),
    (
        "automations that are due",
        f"""SELECT a.id, a.name, a.due_at FROM automations a JOIN programs p ON p.id = a.program_id AND p.status = 'ACTIVE'
        WHERE a.due_at < {LATE}""",
    ),
    (
        # a rule's event is made two seconds after the one that scheduled it
        "events that are soon made",
        f"SELECT id, name, due_at FROM automations WHERE trigger_type = 'one_time' AND due_at < {SOON}",
    ),
    ("fan-outs", "SELECT id, name, execution_status FROM automations WHERE execution_status IN ('pending', 'executing')"),
    ("subscriptions that are due", f"SELECT id, participant_id, due_at FROM automation_subscriptions WHERE due_at < {LATE}"),
    (
        "fulfilments that end",
        f"SELECT id FROM redemptions WHERE fulfillment_status = 'PENDING' AND fulfillment_expires_at < {SOON}",
    ),
    ("steps of tiers", f"SELECT holder_id, tier_id, next_due_at FROM tier_states WHERE next_due_at < {LATE}"),
    (
        # the third attempt comes minutes after the second
        "deliveries",
        f"""SELECT id, status, attempt_count, next_attempt_at FROM webhook_deliveries WHERE status IN ('PENDING', 'SENDING')
        AND NOT (status = 'PENDING' AND attempt_count >= 2 AND next_attempt_at > {LATE})""",
    ),
)


@dataclass(frozen=True, slots=True)
class Drain:
    """How long it took, and what was left at the deadline."""

    seconds: float
    left: tuple[tuple[str, str], ...]


def drain(stack: Stack, world: World, caller: Caller, limit_seconds: float, visit_after: float) -> Drain:
    """Wait until nothing waits; from `visit_after` seconds on everybody's balances are read, which settles what is due."""
    began = time.monotonic()
    if not wait_until(stack.is_ready, READY_SECONDS, POLL_SECONDS):
        raise ServiceError(f"chaos: the APIs don't get ready after the last fault, see {stack.logs}")
    _resume(world, caller)
    with stack.connect() as connection:
        while left := _waiting(connection):
            elapsed = time.monotonic() - began
            if elapsed > limit_seconds:
                return Drain(elapsed, tuple(left))
            if elapsed > visit_after:
                _visit(world, caller)
            time.sleep(POLL_SECONDS)
    return Drain(time.monotonic() - began, ())


def require_drained(found: Drain, log: Log) -> None:
    """What is left is a violation."""
    for name, row in found.left:
        log.violate("everything accepted and due is done in time", f"{name}: {row}")


def _resume(world: World, caller: Caller) -> None:
    patches = {
        f"/v1/programs/{world.second_program}": "ACTIVE",
        f"/v1/webhook-endpoints/{world.endpoints['switched']}": "ACTIVE",
    }
    for path, status in patches.items():
        request = Request("resume", "", "PATCH", path, {"status": status})
        wait_until(lambda request=request: caller.send(request).status == httpx.codes.OK, READY_SECONDS, POLL_SECONDS)  # type: ignore[misc]


def _visit(world: World, caller: Caller) -> None:
    holders = [f"participants/{person}" for person in world.people] + [f"groups/{group}" for group in world.groups]
    for holder in holders:
        caller.get(f"/v1/{holder}/balances")


def _waiting(connection: psycopg.Connection[tuple[object, ...]]) -> Sequence[tuple[str, str]]:
    found = []
    for name, query in WAITING:
        rows = connection.execute(query).fetchmany(3)
        found += [(name, ", ".join(map(str, row))) for row in rows]
    return found
