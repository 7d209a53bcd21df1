"""Rules in the database: versions, sets in force, orders under concurrency, and what the worker loads."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from db.session import Database
from domain.errors import BadRequest, DomainError, NotFound, OrderConflict, ProgramArchived, RuleArchived
from domain.rules.rule import MAX_ORDER, Rule, RuleStatus
from domain.rules.ruleset import RuleSet
from runtime.ids import new_id
from services.assets import unlink_asset
from services.rules import NewRule, create_rule, get_rule, load_rule_sets, update_rule
from tests.services.rule_world import World, make_organization, make_world, set_status


@pytest.fixture
def world(database: Database) -> World:
    """A fresh organization's program."""
    return make_world(database, make_organization(database))


class Desk:
    """Calls of the service, each in a transaction of its own."""

    def __init__(self, database: Database, world: World) -> None:
        self.database = database
        self.world = world

    def create(self, **fields: Any) -> Rule:
        defaults: dict[str, Any] = {
            "program_id": self.world.program_id,
            "name": "Points",
            "condition": 'event.type == "purchase"',
            "actions": [self.world.credit()],
        }
        with self.database.session() as session:
            return create_rule(session, self.world.organization_id, NewRule(**{**defaults, **fields}))

    def update(self, rule: Rule, **changes: Any) -> Rule:
        with self.database.session() as session:
            return update_rule(session, self.world.organization_id, rule.id, changes)

    def in_force(self) -> RuleSet:
        with self.database.connection() as conn:
            return load_rule_sets(conn, [self.world.program_id])[self.world.program_id]

    def history(self, rule: Rule) -> list[tuple[str, dict[str, Any]]]:
        """Change type and changes of each version, oldest first."""
        with self.database.connection() as conn:
            rows = conn.execute("SELECT change_type, changes FROM rule_history WHERE rule_id = %s ORDER BY changed_at", [rule.id])
            return [(row[0], row[1]) for row in rows]


@pytest.fixture
def desk(database: Database, world: World) -> Desk:
    """The service, for one program."""
    return Desk(database, world)


class TestCreate:
    def test_orders(self, desk: Desk) -> None:
        assert desk.create().order == 10
        assert desk.create(order=500).order == 500
        assert desk.create().order == 510

    def test_archived_rules_do_not_count_for_the_next_order(self, desk: Desk) -> None:
        desk.create()
        desk.update(desk.create(order=900), status=RuleStatus.ARCHIVED)
        assert desk.create().order == 20

    def test_the_highest_order_has_no_successor(self, desk: Desk) -> None:
        desk.create(order=MAX_ORDER)
        with pytest.raises(BadRequest) as refused:
            desk.create()
        assert (refused.value.faults[0].field, refused.value.faults[0].reason) == ("order", "out_of_range")

    def test_what_needs_the_assets_comes_all_at_once(self, desk: Desk, database: Database) -> None:
        set_status(database, "assets", desk.world.cash, "ARCHIVED")
        actions = [
            desk.world.credit(asset_id=str(new_id())),
            desk.world.credit(expires_at="24h"),
            desk.world.credit(amount="0.4"),
            desk.world.credit(asset_id=str(desk.world.cash)),
        ]
        with pytest.raises(BadRequest) as refused:
            desk.create(actions=actions)
        assert [(fault.field, fault.reason, fault.expected) for fault in refused.value.faults] == [
            ("actions[0].asset_id", "invalid", "linked asset"),
            ("actions[1].expires_at", "not_allowed", None),
            ("actions[2].amount", "out_of_range", "decimal string"),
            ("actions[3].asset_id", "invalid", "linked asset"),
        ]
        assert desk.in_force().id == 0

    def test_another_organizations_asset_is_not_linked(self, desk: Desk, database: Database) -> None:
        other = make_world(database, make_organization(database))
        with pytest.raises(BadRequest):
            desk.create(actions=[other.credit()])

    def test_unknown_and_foreign_programs(self, desk: Desk, database: Database) -> None:
        other = make_world(database, make_organization(database))
        for program_id in (new_id(), other.program_id):
            with pytest.raises(NotFound) as refused:
                desk.create(program_id=program_id)
            assert refused.value.details["field"] == "program_id"

    @pytest.mark.parametrize(("status", "is_open"), [("SUSPENDED", True), ("ARCHIVED", False)])
    def test_program_status(self, desk: Desk, database: Database, status: str, is_open: bool) -> None:
        set_status(database, "programs", desk.world.program_id, status)
        if is_open:
            assert desk.create().order == 10
        else:
            with pytest.raises(ProgramArchived):
                desk.create()

    def test_two_at_once_never_share_an_order(self, desk: Desk) -> None:
        results = _at_once([lambda: desk.create(order=70)] * 4)
        assert sorted(type(result) is OrderConflict for result in results) == [False, True, True, True]
        made = {result.order for result in _at_once([desk.create] * 4) if isinstance(result, Rule)}
        assert made == {80, 90, 100, 110}
        assert len(desk.in_force().rules) == 5


