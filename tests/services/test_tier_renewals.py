"""A new lifecycle is in force at once, however many hold its levels, and reaches their rows page by page."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.testing import ActivityEnvironment

from activities.tiers import TierActivities
from db.session import Database, psycopg_of
from domain.tiers.calendar import end_after
from domain.tiers.stored import lifecycle_of
from runtime.ids import new_id
from services import tier_renewals, tier_standings, tier_steps, tiers
from services.state import Author, Entity, EntityKind
from services.tier_standings import Held, TierOf
from services.tier_steps import TierKey
from services.tiers import StepsDue
from services.transactions import transact
from tests.services.rule_world import make_organization, make_world
from tests.support.ladder import Crowd, calendar_year, join, make_crowd
from workflows.contracts_tiers import TierRetentionReport, TierState

MONTH = timedelta(hours=720)
ACTIVITY = calendar_year(
    retention={"mode": "ACTIVITY_REFRESH", "duration": "720h"},
    qualification_period={"type": "NONE", "start_month": None, "start_day": None},
    downgrade_policy={"mode": "DROP_ONE", "grace_days": 0, "min_level": None},
)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_renewals, "PAGE", 3)
    monkeypatch.setattr(tier_renewals, "PART", 2)


def make(database: Database, lifecycle: dict[str, Any] | None) -> Crowd:
    world = make_world(database, make_organization(database))
    return make_crowd(database, world.organization_id, world.program_id, lifecycle)


def patch(crowd: Crowd, **changes: Any) -> datetime:
    """Change the tier; when that was."""
    ids = (crowd.organization_id, crowd.program_id, "club")
    return transact(crowd.database, lambda session: tiers.update_tier(session, *ids, changes)).updated_at


def of(crowd: Crowd, holder_id: UUID) -> TierOf:
    return TierOf(Entity(EntityKind.PARTICIPANT, holder_id), crowd.program_id, "club")


def shown(crowd: Crowd, holder_id: UUID) -> Held:
    wanted = of(crowd, holder_id)
    return transact(crowd.database, lambda session: tier_standings.get_held(session, crowd.organization_id, wanted))


def assign(crowd: Crowd, holder_id: UUID, level: str, expires_at: datetime | None = None) -> datetime | None:
    author, wanted = Author(crowd.organization_id, new_id()), of(crowd, holder_id)
    held = transact(crowd.database, lambda session: tier_standings.set_level(session, author, wanted, level, expires_at))
    return held.standing.shown_expiry


def renew(crowd: Crowd) -> int:
    """One pass; how many pages it had."""
    pages: list[None] = []
    tier = TierKey(crowd.tier.id, crowd.organization_id, crowd.program_id)
    tier_steps.settle_tier(crowd.database, tier, None, lambda: pages.append(None))
    return len(pages)


def is_under_way(crowd: Crowd) -> bool:
    return transact(crowd.database, lambda session: tier_renewals.is_under_way(session, crowd.tier.id))


def rows(crowd: Crowd) -> dict[UUID, tuple[Any, ...]]:
    """What is stored of each holder: the lifecycle's number, level, lifecycle expiry and next moment."""
    with crowd.database.connection() as conn:
        found = conn.execute(
            "SELECT holder_id, lifecycle_number, level_key, lifecycle_expires_at, next_due_at FROM tier_states WHERE tier_id = %s",
            [crowd.tier.id],
        )
        return {row[0]: tuple(row[1:]) for row in found}


def counters(crowd: Crowd, holder_ids: Sequence[UUID]) -> list[str]:
    with crowd.database.connection() as conn:
        found = dict(conn.execute("SELECT id, counters ->> 'points' FROM holders WHERE id = ANY(%s)", [list(holder_ids)]))
    return [found[id_] for id_ in holder_ids]


def make_older(crowd: Crowd, by: timedelta = timedelta(seconds=31)) -> None:
    with crowd.database.connection() as conn:
        conn.execute("UPDATE tiers SET lifecycle_started_at = lifecycle_started_at - %s WHERE id = %s", [by, crowd.tier.id])


