"""Whom a filter leaves: what the database tells of it and what an evaluation tells is the same (automations.md 2.3)."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.schemas.tier_lifecycles import LifecycleGiven
from db.repositories.candidates import candidate_query
from db.repositories.processing import clock, write_holder_states
from db.session import Connection, Database
from domain.cel import AUTOMATION_VARIABLES, EvaluationError, compile_condition, evaluate_condition
from domain.state import Counter, EntityState
from domain.state_tests import StateKind, StateTest, hint_tests, split
from runtime.embedded import EmbeddedPostgres
from runtime.ids import new_id
from services import tier_standings, tiers
from services.audience import satisfying
from services.state import Author, Entity, EntityKind, set_counter
from services.tier_standings import TierOf
from services.tiers import NewTier
from tests.services.automation_world import enrol
from tests.services.lane_world import Shop, make_shop
from tests.services.schedule_world import Calendar
from tests.support.databases import make_database

KEYS = ["a", "b-c", "Ä", "o'k", "%s"]
TEXTS = ["", "a", "B", "10", "9", "é", "zz", "\U0001f600", "\uffff", "o'k", 'q"u', "%(x)s"]
NUMBERS = ["0", "-1", "3", "3.50", "2.999999999999999999", "10", "99999999999999999999"]


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres) -> Iterator[Shop]:
    with closing(Database(make_database(postgres.dsn, "audience"), pool_size=4)) as database:
        yield make_shop(database)


@pytest.fixture(scope="module")
def people(shop: Shop) -> list[UUID]:
    return enrol(shop, 12)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---------------------------------------------------------------- what is there
def counters() -> st.SearchStrategy[Counter]:
    long_ago, now = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    value = st.sampled_from(NUMBERS).map(Decimal)
    dated = st.builds(Counter, value, st.just("8760h"), st.sampled_from([long_ago, now + timedelta(days=36500)]))
    return st.one_of(st.builds(Counter, value), st.builds(Counter, value), dated)


STATES = st.builds(
    EntityState,
    st.frozensets(st.sampled_from(KEYS), max_size=3).map(lambda tags: frozenset(tag.lower() for tag in tags)),
    st.dictionaries(st.sampled_from(KEYS), counters(), max_size=3),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(TEXTS), max_size=3),
)
# ---------------------------------------------------------------- what is asked
KEY = st.sampled_from(KEYS).map(quoted)
SIGN = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBER, TEXT = st.sampled_from([*NUMBERS, "1e3"]), st.sampled_from(TEXTS).map(quoted)
READ_COUNTER = st.one_of(
    st.just("participant.counters.a"),
    KEY.map(lambda key: f"participant.counters[{key}]"),
    st.tuples(KEY, NUMBER).map(lambda pair: f"get(participant.counters, {pair[0]}, {pair[1]})"),
)
READ_ATTRIBUTE = st.one_of(
    st.just("participant.attributes.a"),
    KEY.map(lambda key: f"participant.attributes[{key}]"),
    st.tuples(KEY, TEXT).map(lambda pair: f"get(participant.attributes, {pair[0]}, {pair[1]})"),
)
PRESENCE = st.one_of(
    st.tuples(KEY, st.sampled_from(["tags", "counters", "attributes"])).map(lambda pair: f"{pair[0]} in participant.{pair[1]}"),
    st.just("has(participant.counters.a)"),
    st.just("has(participant.attributes.a)"),
)
TESTED = st.one_of(
    PRESENCE,
    PRESENCE.map(lambda inner: f"!({inner})"),
    st.tuples(READ_COUNTER, SIGN, NUMBER).map(" ".join),
    st.tuples(NUMBER, SIGN, READ_COUNTER).map(" ".join),
    st.tuples(READ_ATTRIBUTE, SIGN, TEXT).map(" ".join),
)
# what the database isn't asked, some of it wrong for some
OTHER = st.sampled_from(
    [
        "size(participant.tags) > 1",
        "participant.counters.a + 1 > 3",
        "participant.attributes.a == 3",
        "participant.counters.a == 'x'",
        'participant.status == "ACTIVE"',
        "participant.tags.exists(t, t == 'a')",
        "participant.attributes.a > participant.attributes['b-c']",
        "(participant.counters.a > 1 || 'a' in participant.tags)",
        "now > timestamp('2020-01-01T00:00:00Z')",
        "get(participant.counters, 'a', 'none') == 3",
        "participant.tags < 'a'",
        "participant.counters.a > 1 == true",
    ]
)
FILTERS = st.lists(st.one_of(TESTED, TESTED, TESTED, OTHER), min_size=1, max_size=4).map(" && ".join)


def by_the_database(conn: Connection, shop: Shop, source: str, now: datetime) -> set[UUID]:
    """As a fan-out does it: what is certain, and an evaluation for the rest."""
    wanted = candidate_query((), split(source))
    rows = conn.execute(
        f"""
        SELECT e.participant_id, {wanted.certain} FROM enrollments e JOIN participants p ON p.id = e.participant_id {wanted.join}
        WHERE e.program_id = %(program)s AND {wanted.condition}
        """,
        {"program": shop.world.program_id, **wanted.values},
    ).fetchall()
    doubtful = [id_ for id_, is_certain in rows if not is_certain]
    assert wanted.may_be_uncertain or not doubtful
    found = satisfying(conn, shop.organization_id, shop.world.program_id, doubtful, source, now) if doubtful else set()
    return {id_ for id_, is_certain in rows if is_certain} | found


def by_itself(source: str, states: dict[UUID, EntityState], now: datetime) -> set[UUID]:
    """The expression over each state, without the product's loading."""
    condition = compile_condition(source, AUTOMATION_VARIABLES)
    found = set()
    for id_, state in states.items():
        counters = {key: counter.effective(now) for key, counter in state.counters.items()}
        person = {"tags": sorted(state.tags), "counters": counters, "attributes": dict(state.attributes), "status": "ACTIVE"}
        try:
            if evaluate_condition(condition, {"participant": person, "now": now}):
                found.add(id_)
        except EvaluationError:
            continue
    return found


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters=st.lists(FILTERS, min_size=6, max_size=6), found=st.lists(STATES, min_size=12, max_size=12))
def test_the_database_says_what_an_evaluation_says(
    shop: Shop, people: list[UUID], filters: list[str], found: list[EntityState]
) -> None:
    states = dict(zip(people, found, strict=True))
    with shop.database.connection() as conn:
        now = clock(conn)
        write_holder_states(conn, list(states.items()), now)
        for source in filters:
            assert by_the_database(conn, shop, source, now) == by_itself(source, states, now), source


