"""Random programs and events for the comparison of dry and real runs: what rules are made of, and what happens between."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from db.repositories.ingest import create_participants
from db.repositories.processing import clock
from runtime.ids import new_id
from services.groups import NewMember, Role, create_group
from tests.services.lane_world import Shop

# An example draws few things, so what must often happen stands first and often.
CONDITIONS = (
    *("true",) * 10,
    'event.type in ["a", "b"]',
    "event.amount > 5",
    "event.missing == 1",
    "event.amount",
    '"vip" in participant.tags',
    'get(participant.counters, "n", 0) >= 2',
    'get(participant.attributes, "colour", "") == "red"',
    "participant.balances.{pts}.available >= 5",
    "recipient != null && recipient.balances.{miles}.available > 0",
    'group != null && group.name == "Club"',
    '"summer" in program.tags',
    'participant.external_id in ["ann", "new1"]',
)
TARGETS: tuple[dict[str, Any] | None, ...] = (
    *(None,) * 6,
    {"type": "PARTICIPANT"},
    {"type": "PARTICIPANT", "external_id": "event.to"},
    {"type": "PARTICIPANT", "id": "participant.id"},
    {"type": "GROUP", "id": "{group}"},
)
PROGRAM = {"type": "PROGRAM"}
MONEY: tuple[dict[str, Any], ...] = (
    {"type": "CREDIT", "asset_id": "{pts}", "amount": "event.amount"},
    {"type": "CREDIT", "asset_id": "{pts}", "amount": "10", "description": "Ten"},
    {"type": "CREDIT", "asset_id": "{cash}", "amount": "event.amount / 3"},
    {"type": "CREDIT", "asset_id": "{cash}", "amount": "5", "bucket": "HELD", "reference_id": "event.ref"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "event.amount"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "4", "expires_at": "1us"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "6", "matures_at": "1us", "expires_at": "8760h"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "7", "matures_at": "8760h"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "3", "expires_at": "2020-01-01T00:00:00Z"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "8", "bucket": "HELD", "reference_id": "event.ref"},
    {"type": "CREDIT", "asset_id": "{miles}", "amount": "5.5", "reference_id": "event.ref"},
    {"type": "DEBIT", "asset_id": "{pts}", "amount": "event.amount / 4"},
    {"type": "DEBIT", "asset_id": "{pts}", "amount": "event.amount", "allow_negative": True},
    {"type": "DEBIT", "asset_id": "{cash}", "amount": "1.25", "bucket": "HELD"},
    {"type": "DEBIT", "asset_id": "{miles}", "amount": "1.5"},
    {"type": "DEBIT", "asset_id": "{miles}", "amount": "9", "allow_negative": True},
    {"type": "HOLD", "asset_id": "{pts}", "amount": "2", "reference_id": "event.ref", "expires_at": "1us"},
    {"type": "HOLD", "asset_id": "{miles}", "reference_id": "event.ref"},
    {"type": "RELEASE", "asset_id": "{miles}"},
    {"type": "RELEASE", "asset_id": "{pts}", "reference_id": "event.ref"},
    {"type": "FORFEIT", "asset_id": "{miles}", "amount": "1"},
    {"type": "FORFEIT", "asset_id": "{cash}"},
    {"type": "VOID_HOLD", "asset_id": "{miles}", "reference_id": "event.ref"},
)
STATE: tuple[dict[str, Any], ...] = (
    {"type": "TAG", "tag": "vip"},
    {"type": "TAG", "tag": "seen"},
    {"type": "UNTAG", "tag": "vip"},
    {"type": "COUNTER", "key": "n", "value": "1"},
    {"type": "COUNTER", "key": "n", "value": "-event.amount", "reset_after": "43800h"},
    {"type": "COUNTER", "key": "n", "value": "0", "reset_after": ""},
    {"type": "SET_ATTRIBUTE", "key": "colour", "value": "red"},
    {"type": "SET_ATTRIBUTE", "key": "colour", "value_expression": "event.to"},
    {"type": "SET_ATTRIBUTE", "key": "programs", "value_expression": "participant.program_ids.join()"},
    {"type": "SET_ATTRIBUTE", "key": "status", "value_expression": "participant.status + string(size(groups))"},
    {"type": "TAG", "tag": "summer", "target": PROGRAM},
    {"type": "COUNTER", "key": "n", "value": "event.amount", "target": PROGRAM},
)
FAILING: tuple[dict[str, Any], ...] = (
    {"type": "CREDIT", "asset_id": "{pts}", "amount": "event.missing"},
    {"type": "CREDIT", "asset_id": "{pts}", "amount": "event.amount - 100"},
    {"type": "DEBIT", "asset_id": "{miles}", "amount": "1000"},
    {"type": "TAG", "tag": "x", "target": {"type": "PARTICIPANT", "external_id": "nobody"}},
)
WINDOWS: tuple[dict[str, Any], ...] = (*({},) * 8, {"active_to": 2000}, {"active_from": 2000}, {"active_from": 2900})
BUDGETS: tuple[dict[str, str], ...] = (*({},) * 5, {"pts": "15"}, {"pts": "40", "miles": "9"}, {"cash": "5"})
CLOSED = "UPDATE enrollments SET status = 'CLOSED' WHERE organization_id = %s"
UNENROLLED = "DELETE FROM enrollments WHERE organization_id = %s"
BETWEEN = (
    None,
    None,
    None,
    "UPDATE participants SET status = 'SUSPENDED' WHERE organization_id = %s AND external_id = 'ann'",
    "UPDATE participants SET status = 'ACTIVE' WHERE organization_id = %s",
    CLOSED,
    "UPDATE enrollments SET status = 'FROZEN', enrolled_at = enrolled_at + interval '1 day' WHERE organization_id = %s",
    UNENROLLED,
    "UPDATE groups SET status = 'ARCHIVED', deleted_at = openscrip_now() WHERE organization_id = %s",
)


@dataclass(frozen=True)
class Sent:
    """One event as it is simulated and then sent, after something else happened."""

    external_id: str
    recipient: str | None
    data: dict[str, Any]
    before: str | None


@dataclass(frozen=True)
class RandomProgram:
    """Rules as templates, whose names of assets and groups are filled in."""

    rules: tuple[dict[str, Any], ...]
    wallet: int | None
    events: tuple[Sent, ...]


@st.composite
def actions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([STATE, MONEY] * 5 + [FAILING]))
    action = dict(draw(st.sampled_from(kind)))
    target = draw(st.sampled_from(TARGETS))
    return action if target is None or "target" in action else action | {"target": target}


RULES = st.fixed_dictionaries(
    {
        "condition": st.sampled_from(CONDITIONS),
        "actions": st.lists(actions(), min_size=1, max_size=3),
        "stop_after_match": st.sampled_from([False, False, False, True]),
        "window": st.sampled_from(WINDOWS),
        "budgets": st.sampled_from(BUDGETS),
    }
)
EVENTS = st.builds(
    Sent,
    external_id=st.sampled_from(["ann", "ann", "ann", "bob", "new1", "new2"]),
    recipient=st.sampled_from([None, None, None, "bob", "ann", "new1", "new3"]),
    data=st.fixed_dictionaries(
        {
            "type": st.sampled_from(["a", "b", "c", None]),
            "amount": st.sampled_from([7, 1, 2.5, 30, 0.4]),
            "to": st.sampled_from(["bob", "ann", "new2"]),
            "ref": st.sampled_from(["r1", "r2"]),
        }
    ),
    before=st.sampled_from(BETWEEN),
)
PROGRAMS = st.builds(
    RandomProgram,
    rules=st.lists(RULES, min_size=2, max_size=4).map(tuple),
    wallet=st.sampled_from([None, None, 10]),
    events=st.lists(EVENTS, min_size=2, max_size=5).map(tuple),
)


def furnish(shop: Shop, program: RandomProgram) -> None:
    """Ann and bob, a group of theirs with ann in another program before this one, and the rules."""
    ids = {}
    with shop.database.connection() as conn:
        now = clock(conn)
        made = create_participants(conn, [(new_id(), shop.organization_id, name) for name in ("ann", "bob")], now)
        ids = {name: row.id for (_, name), row in made.items()}
        other = new_id()
        conn.execute(
            "INSERT INTO programs (id, organization_id, name, created_at, updated_at) VALUES (%s, %s, 'Other', %s, %s)",
            [other, shop.organization_id, now, now],
        )
        conn.execute(
            "INSERT INTO enrollments (participant_id, program_id, organization_id, enrolled_at, updated_at) VALUES (%s, %s, %s, %s, %s)",
            [ids["ann"], other, shop.organization_id, now, now],
        )
    with shop.database.session() as session:
        members = [NewMember(ids["ann"], Role.ADMIN, "members"), NewMember(ids["bob"], Role.MEMBER, "members")]
        group = create_group(session, shop.organization_id, "Club", members, None)
    if program.wallet is not None:
        shop.fund(shop.world.cash, program.wallet)
    make_rules(shop, program, group.id)
    for name in ("ann", "bob"):
        shop.send(name, {"type": "seed", "amount": 0, "to": "ann", "ref": "r1"})
    shop.drain_all()


def make_rules(shop: Shop, program: RandomProgram, group_id: object) -> None:
    """Put the program's rules in force, after one that gives whoever an event of type "seed" is about something to spend."""
    world = shop.world
    ids = {name: str(getattr(world, name)) for name in ("pts", "cash", "miles")}
    symbols = {name: str(shop.value("SELECT symbol FROM assets WHERE id = %s", id_)) for name, id_ in ids.items()}
    seed = [{"type": "CREDIT", "asset_id": ids[name], "amount": "9"} for name in ids if name != "cash" or program.wallet is None]
    shop.rule(*seed, condition='event.type == "seed"')
    for rule in program.rules:
        filled = [_filled(action, ids | {"group": str(group_id)}) for action in rule["actions"]]
        condition = rule["condition"]
        for name, symbol in symbols.items():
            condition = condition.replace("{" + name + "}", symbol)
        budgets = [{"asset_id": ids[name], "limit": limit} for name, limit in rule.get("budgets", {}).items()]
        stops = rule["stop_after_match"]
        shop.rule(*filled, condition=condition, stop_after_match=stops, budgets=budgets, **_window(rule["window"]))


def _filled(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, names) for key, value in node.items()}
    return names.get(node[1:-1], node) if isinstance(node, str) and node.startswith("{") else node


def _window(years: dict[str, int]) -> dict[str, Any]:
    return {name: datetime(year, 1, 1, tzinfo=UTC) for name, year in years.items()}
