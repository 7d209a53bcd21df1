"""The outbox on a real database: who hears of what became of an event, and that nobody hears of what was rolled back."""

from typing import Any

import pytest

from db.session import Connection, Database
from domain.processing.process import Outcome
from domain.processing.process import process as real_process
from services import batch_work
from services.event_simulation import Trial, simulate_event
from services.messages.events import record_batch
from services.processing import StartAgain, process_batch
from tests.services.lane_world import Shop, make_shop
from tests.services.outbox_world import COMPLETED, FAILED, endpoint, heard_by, messages, paying, run, told


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


class TestWhoHears:
    def test_an_endpoint_for_everything_hears_both(self, shop: Shop) -> None:
        paying(shop)
        listener = endpoint(shop, "*")
        done, failed = run(shop), run(shop, {})
        assert told(shop) == [(COMPLETED, str(done)), (FAILED, str(failed))]
        assert heard_by(shop, listener) == [COMPLETED, FAILED]

    @pytest.mark.parametrize("wanted", [COMPLETED, FAILED])
    def test_an_endpoint_for_one_type_hears_that_type(self, shop: Shop, wanted: str) -> None:
        paying(shop)
        listener = endpoint(shop, wanted, "balance.credited")
        run(shop)
        run(shop, {})
        assert heard_by(shop, listener) == [wanted]
        assert [type_ for type_, _ in messages(shop)] == [wanted]

    def test_one_message_for_all_its_endpoints(self, shop: Shop) -> None:
        both, everything, one = endpoint(shop, COMPLETED, "*"), endpoint(shop, "*"), endpoint(shop, FAILED)
        run(shop)
        assert [heard_by(shop, id_) for id_ in (both, everything, one)] == [[COMPLETED], [COMPLETED], []]
        assert len(messages(shop)) == 1

    @pytest.mark.parametrize("status", ["DISABLED", "ARCHIVED"])
    def test_an_endpoint_that_is_not_active_hears_nothing(self, shop: Shop, status: str) -> None:
        silent = endpoint(shop, "*", status=status)
        run(shop)
        assert messages(shop) == []
        listener = endpoint(shop, "*")
        run(shop)
        assert [heard_by(shop, id_) for id_ in (silent, listener)] == [[], [COMPLETED]]

    def test_other_types_and_no_endpoints_leave_nothing(self, shop: Shop) -> None:
        run(shop)
        endpoint(shop, "balance.credited", "event")
        run(shop)
        assert messages(shop) == []

    def test_organizations_in_one_batch_hear_of_their_own(self, shop: Shop) -> None:
        other = make_shop(shop.database)
        mine, theirs = endpoint(shop, COMPLETED), endpoint(other, "*")
        silent = make_shop(shop.database)
        sent = {each.organization_id: [each.send(f"p-{n}").event.id for n in range(12)] for each in (shop, other, silent)}
        shop.drain_all()
        for each, listener in ((shop, mine), (other, theirs)):
            assert {id_ for _, id_ in told(each)} == {str(id_) for id_ in sent[each.organization_id]}
            assert len(heard_by(each, listener)) == 12
        assert messages(silent) == []

    def test_who_subscribes_is_asked_when_the_work_is_done(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """An endpoint that was made while a batch was at work hears of it."""
        made = []

        def slow(*arguments: Any) -> Outcome:
            made.append(endpoint(shop, "*"))
            return real_process(*arguments)

        monkeypatch.setattr(batch_work, "process", slow)
        run(shop)
        assert [heard_by(shop, id_) for id_ in made] == [[COMPLETED]]


class TestNothingOfWhatWasRolledBack:
    def test_a_batch_that_starts_again(self, shop: Shop) -> None:
        """The program's state is found changed at the end of the flush, after the messages were written."""
        shop.rule({"type": "COUNTER", "key": "n", "value": "1", "target": {"type": "PROGRAM"}})
        endpoint(shop, "*")
        event = shop.send("ann", {"points": 3})
        assert event.lane is not None
        with pytest.raises(StartAgain), shop.database.connection() as conn:
            interrupted(conn, shop, event.lane)
        assert messages(shop) == []
        assert shop.drain(event.lane).events == 1
        assert told(shop) == [(COMPLETED, str(event.event.id))]

    def test_a_commit_that_fails(self, shop: Shop) -> None:
        """A check that Postgres leaves to the commit stands for everything that can go wrong there."""
        paying(shop)
        endpoint(shop, "*")
        event = shop.send("ann", {"points": 3})
        assert event.lane is not None
        with pytest.raises(Exception, match="at_commit"), shop.database.connection() as conn:
            conn.execute("CREATE TEMP TABLE at_commit (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP")
            assert process_batch(conn, event.lane).events == 1
            assert recorded(conn, shop) == 1
            conn.execute("INSERT INTO at_commit VALUES (1), (1)")
        assert messages(shop) == []
        assert shop.status(event.event.id) == "RECEIVED"
        assert shop.drain(event.lane).events == 1
        assert told(shop) == [(COMPLETED, str(event.event.id))]

    def test_a_worker_that_dies_before_the_commit(self, shop: Shop) -> None:
        paying(shop)
        endpoint(shop, "*")
        lane = shop.send("ann", {"points": 3}).lane
        assert lane is not None
        with pytest.raises(KeyboardInterrupt), shop.database.connection() as conn:
            process_batch(conn, lane)
            raise KeyboardInterrupt
        assert messages(shop) == []

    def test_a_dry_run(self, shop: Shop) -> None:
        paying(shop)
        endpoint(shop, "*")
        for data in ('{"points":1}', "{}"):
            trial = Trial(shop.organization_id, shop.world.program_id, data, external_id="ann")
            with shop.database.session() as session:
                simulate_event(session, trial)
        assert messages(shop) == []


def recorded(conn: Connection, shop: Shop) -> int:
    """How many messages about events a transaction sees."""
    found: Any = conn.execute(
        "SELECT count(*) FROM webhook_messages WHERE organization_id = %s AND type LIKE 'event.%%'", [shop.organization_id]
    ).fetchone()
    return int(found[0])


def interrupted(conn: Connection, shop: Shop, lane: int) -> None:
    """A batch whose program somebody else counts on between its load and its flush."""
    flush = record_batch

    def meanwhile(*arguments: Any) -> None:
        flush(*arguments)
        assert recorded(conn, shop) == 1
        shop.fetch("UPDATE program_states SET version = version + 1 WHERE program_id = %s RETURNING 1", shop.world.program_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_work, "record_batch", meanwhile)
        process_batch(conn, lane)


def test_endpoints_are_read_without_a_lock(shop: Shop) -> None:
    """A transaction that is changing an endpoint holds no lane up."""
    listener = endpoint(shop, "*")
    with shop.database.connection() as conn:
        conn.execute("UPDATE webhook_endpoints SET status = 'DISABLED' WHERE id = %s", [listener])
        run(shop)
    run(shop)
    assert heard_by(shop, listener) == [COMPLETED]


def test_its_tables_have_the_partitions_that_events_have(shop: Shop) -> None:
    """The outbox is partitioned by month, as the events are, with a default for what lies outside."""
    partitions = shop.fetch(
        """
        SELECT parent.relname, count(*), bool_or(child.relname = parent.relname || '_other')
        FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid
        WHERE parent.relname IN ('events', 'webhook_messages', 'webhook_deliveries') AND parent.relkind = 'p' GROUP BY 1
        """
    )
    assert {name: number for name, number, _ in partitions}.keys() == {"events", "webhook_messages", "webhook_deliveries"}
    assert len({number for _, number, _ in partitions}) == 1
    assert all(has_default for _, _, has_default in partitions)
