"""Levels under concurrency: lanes, assignments over the API and changes of the tier itself, on a real database."""

import threading
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.tiers import TierActivities
from db.session import Database
from runtime.ids import new_id
from services import tier_standings, tiers
from services.processing import process_batch
from services.state import Author, Entity, EntityKind
from services.tier_standings import TierOf
from services.tiers import NewTier
from tests.services.lane_world import Shop, make_shop, names_in_lane, together
from tests.services.outbox_world import COMPLETED, endpoint, messages

CHANGED = "participant.tier_changed"
THRESHOLDS = {"bronze": 5, "silver": 10, "gold": 15}
WAIT_SECONDS = 20.0
MONTHLY = {
    "retention": {"mode": "ACTIVITY_REFRESH", "duration": "720h"},
    "qualification_period": {"type": "NONE", "start_month": None, "start_day": None},
    "status_validity": {"extend_months": 0},
    "downgrade_policy": {"mode": "DROP_ONE", "grace_days": 0, "min_level": None},
    "counters": None,
    "timezone": "UTC",
}


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    """Each event counts one point; points make levels."""
    shop = make_shop(lane_database)
    levels = [
        {
            "key": key,
            "rank": rank,
            "qualification": {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": str(points)}]},
        }
        for rank, (key, points) in enumerate(THRESHOLDS.items(), 1)
    ]
    with shop.database.session() as session:
        tiers.create_tier(session, shop.organization_id, shop.world.program_id, NewTier("club", levels))
    shop.rule({"type": "COUNTER", "key": "points", "value": "1"}, condition="!has(event.fail)")
    return shop


def change(shop: Shop, changes: Mapping[str, Any]) -> None:
    with shop.database.session() as session:
        tiers.update_tier(session, shop.organization_id, shop.world.program_id, "club", changes)


def renew(shop: Shop) -> None:
    tiers.bring_up_to_date(shop.database, shop.organization_id, shop.world.program_id, "club")


def attend(shop: Shop) -> None:
    """What the flow of the tier does."""
    [tier_id] = [row[0] for row in shop.fetch("SELECT id FROM tiers WHERE organization_id = %s", shop.organization_id)]
    ActivityEnvironment().run(TierActivities(shop.database).attend_tier, tier_id)


def archive(shop: Shop) -> None:
    with shop.database.session() as session:
        tiers.archive_tier(session, shop.organization_id, shop.world.program_id, "club")


def assign(shop: Shop, participant_id: UUID, level: str | None) -> None:
    author = Author(shop.organization_id, new_id())
    wanted = TierOf(Entity(EntityKind.PARTICIPANT, participant_id), shop.world.program_id, "club")
    with shop.database.session() as session:
        if level is None:
            tier_standings.remove_level(session, author, wanted)
        else:
            tier_standings.set_level(session, author, wanted, level, None)


def held(shop: Shop) -> dict[str, str | None]:
    """External id -> level of everybody with a standing."""
    rows = shop.fetch(
        "SELECT p.external_id, s.level_key FROM tier_states s JOIN participants p ON p.id = s.holder_id"
        " WHERE s.organization_id = %s",
        shop.organization_id,
    )
    return dict(rows)


def last_changes(shop: Shop) -> dict[str, str | None]:
    """External id -> what the histories say last; tier history and state history agree."""
    rows = shop.fetch(
        "SELECT p.external_id, h.to_level FROM tier_history h JOIN participants p ON p.id = h.entity_id"
        " WHERE h.organization_id = %s ORDER BY h.changed_at, h.id",
        shop.organization_id,
    )
    states = shop.fetch(
        "SELECT p.external_id, h.new_value FROM state_history h JOIN participants p ON p.id = h.entity_id"
        " WHERE h.organization_id = %s AND h.state_type = 'tier' ORDER BY h.changed_at, h.id",
        shop.organization_id,
    )
    assert rows == states
    return dict(rows)


def test_changes_are_told_before_their_event(shop: Shop) -> None:
    endpoint(shop, CHANGED, COMPLETED)
    for _ in range(10):
        shop.send()
    shop.drain_all()
    types = [type_ for type_, _ in messages(shop, "")]
    assert types == [*[COMPLETED] * 4, CHANGED, *[COMPLETED] * 5, CHANGED, COMPLETED]
    assert [data["to_level"] for type_, data in messages(shop, "") if type_ == CHANGED] == ["bronze", "silver"]


def test_who_does_not_subscribe_hears_nothing(shop: Shop) -> None:
    endpoint(shop, COMPLETED)
    for _ in range(5):
        shop.send()
    shop.drain_all()
    assert {type_ for type_, _ in messages(shop, "")} == {COMPLETED}
    assert held(shop) == {"ann": "bronze"}


def test_a_failing_event_leaves_nothing(shop: Shop) -> None:
    endpoint(shop, CHANGED)
    shop.rule(
        {"type": "SET_TIER", "tier": "club", "level": "gold"}, shop.world.credit(amount="0 - 1"), condition="has(event.fail)"
    )
    shop.send("ann", {"fail": True})
    shop.drain_all()
    assert (held(shop), last_changes(shop), messages(shop, "")) == ({}, {}, [])


def test_a_changed_tier_counts_from_the_next_batch_on(shop: Shop) -> None:
    for _ in range(5):
        shop.send()
    shop.drain_all()
    change(
        shop,
        {
            "levels": [
                {
                    "key": "gold",
                    "qualification": {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": "6"}]},
                }
            ]
        },
    )
    assert held(shop) == {"ann": "bronze"}
    shop.send()
    shop.drain_all()
    assert held(shop) == {"ann": "gold"}


@pytest.mark.parametrize("to", ["archive", "lifecycle"])
def test_a_change_waits_for_batches_and_leaves_none_behind(shop: Shop, to: str) -> None:
    """Whatever a batch assigned by the old tier, the change finds."""
    for _ in range(5):
        shop.send()
    [lane] = [row[0] for row in shop.fetch("SELECT DISTINCT lane FROM event_queue")]
    changing = threading.Thread(
        target=archive if to == "archive" else change, args=(shop,) if to == "archive" else (shop, {"lifecycle": MONTHLY})
    )
    with shop.database.connection() as conn:
        process_batch(conn, lane)
        changing.start()
        changing.join(0.3)
        assert changing.is_alive()
    changing.join(WAIT_SECONDS)
    assert not changing.is_alive()
    renew(shop)
    attend(shop)
    [(level, expires_at, due_at)] = shop.fetch(
        "SELECT level_key, lifecycle_expires_at, next_due_at FROM tier_states WHERE organization_id = %s", shop.organization_id
    )
    assert level == "bronze"
    assert (expires_at is not None, due_at is not None) == (to == "lifecycle", to == "lifecycle")
    for _ in range(10):
        shop.send()
    shop.drain_all()
    assert held(shop) == {"ann": "bronze" if to == "archive" else "gold"}


def test_lanes_assignments_and_changes_at_once(shop: Shop) -> None:
    """Nobody deadlocks, and the histories end where the standings are."""
    names = [name for lane in range(4) for name in names_in_lane(shop, lane, 3)]
    for name in names * 20:
        shop.send(name)
    ids = {row[0] for row in shop.fetch("SELECT id FROM participants WHERE organization_id = %s", shop.organization_id)}
    before = shop.deadlocks()

    def assigning() -> None:
        for id_ in sorted(ids):
            assign(shop, id_, "gold")
            assign(shop, id_, None)

    def changing() -> None:
        for number in range(20):
            levels = [{"key": "gold", "benefits": {"n": number}}]
            change(shop, {"display_name": f"Club {number}", "levels": levels, "lifecycle": MONTHLY if number % 2 else {}})

    def renewing() -> None:
        for _ in range(20):
            renew(shop)

    together([shop.drain_at_once, assigning, changing, renewing])
    renew(shop)
    assert shop.deadlocks() == before
    assert held(shop) == last_changes(shop)
    assert set(held(shop)) == set(names)
    left = shop.fetch(
        "SELECT s.holder_id FROM tier_states s JOIN tiers t ON t.id = s.tier_id WHERE s.organization_id = %s AND ("
        "s.lifecycle_number <> t.lifecycle_number OR (s.level_key IS NULL) <> (s.lifecycle_expires_at IS NULL))",
        shop.organization_id,
    )
    assert left == []
