"""Requests that steer rather than move money: state, tiers, automations, switches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from chaos.plan import Intent
from chaos.request import Body, Builder, Memory, Request
from chaos.world import World

ONE_TIME_SECONDS, TIER_SECONDS = 3.0, 4.0


def on_person(method: str, path: str, body: Callable[[Intent], Body | None]) -> Builder:
    """An operation on a person."""

    def build(intent: Intent, world: World, _: Memory) -> Request:
        place = path.replace("{program}", world.program)
        return Request(intent.kind, intent.key, method, f"/v1/participants/{world.people[intent.who]}/{place}", body(intent))

    return build


def tier_body(intent: Intent) -> Body:
    """A level, at times for some seconds only."""
    level: Body = {"level": "gold" if intent.pick < 0.5 else "silver"}
    return level | ({"expires_at": _in_seconds(TIER_SECONDS)} if intent.reference < 3 else {})


def one_time(intent: Intent, world: World, _: Memory) -> Request:
    """An automation that fires in a few seconds."""
    trigger = {"type": "one_time", "trigger_at": _in_seconds(ONE_TIME_SECONDS)}
    body = {"name": intent.key, "event_name": "once", "scope": "program", "trigger": trigger}
    return Request(intent.kind, intent.key, "POST", f"/v1/programs/{world.program}/automations", body)


def fan_out(intent: Intent, world: World, _: Memory) -> Request:
    """An automation that fires for everybody at once."""
    body = {"name": intent.key, "event_name": "heard", "scope": "participants", "trigger": {"type": "immediate"}}
    return Request(intent.kind, intent.key, "POST", f"/v1/programs/{world.program}/automations", body)


def _in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def automation(verb: str) -> Builder:
    """A command to the automation that is there for it."""

    def build(intent: Intent, world: World, _: Memory) -> Request:
        return Request(intent.kind, intent.key, "POST", f"/v1/programs/{world.program}/automations/{world.fan_out}/{verb}")

    return build


def status_of_program(status: str) -> Builder:
    """A change of the second program."""

    def build(intent: Intent, world: World, _: Memory) -> Request:
        return Request(intent.kind, intent.key, "PATCH", f"/v1/programs/{world.second_program}", {"status": status})

    return build


def switch_rule(intent: Intent, world: World, _: Memory) -> Request:
    """A rule on or off."""
    body = {"status": "ACTIVE" if intent.pick < 0.6 else "SUSPENDED"}
    return Request(intent.kind, intent.key, "PATCH", f"/v1/rules/{world.rules['untag']}", body)


def reset_budget(intent: Intent, world: World, _: Memory) -> Request:
    """A new period of a budget."""
    path = f"/v1/rules/{world.rules['promo']}/reset-budget?asset_id={world.points}"
    return Request(intent.kind, intent.key, "POST", path)


def switch_endpoint(intent: Intent, world: World, _: Memory) -> Request:
    """An endpoint on or off."""
    body = {"status": "ACTIVE" if intent.pick < 0.6 else "DISABLED"}
    return Request(intent.kind, intent.key, "PATCH", f"/v1/webhook-endpoints/{world.endpoints['switched']}", body)


def retry_delivery(intent: Intent, _: World, memory: Memory) -> Request | None:
    """Another attempt of a delivery that failed."""
    delivery = memory.choose(memory.failed_deliveries, intent.pick)
    return None if delivery is None else Request(intent.kind, intent.key, "POST", f"/v1/webhook-deliveries/{delivery}/retry")