@pytest.mark.parametrize(
    ("source", "tests", "is_complete"),
    [
        ('"vip" in participant.tags', [StateTest(StateKind.TAG, "vip")], True),
        ('!("vip" in participant.tags)', [StateTest(StateKind.TAG, "vip", is_negated=True)], True),
        ("participant.counters.n > 2", [StateTest(StateKind.COUNTER, "n", operator=">", value=Decimal(2))], True),
        ("2 < participant.counters.n", [StateTest(StateKind.COUNTER, "n", operator=">", value=Decimal(2))], True),
        ('"a" in participant.tags && size(groups) > 0', [StateTest(StateKind.TAG, "a")], False),
        ('"a" in participant.tags || true', [], False),
        ('"a" in program.tags', [], False),
        ("participant.counters.n == 'x'", [], False),
        ('participant.attributes.n == "\\u0000"', [], False),
        ("1 < participant.counters.n == true", [], False),
        (" && ".join(['"a" in participant.tags'] * 60), [StateTest(StateKind.TAG, "a")], True),
        (" && ".join(f"participant.counters.n > {n}" for n in range(60)), None, False),
    ],
)
def test_what_is_asked_of_the_database(source: str, tests: list[StateTest] | None, *, is_complete: bool) -> None:
    found = split(source)
    assert found.is_complete is is_complete
    assert len(found.tests) == 50 if tests is None else list(found.tests) == tests


