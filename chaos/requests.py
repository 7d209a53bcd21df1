"""From an intent to the request that carries it out."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from chaos import steering
from chaos.plan import Intent
from chaos.request import Body, Builder, Memory, Request
from chaos.world import World

EVENT_TIME = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def request_of(intent: Intent, world: World, memory: Memory) -> Request:
    """The request; where an operation needs something that isn't there yet, another one takes its place."""
    found = BUILDERS[intent.kind](intent, world, memory)
    return found if found is not None else _event(intent, world, memory)


def event_body(intent: Intent, world: World, number: int) -> Body:
    """One event of an intent."""
    event_type = intent.event_types[number]
    at = EVENT_TIME + timedelta(seconds=intent.number)
    who = (intent.who + number) % len(world.names)
    in_second = event_type == "purchase" and intent.pick < 0.15
    return {
        "program_id": world.second_program if in_second else world.program,
        "idempotency_key": f"{intent.key}-{number}",
        "external_id": world.names[who],
        "event_timestamp": at.isoformat(),
        "event_data": {"type": event_type, "amount": intent.cents / 100, "ref": f"ref-{intent.reference % 2}"},
    }


def _event(intent: Intent, world: World, _: Memory) -> Request:
    body = event_body(intent, world, 0)
    return Request("event", body["idempotency_key"], "POST", "/v1/events", body, "event", body["program_id"])


def _batch(intent: Intent, world: World, _: Memory) -> Request:
    events = [event_body(intent, world, number) for number in range(len(intent.event_types))]
    return Request(intent.kind, intent.key, "POST", "/v1/events/batch", {"events": events}, "event")


def _again(intent: Intent, _: World, memory: Memory) -> Request | None:
    body = memory.choose(memory.sent, intent.pick)
    if body is None:
        return None
    return Request(intent.kind, body["idempotency_key"], "POST", "/v1/events", body, "event", body["program_id"])


def _retry(intent: Intent, _: World, memory: Memory) -> Request | None:
    event = memory.choose(memory.events, intent.pick)
    return None if event is None else Request(intent.kind, intent.key, "POST", f"/v1/events/{event[1]}/retry")


def _retry_all(intent: Intent, world: World, _: Memory) -> Request:
    return Request(intent.kind, intent.key, "POST", "/v1/events/retry", {"program_id": world.program})


def _on_balance(verb: str, holder: str, more: Callable[[Intent], Body]) -> Builder:
    def build(intent: Intent, world: World, _: Memory) -> Request:
        of_group = holder == "groups"
        holder_id = world.groups[intent.who % len(world.groups)] if of_group else world.people[intent.who]
        asset = world.points if of_group else world.money[intent.reference % 2]
        body = {"program_id": world.program, "asset_id": asset, "description": intent.key, "idempotency_key": intent.key}
        body |= {"amount": intent.amount, **more(intent)}
        wanted = {name: value for name, value in body.items() if value is not None}
        path = f"/v1/{holder}/{holder_id}/balances/{verb}"
        return Request(intent.kind, intent.key, "POST", path, wanted, "balance", world.program)

    return build


def _hold_fields(intent: Intent) -> Body:
    ends = "3s" if intent.pick < 0.5 else None
    return {"reference_id": f"hand-{intent.reference % 2}" if intent.pick < 0.8 else None, "expires_at": ends}


def _release_fields(intent: Intent) -> Body:
    # with its reference, or all that is held
    return {"reference_id": f"hand-{intent.reference % 2}" if intent.pick < 0.6 else None, "amount": None}


def _forfeit_fields(intent: Intent) -> Body:
    return {"bucket": "HELD" if intent.pick < 0.5 else "AVAILABLE"}


def _void(intent: Intent, world: World, _: Memory) -> Request:
    body = {"program_id": world.program, "asset_id": world.miles, "description": intent.key, "idempotency_key": intent.key}
    path = f"/v1/participants/{world.people[intent.who]}/balances/void-hold"
    body["reference_id"] = f"ref-{intent.reference % 2}"
    return Request(intent.kind, intent.key, "POST", path, body, "balance", world.program)


def _transfer(intent: Intent, world: World, _: Memory) -> Request:
    source = world.people[intent.who]
    others = [person for person in world.people if person != source]
    chosen = [others[(intent.other + step) % len(others)] for step in range(1 + intent.reference % 3)]
    recipients: list[Body] = [{"participant_id": person, "amount": intent.amount} for person in chosen]
    if intent.pick < 0.3:
        recipients.append({"group_id": world.groups[0], "amount": "1.00"})
    body = _transfer_body(intent, world, recipients, world.money[intent.reference % 2] if intent.pick >= 0.3 else world.points)
    return _sent(intent, world, "/v1/transfers", body | {"source_participant_id": source}, "transfer")


def _group_transfer(intent: Intent, world: World, _: Memory) -> Request:
    recipients = [{"participant_id": world.people[intent.who], "amount": intent.amount}]
    body = _transfer_body(intent, world, recipients, world.points)
    group = world.groups[intent.other % len(world.groups)]
    return _sent(intent, world, "/v1/transfers", body | {"source_group_id": group}, "transfer")


def _transfer_body(intent: Intent, world: World, recipients: list[Body], asset: str) -> Body:
    return {
        "program_id": world.program,
        "asset_id": asset,
        "description": intent.key,
        "idempotency_key": intent.key,
        "recipients": recipients,
    }


