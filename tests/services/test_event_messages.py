"""`event.completed` and `event.failed` on a real database: what they say, and that there is one for each outcome."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.jsontext import dumps as api_dumps
from db.session import Database
from domain.processing.process import Outcome
from domain.processing.world import Event
from services import batch_work, processing, scheduled
from services.events import get_event, retry
from tests.services.automation_world import insert
from tests.services.lane_world import LANES, MOMENT, Shop, make_shop
from tests.services.outbox_world import COMPLETED, FAILED, endpoint, heard_by, messages, paying, run, told


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    return make_shop(lane_database)


def rule_ids(shop: Shop) -> list[UUID]:
    return [row[0] for row in shop.fetch('SELECT id FROM rules WHERE program_id = %s ORDER BY "order"', shop.world.program_id)]


class TestData:
    def test_a_completed_event(self, shop: Shop) -> None:
        endpoint(shop, "*")
        shop.rule(shop.world.credit(amount="5"), shop.world.credit(amount="2", asset_id=str(shop.world.cash)), order=10)
        shop.rule({"type": "TAG", "tag": "x"}, condition="event.points > 100", order=20)
        shop.rule({"type": "TAG", "tag": "y"}, order=30, stop_after_match=True)
        shop.rule({"type": "TAG", "tag": "z"}, order=40)
        event = shop.send("ann", {"points": 1}, idempotency_key='say "hé"\\', recipient_external_id="bob").event
        shop.drain_all()
        [(type_, data)] = messages(shop)
        received, processed = times_of(shop, event.id)
        entries = shop.fetch("SELECT id FROM journal_entries WHERE event_id = %s ORDER BY created_at, id", event.id)
        first, _, third, _ = rule_ids(shop)
        expected = {
            "event_id": str(event.id),
            "program_id": str(shop.world.program_id),
            "participant_id": str(shop.participant_id("ann")),
            "external_id": "ann",
            "recipient_id": str(shop.participant_id("bob")),
            "idempotency_key": 'say "hé"\\',
            "event_type": "EXTERNAL",
            "event_timestamp": "2026-01-15T10:30:00.000000Z",
            "received_at": received,
            "processed_at": processed,
            "status": "COMPLETED",
            "automation_id": None,
            "caused_by_event_id": None,
            "rules_evaluated": 4,
            "rules_matched": 2,
            "matched_rule_ids": [str(first), str(third)],
            "journal_entry_ids": [str(row[0]) for row in entries],
        }
        assert (type_, data) == (COMPLETED, expected)
        assert len(entries) == 2
        assert list(data) == list(expected)

    def test_a_failed_event(self, shop: Shop) -> None:
        endpoint(shop, "*")
        shop.rule(shop.world.credit(amount="5"), order=10)
        shop.rule({"type": "DEBIT", "asset_id": str(shop.world.pts), "amount": "40"}, order=20)
        shop.rule({"type": "TAG", "tag": "z"}, order=30)
        event = shop.send("ann", {"points": 1}, idempotency_key="k").event
        shop.drain_all()
        [(type_, data)] = messages(shop)
        received, processed = times_of(shop, event.id)
        first, second, _ = rule_ids(shop)
        symbol = shop.value("SELECT symbol FROM assets WHERE id = %s", shop.world.pts)
        code = "insufficient_balance"
        expected = {
            "event_id": str(event.id),
            "program_id": str(shop.world.program_id),
            "participant_id": str(shop.participant_id("ann")),
            "external_id": "ann",
            "recipient_id": None,
            "idempotency_key": "k",
            "event_type": "EXTERNAL",
            "event_timestamp": "2026-01-15T10:30:00.000000Z",
            "received_at": received,
            "processed_at": processed,
            "status": "FAILED",
            "automation_id": None,
            "caused_by_event_id": None,
            "rules_evaluated": 2,
            "rules_matched": 2,
            "matched_rule_ids": [str(first), str(second)],
            "error_code": code,
            "error_message": f"{code}: action DEBIT failed: available 5, requested 40 {symbol}",
            "failed_rule_id": str(second),
        }
        assert (type_, data) == (FAILED, expected)
        assert list(data) == list(expected)

    def test_a_system_event_of_the_program(self, shop: Shop) -> None:
        endpoint(shop, "*")
        automation_id = insert(shop, MOMENT)
        with shop.database.session() as session:
            assert scheduled.fire(session, [automation_id], LANES).events == 1
        shop.drain_all()
        [(_, data)] = messages(shop)
        assert {name: data[name] for name in ("participant_id", "external_id", "recipient_id", "caused_by_event_id")} == {
            "participant_id": None,
            "external_id": None,
            "recipient_id": None,
            "caused_by_event_id": None,
        }
        assert (data["event_type"], data["automation_id"]) == ("SYSTEM", str(automation_id))
        assert shop.value("SELECT entity_id FROM webhook_deliveries WHERE organization_id = %s", shop.organization_id) == (
            shop.world.program_id
        )

    def test_a_delivery_begins_with_its_message(self, shop: Shop) -> None:
        listener = endpoint(shop, "*")
        run(shop)
        [(message_id, recorded, type_)] = shop.fetch(
            "SELECT id, created_at, type FROM webhook_messages WHERE organization_id = %s AND type LIKE 'event.%%'",
            shop.organization_id,
        )
        delivery = shop.fetch(
            """
            SELECT webhook_event_id, webhook_endpoint_id, event_type, entity_id, status, attempt_count, max_attempts, next_attempt_at,
                   last_attempt_at, delivered_at, created_at, updated_at
            FROM webhook_deliveries WHERE organization_id = %s AND event_type LIKE 'event.%%'
            """,
            shop.organization_id,
        )
        ann = shop.participant_id("ann")
        about = (message_id, listener, type_, ann)
        assert delivery == [(*about, "PENDING", 0, 8, recorded, None, None, recorded, recorded)]
        assert message_id.version == 7
        assert timedelta(0) <= shop.value("SELECT openscrip_now()") - recorded < timedelta(minutes=1)


def times_of(shop: Shop, event_id: UUID) -> tuple[str, str]:
    """When the event was received and processed, as the API prints it."""
    with shop.database.session() as session:
        found = get_event(session, shop.organization_id, event_id)
    received, processed = json.loads(api_dumps([found.created_at, found.processed_at]))
    return received, processed


class TestOnceForEachOutcome:
    def test_a_retry_tells_again(self, shop: Shop) -> None:
        """webhooks.md 6.12: no more than what became of it each time."""
        paying(shop)
        endpoint(shop, "*")
        event_id = run(shop, {})
        again(shop, event_id)
        with shop.database.connection() as conn:
            conn.execute("UPDATE rules SET status = 'ARCHIVED' WHERE program_id = %s", [shop.world.program_id])
        shop.rule({"type": "TAG", "tag": "mended"})
        again(shop, event_id)
        assert told(shop) == [(FAILED, str(event_id)), (FAILED, str(event_id)), (COMPLETED, str(event_id))]
        ids = shop.fetch(
            "SELECT DISTINCT id FROM webhook_messages WHERE organization_id = %s AND type LIKE 'event.%%'", shop.organization_id
        )
        assert len(ids) == 3

    def test_attempts_that_are_used_up(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        paying(shop)
        endpoint(shop, "*")
        breaks(monkeypatch)
        monkeypatch.setattr(processing, "RETRY_SECONDS", (0.0,))
        accepted = shop.send("ann")
        assert accepted.lane is not None
        shop.drain(accepted.lane)
        while shop.status(accepted.event.id) == "PENDING":
            assert messages(shop) == []
            shop.drain(accepted.lane)
        [(type_, data)] = messages(shop)
        assert (type_, data["event_id"], data["external_id"]) == (FAILED, str(accepted.event.id), "ann")
        assert {name: data[name] for name in list(data)[-6:]} == {
            "rules_evaluated": 0,
            "rules_matched": 0,
            "matched_rule_ids": [],
            "error_code": "internal_error",
            "error_message": "internal_error: the event could not be processed",
            "failed_rule_id": None,
        }

    @settings(max_examples=15, suppress_health_check=list(HealthCheck), database=None)
    @given(
        sent=st.lists(st.tuples(st.sampled_from(["ann", "bob", "cid"]), st.sampled_from([1, 3, None])), max_size=25),
        wanted=st.sets(st.sampled_from(["*", COMPLETED, FAILED]), min_size=1),
    )
    def test_as_many_as_outcomes(self, lane_database: Database, sent: Sequence[tuple[str, int | None]], wanted: set[str]) -> None:
        shop = make_shop(lane_database)
        paying(shop)
        listener = endpoint(shop, *wanted)
        shop.submit([shop.submission(name, {} if points is None else {"points": points}) for name, points in sent])
        shop.drain_all()
        outcomes = shop.fetch(
            "SELECT participant_id, status, event_id FROM event_outcomes WHERE organization_id = %s ORDER BY created_at",
            shop.organization_id,
        )
        assert len(outcomes) == len(sent)
        expected: dict[str, list[tuple[str, str]]] = {}
        for participant_id, status, event_id in outcomes:
            type_ = f"event.{status.lower()}"
            if {"*", type_} & wanted:
                expected.setdefault(str(participant_id), []).append((type_, str(event_id)))
        found: dict[str, list[tuple[str, str]]] = {}
        for type_, data in messages(shop):
            found.setdefault(data["participant_id"], []).append((type_, data["event_id"]))
        assert found == expected
        assert len(heard_by(shop, listener)) == sum(map(len, expected.values()))


def again(shop: Shop, event_id: UUID) -> None:
    """Retry a failed event."""
    with shop.database.session() as session:
        retry(session, shop.organization_id, event_id, LANES)
    shop.drain_all()


def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processing break in a way nobody foresaw."""

    def breaking(event: Event, *_: Any) -> Outcome:
        raise ZeroDivisionError(str(event.id))

    monkeypatch.setattr(batch_work, "process", breaking)