def break_counter(crowd: Crowd, holder_id: UUID, value: str) -> None:
    with crowd.database.connection() as conn:
        conn.execute("UPDATE holders SET counters = jsonb_build_object('points', %s::text) WHERE id = %s", [value, holder_id])


def attend(crowd: Crowd) -> TierRetentionReport:
    """What the flow has done."""
    report: TierRetentionReport = ActivityEnvironment().run(TierActivities(crowd.database).attend_tier, crowd.tier.id)
    return report


class TestCreation:
    def test_period_ends_concern_counters_at_once_and_rows_follow(self, database: Database) -> None:
        world = make_world(database, make_organization(database))
        ids = sorted(join(database, world.organization_id, world.program_id, [40] * 8))
        crowd = make_crowd(database, world.organization_id, world.program_id, calendar_year())
        end = end_after(lifecycle_of(calendar_year()), datetime.now(UTC))
        assert end is not None
        assert rows(crowd) == {}
        # the first visitor after a period end that came before the pages
        transact(database, lambda session: tier_steps.settle_all(session, crowd.organization_id, ids[:1], end))
        assert counters(crowd, ids) == ["0"] + ["40"] * 7
        assert renew(crowd) == 3
        found = rows(crowd)
        assert sorted(found) == ids
        assert {found[id_] for id_ in ids[1:]} == {(0, None, None, end)}
        transact(database, lambda session: tier_steps.settle_all(session, crowd.organization_id, ids, end))
        assert counters(crowd, ids) == ["0"] * 8
        assert crowd.resets() == (8, 8)

    def test_a_second_pass_finds_who_was_being_processed(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        assert renew(crowd) == 1
        late = join(database, crowd.organization_id, crowd.program_id, [40])
        assert is_under_way(crowd)
        # not before nobody can know the tier as it was
        assert renew(crowd) == 0
        assert rows(crowd) == {}
        make_older(crowd)
        assert renew(crowd) == 1
        assert list(rows(crowd)) == late
        assert not is_under_way(crowd)

    def test_others_are_left_alone(self, database: Database) -> None:
        stranger = make(database, None)
        theirs = join(database, stranger.organization_id, stranger.program_id, [40])
        crowd = make(database, calendar_year())
        transact(database, lambda session: tier_steps.settle_all(session, crowd.organization_id, theirs))
        renew(crowd)
        assert (rows(crowd), rows(stranger)) == ({}, {})


class TestChange:
    def test_a_new_lifecycle_is_shown_at_once(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        ids = sorted(crowd.enter([1300] * 7))
        at = patch(crowd, lifecycle=ACTIVITY)
        assert {row[0] for row in rows(crowd).values()} == {0}
        assert shown(crowd, ids[0]).standing.shown_expiry == at + MONTH
        found = rows(crowd)
        assert found[ids[0]] == (1, "gold", at + MONTH, at + MONTH)
        assert {found[id_][0] for id_ in ids[1:]} == {0}
        assert renew(crowd) == 3
        assert set(rows(crowd).values()) == {(1, "gold", at + MONTH, at + MONTH)}

    def test_a_cleared_one_too(self, database: Database) -> None:
        crowd = make(database, ACTIVITY)
        ids = sorted(crowd.enter([1300] * 4))
        patch(crowd, lifecycle={})
        assert [shown(crowd, id_).standing.shown_expiry for id_ in ids] == [None] * 4
        renew(crowd)
        assert set(rows(crowd).values()) == {(1, "gold", None, None)}

    def test_what_came_after_it_stays(self, database: Database) -> None:
        """Assignments before and after, explicit expiries, and a lapse by the new lifecycle before the pages."""
        crowd = make(database, calendar_year())
        dated, raised, lapsed, quiet = crowd.enter([1300] * 4)
        expiry = datetime.now(UTC) + timedelta(days=3)
        assign(crowd, dated, "silver", expiry)
        at = patch(crowd, lifecycle=ACTIVITY)
        renewed_at = assign(crowd, raised, "bronze")
        assert renewed_at is not None
        assert renewed_at > at + MONTH
        transact(database, lambda session: tier_steps.settle_all(session, crowd.organization_id, [lapsed], at + MONTH))
        renew(crowd)
        assert rows(crowd) == {
            dated: (1, "silver", at + MONTH, expiry),
            raised: (1, "bronze", renewed_at, renewed_at),
            lapsed: (1, "silver", at + 2 * MONTH, at + 2 * MONTH),
            quiet: (1, "gold", at + MONTH, at + MONTH),
        }

    def test_the_next_one_needn_t_wait(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        ids = crowd.enter([1300] * 7)
        patch(crowd, lifecycle=ACTIVITY)
        shown(crowd, ids[0])
        at = patch(crowd, lifecycle=ACTIVITY | {"retention": {"mode": "ACTIVITY_REFRESH", "duration": "1h"}})
        renew(crowd)
        assert set(rows(crowd).values()) == {(2, "gold", at + timedelta(hours=1), at + timedelta(hours=1))}

    def test_but_where_something_is_due_or_ranks_change_it_does(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        crowd.enter([1300] * 4)
        at = patch(crowd, lifecycle=ACTIVITY)
        with pytest.raises(StepsDue):
            patch(crowd, levels=[{"key": "gold", "rank": 9}])
        old = transact(database, lambda session: tiers.get_tier(session, crowd.organization_id, crowd.program_id, "club"))
        for moment, first in ((at + MONTH - timedelta(seconds=1), False), (at + MONTH, True)):
            new = replace(old, updated_at=moment)
            assert transact(database, lambda session: tier_renewals.comes_first(psycopg_of(session), old, new, moment)) is first  # noqa: B023
        tiers.bring_up_to_date(database, crowd.organization_id, crowd.program_id, "club")
        assert patch(crowd, levels=[{"key": "gold", "rank": 9}]) > at
        assert set(rows(crowd).values()) == {(1, "gold", at + MONTH, at + MONTH)}

    def test_who_can_t_be_renewed_holds_up_nobody_and_is_tried_again(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        ids = sorted(crowd.enter([1300] * 5))
        at = patch(crowd, lifecycle=ACTIVITY)
        break_counter(crowd, ids[1], "no number")
        report = attend(crowd)
        assert (report.renewed, report.failed, report.more, report.is_new) == (4, 1, False, True)
        make_older(crowd)
        assert attend(crowd).failed == 1
        break_counter(crowd, ids[1], "1300")
        report = attend(crowd)
        assert (report.renewed, report.failed, report.is_new) == (1, 0, True)
        assert {row[0] for row in rows(crowd).values()} == {1}
        assert rows(crowd)[ids[0]] == (1, "gold", at + MONTH, at + MONTH)
        assert not attend(crowd).is_new

    def test_an_archived_tier_shows_what_it_had(self, database: Database) -> None:
        crowd = make(database, calendar_year())
        [who] = crowd.enter([1300])
        at = patch(crowd, lifecycle=ACTIVITY)
        ids = (crowd.organization_id, crowd.program_id, "club")
        transact(database, lambda session: tiers.archive_tier(session, *ids))
        assert not is_under_way(crowd)
        assert shown(crowd, who).standing.shown_expiry == at + MONTH
        assert renew(crowd) == 0

    def test_what_an_archived_tier_has_left_never_happens_and_is_cleared(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tier_steps, "STOP_PAGE", 2)
        crowd = make(database, calendar_year())
        ids = crowd.enter([40] * 5)
        ids_of_tier = (crowd.organization_id, crowd.program_id, "club")
        transact(database, lambda session: tiers.archive_tier(session, *ids_of_tier))
        end = end_after(lifecycle_of(calendar_year()), datetime.now(UTC))
        assert {row[3] for row in rows(crowd).values()} == {end}
        tier = TierKey(crowd.tier.id, crowd.organization_id, crowd.program_id)
        assert tier in transact(database, lambda session: tier_steps.in_need_of_flow(session, 0))[0]
        transact(database, lambda session: tier_steps.settle_all(session, crowd.organization_id, ids, end))
        assert crowd.standing() == {("gold", "40"): 5}
        assert attend(crowd).state is TierState.ARCHIVED
        assert {row[3] for row in rows(crowd).values()} == {None}
        assert tier not in transact(database, lambda session: tier_steps.in_need_of_flow(session, 0))[0]