def _at_once(calls: list[Callable[[], Rule]]) -> list[Rule | DomainError]:
    results: list[Rule | DomainError] = []

    def run(call: Callable[[], Rule]) -> None:
        try:
            results.append(call())
        except DomainError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class TestUpdate:
    def test_each_change_is_a_version(self, desk: Desk) -> None:
        rule = desk.create()
        desk.update(rule, name="More", order=20)
        desk.update(rule, status=RuleStatus.SUSPENDED, description="later")
        desk.update(rule, status=RuleStatus.ACTIVE)
        archived = desk.update(rule, status=RuleStatus.ARCHIVED)
        assert desk.history(rule) == [
            ("created", {}),
            ("updated", {"name": {"from": "Points", "to": "More"}, "order": {"from": 10, "to": 20}}),
            (
                "suspended",
                {"description": {"from": None, "to": "later"}, "status": {"from": "ACTIVE", "to": "SUSPENDED"}},
            ),
            ("activated", {"status": {"from": "SUSPENDED", "to": "ACTIVE"}}),
            ("archived", {"status": {"from": "ACTIVE", "to": "ARCHIVED"}}),
        ]
        assert archived.deleted_at == archived.updated_at > rule.updated_at

    def test_no_change_no_trace(self, desk: Desk) -> None:
        rule = desk.create()
        before = desk.in_force().id
        assert desk.update(rule, name="Points", actions=[desk.world.credit(bucket=None)], order=10) == rule
        assert len(desk.history(rule)) == 1
        assert desk.in_force().id == before

    def test_archived_is_final(self, desk: Desk) -> None:
        rule = desk.update(desk.create(), status=RuleStatus.ARCHIVED)
        for changes in (
            {"name": "x"},
            {"status": RuleStatus.ACTIVE},
            {"status": RuleStatus.ARCHIVED},
            {"name": "Points"},
        ):
            with pytest.raises(RuleArchived):
                desk.update(rule, **changes)

    def test_only_one_of_many_can_archive(self, desk: Desk) -> None:
        rule = desk.create()
        results = _at_once([lambda: desk.update(rule, status=RuleStatus.ARCHIVED)] * 4)
        assert sorted(type(result).__name__ for result in results) == ["Rule", *["RuleArchived"] * 3]
        assert [change for change, _ in desk.history(rule)] == ["created", "archived"]

    def test_order_conflicts(self, desk: Desk) -> None:
        first, second = desk.create(order=10), desk.create(order=20)
        asleep = desk.create(order=10, status=RuleStatus.SUSPENDED)
        for rule, changes in ((second, {"order": 10}), (asleep, {"status": RuleStatus.ACTIVE})):
            with pytest.raises(OrderConflict) as refused:
                desk.update(rule, **changes)
            assert refused.value.details == {"order": 10, "rule_id": str(first.id)}
        assert desk.update(asleep, order=20).order == 20
        desk.update(second, status=RuleStatus.ARCHIVED)
        assert desk.update(asleep, status=RuleStatus.ACTIVE).status is RuleStatus.ACTIVE

    def test_only_what_is_sent_is_checked(self, desk: Desk, database: Database) -> None:
        rule = desk.create()
        set_status(database, "assets", desk.world.pts, "ARCHIVED")
        assert desk.update(rule, name="More").name == "More"
        with pytest.raises(BadRequest):
            desk.update(rule, actions=[desk.world.credit(amount="20")])

    def test_a_bound_must_fit_the_one_that_stays(self, desk: Desk) -> None:
        rule = desk.create()
        rule = desk.update(rule, active_from=rule.created_at)
        with pytest.raises(BadRequest) as refused:
            desk.update(rule, active_to=rule.created_at)
        assert (refused.value.faults[0].field, refused.value.faults[0].reason) == ("active_to", "out_of_range")
        assert desk.update(rule, active_to=rule.created_at, active_from=None).active_to == rule.created_at

    def test_foreign_and_unknown_rules(self, desk: Desk, database: Database) -> None:
        rule = desk.create()
        stranger = Desk(database, make_world(database, make_organization(database)))
        with pytest.raises(NotFound):
            stranger.update(rule, name="x")
        with database.session() as session, pytest.raises(NotFound):
            get_rule(session, stranger.world.organization_id, rule.id)

    def test_archived_program(self, desk: Desk, database: Database) -> None:
        rule = desk.create()
        set_status(database, "programs", desk.world.program_id, "ARCHIVED")
        with pytest.raises(ProgramArchived):
            desk.update(rule, name="x")