def _sent(intent: Intent, world: World, path: str, body: Body, key_kind: str) -> Request:
    return Request(intent.kind, intent.key, "POST", path, body, key_kind, world.program)


def _wallet(verb: str) -> Builder:
    def build(intent: Intent, world: World, _: Memory) -> Request:
        body = {"amount": intent.amount, "description": intent.key, "idempotency_key": intent.key}
        return _sent(intent, world, f"/v1/programs/{world.program}/assets/{world.gifts}/{verb}", body, "wallet")

    return build


def _redeem(intent: Intent, world: World, _: Memory) -> Request:
    body = {
        "program_id": world.program,
        "asset_id": world.money[intent.reference % 2],
        "amount": intent.amount,
        "description": intent.key,
        "idempotency_key": intent.key,
    }
    return _sent(intent, world, f"/v1/participants/{world.people[intent.who]}/redemptions", body, "redemption")


def _redeem_item(intent: Intent, world: World, _: Memory) -> Request:
    body = {
        "program_id": world.program,
        "reward_id": world.mug if intent.pick < 0.7 else world.parcel,
        "quantity": 1 + intent.reference % 2,
        "description": intent.key,
        "idempotency_key": intent.key,
    }
    return _sent(intent, world, f"/v1/participants/{world.people[intent.who]}/redemptions/items", body, "redemption")


def _reverse(intent: Intent, world: World, memory: Memory) -> Request | None:
    made = memory.choose(memory.redemptions, intent.pick)
    if made is None:
        return None
    redemption_id, kind = made
    body: Body = {"reason": intent.key, "idempotency_key": intent.key}
    if intent.repeats_at_once:
        body |= {"quantity": 1} if kind == "redeem item" else {"amount": intent.amount}
    return _sent(intent, world, f"/v1/redemptions/{redemption_id}/reverse", body, "reversal")


def _report(intent: Intent, _: World, memory: Memory) -> Request | None:
    redemption_id = memory.choose(memory.parcels, 1 - intent.pick**3)
    if redemption_id is None:
        return None
    body = {"status": "FAILED" if intent.pick < 0.4 else "FULFILLED", "note": intent.key}
    return Request(intent.kind, intent.key, "POST", f"/v1/redemptions/{redemption_id}/fulfillment", body)


def _list(intent: Intent, world: World, _: Memory) -> Request:
    paths = (
        f"/v1/journal-entries?program_id={world.program}&limit=40",
        f"/v1/events?program_id={world.program}&status=FAILED&limit=40",
        f"/v1/participants/{world.people[intent.who]}/activity/history?limit=40",
        f"/v1/webhook-endpoints/{world.endpoints['all']}/deliveries?status=FAILED&limit=40",
        f"/v1/participants/{world.people[intent.who]}/redemptions?limit=40",
    )
    return Request(intent.kind, intent.key, "GET", paths[int(intent.pick * len(paths))])


BUILDERS: Mapping[str, Builder] = {
    "event": _event,
    "event batch": _batch,
    "event again": _again,
    "event retry": _retry,
    "event retry all": _retry_all,
    "credit": _on_balance("adjust", "participants", lambda _: {"type": "CREDIT"}),
    "debit": _on_balance("adjust", "participants", lambda intent: {"type": "DEBIT", "allow_negative": intent.pick < 0.2}),
    "hold": _on_balance("hold", "participants", _hold_fields),
    "release": _on_balance("release", "participants", _release_fields),
    "forfeit": _on_balance("forfeit", "participants", _forfeit_fields),
    "void hold": _void,
    "transfer": _transfer,
    "transfer of a group": _group_transfer,
    "credit to a group": _on_balance("adjust", "groups", lambda _: {"type": "CREDIT"}),
    "hold of a group": _on_balance("hold", "groups", _hold_fields),
    "release of a group": _on_balance("release", "groups", lambda _: {}),
    "forfeit of a group": _on_balance("forfeit", "groups", _forfeit_fields),
    "fund": _wallet("fund"),
    "burn": _wallet("burn"),
    "redeem": _redeem,
    "redeem item": _redeem_item,
    "reverse": _reverse,
    "report": _report,
    "set tier": steering.on_person("PUT", "state/tiers/club?program_id={program}", steering.tier_body),
    "remove tier": steering.on_person("DELETE", "state/tiers/club?program_id={program}", lambda _: None),
    "tag": steering.on_person("PUT", "state/tags/fan", lambda _: None),
    "counter": steering.on_person("PUT", "state/counters/visits", lambda intent: {"value": str(intent.reference)}),
    "attribute": steering.on_person("PUT", "state/attributes/city", lambda intent: {"value": f"city {intent.reference}"}),
    "one time": steering.one_time,
    "fan-out": steering.fan_out,
    "trigger": steering.automation("trigger"),
    "cancel": steering.automation("cancel"),
    "suspend program": steering.status_of_program("SUSPENDED"),
    "resume program": steering.status_of_program("ACTIVE"),
    "switch rule": steering.switch_rule,
    "reset budget": steering.reset_budget,
    "switch endpoint": steering.switch_endpoint,
    "retry delivery": steering.retry_delivery,
    "balances": steering.on_person("GET", "balances", lambda _: None),
    "list": _list,
}
