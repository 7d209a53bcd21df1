"""The messages of what rules do: before that of their event, nothing of a failed run, and a number of statements that is fixed."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from db.session import Database
from services import batch_work
from services.events import retry
from services.processing import process_batch
from tests.services.lane_world import LANES, Shop, make_shop
from tests.services.outbox_world import endpoint, messages, run
from tests.services.random_programs import PROGRAMS, RandomProgram, furnish
from tests.support.message_book import assert_told
from tests.support.outbox import recorded


class TestByRules:
    @given(program=PROGRAMS)
    @settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    def test_random_programs_tell_what_they_do(self, lane_database: Database, program: RandomProgram) -> None:
        """Several events to a batch: each entry's messages stand before that of its event, and their figures are the rows'."""
        shop = make_shop(lane_database)
        endpoint(shop, "*")
        furnish(shop, program)
        for rounds in range(2):
            shop.submit(
                [
                    shop.submission(each.external_id, each.data, recipient_external_id=each.recipient)
                    for each in (*program.events, *program.events[:rounds])
                ]
            )
            shop.drain_all()
        told = assert_told(shop.database, shop.organization_id)
        people = shop.fetch("SELECT external_id FROM participants WHERE organization_id = %s", shop.organization_id)
        newcomers = [message.data["external_id"] for message in told if message.type == "participant.created"]
        assert sorted([*newcomers, "ann", "bob"]) == sorted(row[0] for row in people)
        outcomes = shop.fetch("SELECT event_id, status FROM event_outcomes WHERE organization_id = %s", shop.organization_id)
        events = {(message.data["event_id"], message.data["status"]) for message in told if message.type.startswith("event.")}
        assert events == {(str(event_id), status) for event_id, status in outcomes}

    @pytest.mark.example("webhooks.md", 12)
    def test_a_failed_run_leaves_no_balance_message(self, lane_database: Database) -> None:
        shop = make_shop(lane_database)
        endpoint(shop, "*")
        shop.rule(shop.world.credit(amount="7"), order=1)
        shop.rule({"type": "DEBIT", "asset_id": str(shop.world.cash), "amount": "event.points"}, order=2)
        event_id = run(shop)
        assert messages(shop, "balance.") == []
        with shop.database.connection() as conn:
            conn.execute("UPDATE rules SET status = 'ARCHIVED' WHERE program_id = %s", [shop.world.program_id])
        shop.rule(shop.world.credit(amount="3"))
        with shop.database.session() as session:
            retry(session, shop.organization_id, event_id, LANES)
        shop.drain_all()
        told = assert_told(shop.database, shop.organization_id)
        assert [each.type for each in told] == ["participant.created", "event.failed", "balance.credited", "event.completed"]
        assert told[2].data["amount"] == "3"

    def test_only_what_somebody_subscribes_to(self, lane_database: Database) -> None:
        shop = make_shop(lane_database)
        listener = endpoint(shop, "balance.credited", "balance.debited")
        shop.rule(shop.world.credit(), {"type": "HOLD", "asset_id": str(shop.world.pts), "amount": "4"}, shop.world.credit())
        run(shop)
        assert [message.type for message in recorded(shop.database, shop.organization_id)] == ["balance.credited"] * 2
        assert shop.value("SELECT count(*) FROM webhook_deliveries WHERE webhook_endpoint_id = %s", listener) == 2

    @pytest.mark.parametrize("enabled", [(), ("balance.credited",), ("*",)])
    def test_the_number_of_statements_is_not_that_of_events(
        self, lane_database: Database, enabled: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = make_shop(lane_database)
        shop.rule(shop.world.credit(), {"type": "CREDIT", "asset_id": str(shop.world.miles), "amount": "4"})
        if enabled:
            endpoint(shop, *enabled)
        run(shop)
        assert statements(monkeypatch, shop, 2) == statements(monkeypatch, shop, 40)


def statements(monkeypatch: pytest.MonkeyPatch, shop: Shop, size: int) -> int:
    """How many statements one batch of so many events of one participant takes."""
    lane = {result.lane for result in shop.submit([shop.submission("ann", {"points": 1}) for _ in range(size)])}.pop()
    counted = []
    execute = psycopg.Cursor.execute

    with monkeypatch.context() as patch, shop.database.connection() as conn:

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            # a product that runs in this process executes others meanwhile
            if self.connection is conn:
                counted.append(args[0])
            return execute(self, *args, **kwargs)

        # one batch, however busy the machine is
        patch.setattr(batch_work, "BOX_SECONDS", 60.0)
        patch.setattr(psycopg.Cursor, "execute", counting)
        assert process_batch(conn, lane).events == size
    return len(counted)