class TestLoadRuleSets:
    def test_a_program_without_rules(self, desk: Desk) -> None:
        assert desk.in_force() == RuleSet(0, desk.world.program_id, ())

    def test_active_rules_by_order_with_their_versions(self, desk: Desk) -> None:
        late, early = desk.create(order=50), desk.create(order=5, condition="true")
        desk.create(order=7, status=RuleStatus.SUSPENDED)
        desk.update(late, name="Renamed")
        found = desk.in_force()
        assert [(rule.id, rule.order, rule.name) for rule in found.rules] == [
            (early.id, 5, "Points"),
            (late.id, 50, "Renamed"),
        ]
        assert _versions(desk) == [rule.history_id for rule in found.rules]

    def test_the_set_in_force_follows_every_change_and_old_ones_stay(self, desk: Desk) -> None:
        rule = desk.create()
        first = desk.in_force()
        desk.update(rule, actions=[desk.world.credit(amount="20")])
        second = desk.in_force()
        desk.update(rule, status=RuleStatus.SUSPENDED)
        third = desk.in_force()
        assert first.id < second.id < third.id
        assert [len(found.rules) for found in (first, second, third)] == [1, 1, 0]
        assert first.rules[0].actions != second.rules[0].actions

    def test_a_known_set_is_not_compiled_again(self, desk: Desk) -> None:
        desk.create()
        assert desk.in_force() is desk.in_force()

    def test_many_programs(self, desk: Desk, database: Database) -> None:
        other = Desk(database, make_world(database, desk.world.organization_id))
        desk.create()
        wanted = [desk.world.program_id, other.world.program_id]
        with database.connection() as conn:
            found = load_rule_sets(conn, wanted)
        assert [len(found[id_].rules) for id_ in wanted] == [1, 0]


def _versions(desk: Desk) -> list[UUID]:
    with desk.database.connection() as conn:
        rows = conn.execute(
            "SELECT history_id FROM rules WHERE program_id = %s AND status = 'ACTIVE' ORDER BY \"order\"",
            [desk.world.program_id],
        )
        return [row[0] for row in rows]


class TestUnlinking:
    def test_an_asset_can_not_be_unlinked_while_a_rule_on_it_is_made(self, desk: Desk) -> None:
        world = desk.world
        refusals: list[DomainError] = []

        def unlink() -> None:
            with desk.database.session() as session:
                try:
                    unlink_asset(session, world.organization_id, world.program_id, world.pts)
                except DomainError as error:
                    refusals.append(error)

        thread = threading.Thread(target=unlink)
        with desk.database.session() as session:
            new = NewRule(world.program_id, "Points", "true", [world.credit()])
            create_rule(session, world.organization_id, new)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
        thread.join()
        assert [refusal.details for refusal in refusals] == [{"reason": "in_use"}]