def test_hints_and_filter_together(shop: Shop) -> None:
    world = make_shop(shop.database)
    calendar, people = Calendar(world), enrol(world, 8, "q")
    with world.database.connection() as conn:
        conn.execute("UPDATE holders SET tags = '{vip}' WHERE id = ANY(%s)", [people[:6]])
        conn.execute("""UPDATE holders SET counters = '{"n": "1"}' WHERE id = ANY(%s)""", [people[3:]])
        conn.execute("""UPDATE holders SET attributes = '{"k": "v"}' WHERE id = ANY(%s)""", [people[4:]])
    hints: list[dict[str, Any]] = [{"has_tag": "vip"}, {"has_counter": "n"}]
    assert len(hint_tests(hints)) == 2
    for extra, condition, expected in [
        ([], None, people[3:6]),
        ([{"has_attribute": "k"}], None, people[4:6]),
        ([], "'k' in participant.attributes", people[4:6]),
        ([], "size(participant.attributes) == 0", people[3:4]),
        ([], "participant.attributes.k == 'x' || program.name == 'Q'", []),
    ]:
        made = calendar.immediate(filter_hints=[*hints, *extra], participant_filter=condition)
        calendar.do_all()
        rows = world.fetch("SELECT participant_id FROM events WHERE automation_id = %s ORDER BY 1", made.id)
        assert [row[0] for row in rows] == expected, (extra, condition)
        assert calendar.seen(made).participants_total == len(expected)


def test_what_a_condition_can_read(shop: Shop) -> None:
    """Everything but the event: also what isn't the participant's own, and balances as a visitor would see them."""
    world = make_shop(shop.database)
    calendar = Calendar(world)
    world.rule(
        {"type": "CREDIT", "asset_id": str(world.world.miles), "amount": "7", "expires_at": "24h"},
        world.world.credit(),
        condition='event.type == "start"',
    )
    world.rule({"type": "TAG", "tag": "open", "target": {"type": "PROGRAM"}}, condition='event.type == "start"')
    for name in ("ann", "bob"):
        world.send(name, {"type": "start"})
    world.drain_all()
    symbols = dict(world.fetch("SELECT id, symbol FROM assets WHERE organization_id = %s", world.organization_id))
    miles, pts = symbols[world.world.miles], symbols[world.world.pts]

    def matching(source: str) -> int:
        made = calendar.immediate(participant_filter=source)
        calendar.do_all()
        return int(calendar.seen(made).participants_total or 0)

    assert matching(f"participant.balances.{miles}.available == 7 && participant.balances.{pts}.available == 10") == 2
    assert matching('"open" in program.tags && program.name == "P"') == 2
    assert matching("groups == [] && group == null") == 2
    assert matching(f'participant.program_ids == ["{world.world.program_id}"] && participant.external_id == "bob"') == 1
    assert matching("participant.created_at <= now") == 2
    assert matching("participant.balances.NONE.available == 7") == 0
    calendar.jump(calendar.now() + timedelta(hours=25))
    assert matching(f"participant.balances.{miles}.available == 0") == 2, "it has expired, whoever has written it down"


def test_levels_and_counters_are_those_of_now(shop: Shop) -> None:
    """Also what a period end or an explicit expiry has changed, whoever has written it down."""
    world = make_shop(shop.database)
    calendar, people = Calendar(world), enrol(world, 3, "t")
    criteria = [{"counter": "points", "operator": ">=", "threshold": "100"}]
    lifecycle = LifecycleGiven.model_validate(
        {
            "retention": {"mode": "PERIOD_BASED"},
            "qualification_period": {"type": "CALENDAR_YEAR"},
            "counters": {"qualifying": ["points"]},
        }
    ).to_json()
    levels = [{"key": "gold", "rank": 2, "qualification": {"mode": "ALL", "criteria": criteria}}]
    with world.database.session() as session:
        tiers.create_tier(session, world.organization_id, world.world.program_id, NewTier("club", levels, None, lifecycle))
    now = calendar.now()
    author, new_year = Author(world.organization_id, new_id()), datetime(now.year + 1, 1, 1, tzinfo=UTC)
    for person, expires_at in zip(people[:2], (None, new_year - timedelta(days=1)), strict=True):
        holder = Entity(EntityKind.PARTICIPANT, person)
        with world.database.session() as session:
            set_counter(session, author, holder, "points", Decimal(50), None)
            wanted = TierOf(holder, world.world.program_id, "club")
            tier_standings.set_level(session, author, wanted, "gold", expires_at)

    def matching(source: str) -> int:
        made = calendar.immediate(participant_filter=source)
        calendar.do_all()
        return int(calendar.seen(made).participants_total or 0)

    assert matching('participant.tiers.club.level == "gold" && participant.tiers.club.rank == 2') == 2
    assert matching("participant.counters.points == 50") == 2
    calendar.jump(new_year + timedelta(hours=1))
    assert matching("participant.tiers.club.rank == 2") == 0
    assert matching("participant.counters.points == 0") == 2
    assert matching("participant.counters.points == 50") == 0
