"""The dry run of an event equals what then really happens, and leaves no trace."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings

from api.jsontext import dumps as api_dumps
from api.schemas.event_impact import impact_body, simulation_body
from db.session import Connection, Database, dumps, psycopg_of
from services.event_simulation import Trial, simulate_event
from services.events import get_event, impact_of, rule_evaluations
from services.ingest import Accepted, Submission, look_up
from tests.services.lane_world import MOMENT, Shop, make_shop
from tests.services.random_programs import CLOSED, PROGRAMS, UNENROLLED, RandomProgram, Sent, furnish
from tests.support.books import assert_books

# What a stored event has and a dry run hasn't, and when it was recorded.
STORED_IDS = ("id", "event_id", "journal_entry_id")
TIMES = ("created_at", "changed_at")


def plain(body: object) -> Any:
    """As a client reads it."""
    return json.loads(api_dumps(body))


def simulate(shop: Shop, sent: Sent) -> dict[str, Any]:
    """A dry run, in whose transaction nothing was written or locked: it never needed a number."""
    trial = Trial(
        organization_id=shop.organization_id,
        program_id=shop.world.program_id,
        event_data=dumps(sent.data),
        event_timestamp=MOMENT,
        external_id=sent.external_id,
        recipient_external_id=sent.recipient,
    )
    with shop.database.session() as session:
        found = plain(simulation_body(simulate_event(session, trial)))
        row = psycopg_of(session).execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
        assert row is not None
        assert row[0] is None
    return dict(found)


def run(shop: Shop, sent: Sent) -> dict[str, Any]:
    """The real event: what it became, and its impact."""
    accepted = shop.send(sent.external_id, sent.data, recipient_external_id=sent.recipient)
    assert accepted.lane is not None
    while shop.drain(accepted.lane).backlog:
        pass
    return stored(shop, accepted)


def stored(shop: Shop, accepted: Accepted) -> dict[str, Any]:
    with shop.database.session() as session:
        found = get_event(session, shop.organization_id, accepted.event.id)
        body: dict[str, Any] = {
            "status": found.status,
            "error_code": found.error_code,
            "error_message": found.error_message,
            "participant_id": found.participant_id,
            "recipient_id": found.recipient_id,
            "event_timestamp": found.event_timestamp,
            "rule_evaluations": rule_evaluations(session, found, include_skipped=True),
            "tier_changes": [],
            **impact_body(impact_of(session, found)),
        }
    del body["journal_entries"]
    return dict(plain(body))


def comparable(shop: Shop, body: dict[str, Any], sent: Sent, *, is_dry: bool) -> dict[str, Any]:
    """Without ids and times of recording; who was made up is replaced by who was created since."""
    for name, external_id in (("participant_id", sent.external_id), ("recipient_id", sent.recipient)):
        if is_dry and body[name] is None and external_id is not None:
            body[name] = str(shop.participant_id(external_id))
    result: dict[str, Any] = _comparable(shop, body, is_dry=is_dry)
    return result


def _comparable(shop: Shop, node: Any, *, is_dry: bool, name: str = "") -> Any:
    if isinstance(node, list):
        return [_comparable(shop, item, is_dry=is_dry) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if "external_id" in node:
        assert is_dry
        key = "id" if name == "target" else "entity_id"
        assert node[key] is None
        node[key] = str(shop.participant_id(node.pop("external_id")))
    if name != "target":
        for key in STORED_IDS:
            assert key not in node or (node.pop(key) is None) == is_dry
    return {key: _comparable(shop, value, is_dry=is_dry, name=key) for key, value in node.items() if key not in TIMES}


def rule(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"condition": "true", "actions": list(actions), "stop_after_match": False, "window": {}}


def sent(external_id: str, recipient: str | None = None, before: str | None = None) -> Sent:
    return Sent(external_id, recipient, {"type": "a", "amount": 7, "to": external_id, "ref": "r1"}, before)


EARNED = {"type": "CREDIT", "asset_id": "{pts}", "amount": "10"}
OWN = {"type": "PARTICIPANT"}
ENROLMENTS = {"type": "SET_ATTRIBUTE", "key": "programs", "value_expression": "participant.program_ids.join()"}
TWO_STRANGERS = RandomProgram(
    (rule(EARNED, EARNED | {"target": OWN}, {"type": "TAG", "tag": "new"}),), None, (sent("zoe", "abe"), sent("abel", "zack"))
)
ONE_STRANGER_TWICE = RandomProgram((rule(EARNED, EARNED | {"target": OWN}),), None, (sent("zoe", "zoe"), sent("zoe", "ann")))
EVERY_ENROLMENT = RandomProgram(
    (rule(ENROLMENTS),),
    None,
    (sent("ann"), sent("ann", None, CLOSED), sent("ann", None, UNENROLLED), sent("new1", "ann", CLOSED), sent("new2", "new1")),
)


@given(program=PROGRAMS)
@example(TWO_STRANGERS)
@example(ONE_STRANGER_TWICE)
@example(EVERY_ENROLMENT)
@settings(max_examples=30, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck), database=None)
def test_a_dry_run_equals_the_real_run(lane_database: Database, program: RandomProgram) -> None:
    shop = make_shop(lane_database)
    furnish(shop, program)
    for each in program.events:
        if each.before is not None:
            with shop.database.connection() as conn:
                conn.execute(each.before, [shop.organization_id])
        dry = simulate(shop, each)
        real = run(shop, each)
        event(f"{real['status']} {real['error_code'] or ''}")
        event(f"with balances: {bool(real['balance_impact'])}, with state: {bool(real['state_changes'])}")
        assert comparable(shop, dry, each, is_dry=True) == comparable(shop, real, each, is_dry=False)
    assert_books(shop.database, shop.organization_id)


def test_no_row_of_any_table_changes(lane_database: Database) -> None:
    shop = make_shop(lane_database)
    furnish(shop, TWO_STRANGERS)
    tables = [row[0] for row in shop.fetch("SELECT relname FROM pg_stat_user_tables WHERE relname <> 'rate_buckets'")]

    def everything() -> dict[str, Any]:
        digest = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t"
        return {table: shop.fetch(digest.format(table)) for table in tables}

    before = everything()
    for each in (sent("ann"), sent("zoe", "abe"), sent("bob", "zoe")):
        assert simulate(shop, each)["status"] == "COMPLETED"
    assert everything() == before


def test_it_waits_for_nobody(lane_database: Database) -> None:
    """Neither a lane at work nor a transaction that has the holders and the wallet can hold a dry run up."""
    shop = make_shop(lane_database)
    furnish(shop, RandomProgram((rule(EARNED, {"type": "TAG", "tag": "summer", "target": {"type": "PROGRAM"}}),), 10, ()))
    with shop.database.connection() as conn:
        for table in ("holders", "lanes", "wallets", "program_states", "balances"):
            conn.execute(f"SELECT 1 FROM {table} FOR UPDATE")
        assert simulate(shop, sent("ann"))["status"] == "COMPLETED"


def test_it_sees_one_moment(lane_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others commit while it reads doesn't get mixed into it."""
    shop = make_shop(lane_database)
    furnish(shop, RandomProgram((rule({"type": "COUNTER", "key": "n", "value": "1"}),), None, ()))
    run(shop, sent("ann"))
    looked_up = look_up

    def interrupted(conn: Connection, wanted: Sequence[Submission]) -> Any:
        found = looked_up(conn, wanted)
        run(shop, sent("ann"))
        return found

    monkeypatch.setattr("services.event_simulation.look_up", interrupted)
    [change] = simulate(shop, sent("ann"))["state_changes"]
    # it was 1 before the first one
    assert (change["old_value"], change["new_value"]) == ("2", "3")


def test_events_that_wait_are_not_run_before_it(lane_database: Database) -> None:
    shop = make_shop(lane_database)
    furnish(shop, RandomProgram((rule({"type": "COUNTER", "key": "n", "value": "1"}),), None, ()))
    shop.send("ann", {"type": "a"})
    [change] = simulate(shop, sent("ann"))["state_changes"]
    assert (change["old_value"], change["new_value"]) == ("1", "2")
