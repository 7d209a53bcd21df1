"""The rules of a run: every kind of action, each posting at most one entry per event."""

from typing import Any

# Rules that post exactly one entry for each COMPLETED event of the type they are named for.
ALWAYS_POSTING = ("purchase points", "purchase miles", "short", "refund", "fine", "pending", "echo", "team")
GIFT_LIMIT, PROMO_LIMIT = "60.00", "20.00"


def rules_of(program: str, points: str, miles: str, gifts: str, group: str) -> list[dict[str, Any]]:
    """The bodies of all rules of the program."""
    plain = _earning(points, miles, gifts) + _moving(points, miles) + _telling(points, group)
    return [
        {
            "program_id": program,
            "name": name,
            "order": 10 * (number + 1),
            "condition": f'event.type == "{event_type}"',
            "actions": actions,
            **more,
        }
        for number, (name, event_type, actions, more) in enumerate(plain)
    ]


_Rule = tuple[str, str, list[dict[str, Any]], dict[str, Any]]


def _budget(asset: str, limit: str, interval: str | None = None) -> dict[str, Any]:
    budget = {"asset_id": asset, "limit": limit}
    return {"budgets": [budget if interval is None else budget | {"schedule_type": "INTERVAL", "interval": interval}]}


def _earning(points: str, miles: str, gifts: str) -> list[_Rule]:
    spend = {"type": "COUNTER", "key": "spend", "value": "event.amount"}
    bought = {"type": "COUNTER", "key": "bought", "value": "1"}
    gift = {"type": "CREDIT", "asset_id": gifts, "amount": "2.50", "expires_at": "8760h"}
    short = {"type": "CREDIT", "asset_id": miles, "amount": "5.00", "matures_at": "2s", "expires_at": "5s"}
    in_miles = {"type": "CREDIT", "asset_id": miles, "amount": "event.amount", "expires_at": "8760h"}
    return [
        ("purchase points", "purchase", [{"type": "CREDIT", "asset_id": points, "amount": "event.amount * 0.1 + 1"}, spend], {}),
        ("purchase miles", "purchase", [in_miles, bought], {}),
        ("gift", "gift", [gift], _budget(gifts, GIFT_LIMIT)),
        ("promo", "promo", [{"type": "CREDIT", "asset_id": points, "amount": "1.25"}], _budget(points, PROMO_LIMIT, "1m")),
        ("short", "short", [short], {}),
        ("refund", "refund", [{"type": "DEBIT", "asset_id": points, "amount": "event.amount + 40"}], {}),
        ("fine", "fine", [{"type": "DEBIT", "asset_id": points, "amount": "event.amount", "allow_negative": True}], {}),
    ]


def _moving(points: str, miles: str) -> list[_Rule]:
    under = {"asset_id": miles, "reference_id": "event.ref"}
    return [
        ("hold", "hold", [under | {"type": "HOLD", "amount": "event.amount * 0.1 + 1", "expires_at": "4s"}], {}),
        ("release", "release", [under | {"type": "RELEASE"}], {}),
        ("pending", "pending", [under | {"type": "CREDIT", "amount": "7.00", "bucket": "HELD"}], {}),
        ("settle", "settle", [under | {"type": "CREDIT", "amount": "6.00"}], {}),
        ("void", "void", [under | {"type": "VOID_HOLD"}], {}),
        ("forfeit", "forfeit", [{"type": "FORFEIT", "asset_id": points, "amount": "0.50"}], {}),
    ]


def _telling(points: str, group: str) -> list[_Rule]:
    later = {"type": "SCHEDULE_EVENT", "event_name": "echo", "delay": "2s", "payload": {}}
    attribute = {"type": "SET_ATTRIBUTE", "key": "mood", "value": "good"}
    team = {"type": "CREDIT", "asset_id": points, "amount": "0.75", "target": {"type": "GROUP", "id": group}}
    in_program = {"type": "COUNTER", "key": "teams", "value": "1", "target": {"type": "PROGRAM"}}
    return [
        ("tag", "tag", [{"type": "TAG", "tag": "fan"}, attribute], {}),
        ("untag", "untag", [{"type": "UNTAG", "tag": "fan"}], {}),
        ("vip", "vip", [{"type": "SET_TIER", "tier": "club", "level": "gold"}], {}),
        ("later", "later", [later], {}),
        ("echo", "echo", [{"type": "CREDIT", "asset_id": points, "amount": "0.10"}], {}),
        ("news", "news", [{"type": "BROADCAST", "event_name": "heard", "payload": {}}], {}),
        ("heard", "heard", [{"type": "COUNTER", "key": "heard", "value": "1"}], {}),
        ("team", "team", [team, in_program], {}),
    ]
