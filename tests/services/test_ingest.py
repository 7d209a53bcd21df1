"""Accepting events on a real database: one event per key, order, what a refused one leaves, many at once."""

import random
from datetime import timedelta
from uuid import uuid5

import pytest

from db.session import Database
from domain.errors import DomainError
from domain.lanes import lane_of
from runtime.ids import new_id
from services.ingest import Accepted, Result
from tests.services.lane_world import LANES, Shop, make_shop, together
from tests.services.rule_world import make_organization, make_world, set_status


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


def accepted(results: list[Result]) -> list[Accepted]:
    assert all(isinstance(result, Accepted) for result in results), results
    return [result for result in results if isinstance(result, Accepted)]


def counts(shop: Shop) -> tuple[int, ...]:
    """Participants, enrolments, events, queued events of the organization."""
    tables = ("participants", "enrollments", "events", "event_queue")
    return tuple(shop.value(f"SELECT count(*) FROM {table} WHERE organization_id = %s", shop.organization_id) for table in tables)


class TestIdentity:
    def test_one_key_from_twenty_threads_is_one_event(self, shop: Shop) -> None:
        submissions = [shop.submission(data={"n": number}, idempotency_key="once") for number in range(20)]
        results = [result for [result] in together([lambda s=s: shop.submit([s]) for s in submissions])]
        found = accepted(results)
        assert {result.event.id for result in found} == {uuid5(shop.world.program_id, "once")}
        assert [result.replayed for result in found].count(False) == 1
        assert len({result.event.participant_id for result in found}) == 1
        assert counts(shop) == (1, 1, 1, 1)

    def test_twice_in_one_group_is_one_event(self, shop: Shop) -> None:
        first = shop.submission(data={"n": 1}, idempotency_key="once")
        second = shop.submission(data={"n": 2}, idempotency_key="once")
        one, other, again = accepted(shop.submit([first, second])) + accepted(shop.submit([second]))
        assert (one.replayed, other.replayed, again.replayed) == (False, True, True)
        assert (other.lane, again.lane) == (None, None)
        assert shop.fetch("SELECT event_data FROM events WHERE id = %s", one.event.id) == [({"n": 1},)]

    def test_a_known_key_is_answered_before_anything_is_checked(self, shop: Shop, lane_database: Database) -> None:
        known = shop.submission(idempotency_key="once")
        first = accepted(shop.submit([known]))[0]
        set_status(lane_database, "programs", shop.world.program_id, "ARCHIVED")
        unknown = shop.submission(idempotency_key="once", external_id=None, participant_id=new_id())
        assert [result.event.id for result in accepted(shop.submit([known, unknown]))] == [first.event.id] * 2

    def test_another_organizations_program_tells_nothing(self, shop: Shop, lane_database: Database) -> None:
        shop.send(idempotency_key="once")
        foreign = shop.submission(idempotency_key="once", organization_id=make_organization(lane_database))
        [result] = shop.submit([foreign])
        assert isinstance(result, DomainError)
        assert (result.code, result.details["field"]) == ("not_found", "program_id")


class TestChecks:
    def test_each_of_a_group_on_its_own_and_nothing_of_the_refused(self, shop: Shop, lane_database: Database) -> None:
        strict = make_world(lane_database, shop.organization_id)
        stranger = make_shop(lane_database).send("stranger").event.participant_id
        shop.fetch("UPDATE programs SET on_unknown_participant = 'REJECT' WHERE id = %s RETURNING 1", strict.program_id)
        before = counts(shop)
        wrong = {
            "program_id": shop.submission(program_id=new_id()),
            "participant_id": shop.submission(external_id=None, participant_id=stranger),
            "recipient_id": shop.submission(recipient_id=new_id()),
            "external_id": shop.submission("zed", program_id=strict.program_id),
        }
        results = shop.submit([*wrong.values()])
        assert [result.details["field"] for result in results if isinstance(result, DomainError)] == list(wrong)
        assert counts(shop) == before
        sound = shop.submission("ann", recipient_external_id="bob")
        results = shop.submit([wrong["recipient_id"], sound, wrong["external_id"]])
        assert [isinstance(result, Accepted) for result in results] == [False, True, False]
        assert counts(shop) == (2, 2, 1, 1)

    def test_an_inactive_program_comes_last(self, shop: Shop, lane_database: Database) -> None:
        set_status(lane_database, "programs", shop.world.program_id, "SUSPENDED")
        results = shop.submit([shop.submission(recipient_id=new_id()), shop.submission()])
        assert [result.code for result in results if isinstance(result, DomainError)] == ["not_found", "program_inactive"]

    @pytest.mark.parametrize("status", ["FROZEN", "LOCKED", "CLOSED"])
    def test_inactive_enrolments_become_active(self, shop: Shop, status: str) -> None:
        participant_id = shop.send("ann").event.participant_id
        shop.fetch("UPDATE enrollments SET status = %s WHERE participant_id = %s RETURNING 1", status, participant_id)
        shop.send("bob", recipient_id=participant_id)
        assert shop.fetch("SELECT status FROM enrollments WHERE participant_id = %s", participant_id) == [("ACTIVE",)]

    def test_a_recipient_that_is_the_participant(self, shop: Shop) -> None:
        event = shop.send("ann", recipient_external_id="ann").event
        assert shop.fetch("SELECT participant_id = recipient_id FROM events WHERE id = %s", event.id) == [(True,)]
        assert counts(shop) == (1, 1, 1, 1)


class TestOrder:
    def test_groups_keep_the_order_of_their_items(self, shop: Shop) -> None:
        keys = []
        for _ in range(3):
            group = [shop.submission(random.choice(["ann", "bob", "cid"])) for _ in range(40)]
            keys += [submission.id for submission in group]
            shop.submit(group)
        rows = shop.fetch(
            """
            SELECT e.id, e.created_at FROM events e JOIN event_queue q ON q.event_id = e.id
            WHERE e.organization_id = %s ORDER BY q.queue_seq
            """,
            shop.organization_id,
        )
        assert [row[0] for row in rows] == keys
        times = [row[1] for row in rows]
        assert times == sorted(set(times))
        assert times[1] - times[0] == timedelta(microseconds=1)

    def test_a_participant_keeps_its_lane(self, shop: Shop) -> None:
        found = [shop.send("ann") for _ in range(3)]
        assert {result.lane for result in found} == {lane_of(found[0].event.participant_id, LANES)}  # type: ignore[arg-type]


class TestManyAtOnce:
    def test_overlapping_groups_neither_lock_up_nor_double(self, shop: Shop) -> None:
        before = shop.deadlocks()
        names = [f"p-{number}" for number in range(40)]

        def group(seed: int) -> list[Result]:
            dice = random.Random(seed)
            submissions = [
                shop.submission(
                    dice.choice(names),
                    recipient_external_id=dice.choice([None, *names]),
                    idempotency_key=f"shared-{dice.randrange(150)}",
                )
                for _ in range(60)
            ]
            return shop.submit(submissions)

        results = together([lambda seed=seed: group(seed) for seed in range(20)])
        fresh = [result.event.id for group_ in results for result in accepted(group_) if not result.replayed]
        assert len(fresh) == len(set(fresh)) == len({r.event.id for group_ in results for r in accepted(group_)})
        participants, _, events, queued = counts(shop)
        assert participants <= len(names)
        assert events == queued == len(fresh)
        assert shop.deadlocks() == before
