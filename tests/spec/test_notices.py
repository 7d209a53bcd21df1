"""webhooks.md 5.13 over HTTP: lots about to expire are announced at midnight. With the test clock, in a product of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.timestamps import parse_timestamp
from runtime.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.support.client import new_tenant
from tests.support.databases import make_database
from tests.support.message_book import assert_fits
from tests.support.outbox import recorded
from tests.support.receiver import receive
from tests.support.stack import Stack, run_stack
from tests.support.till import Till

URL = "/v1/test-clock"


@pytest.fixture(scope="module")
def machine(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running product whose clock may be moved. Its tests run in the order of their dates."""
    data = Path(tmp_path_factory.mktemp("notices"))
    with (
        EmbeddedTemporal(data, headless=True, in_memory=True) as temporal,
        run_stack(make_database(postgres.dsn, "spec_notices"), temporal, data, test_clock=True) as running,
    ):
        yield running


class Watched(Till):
    """A participant whose MILES have seven days of notice, and an endpoint for everything."""

    machine: Stack

    def listen(self, machine: Stack, url: str) -> None:
        self.machine = machine
        self.api.post("/v1/webhook-endpoints", {"url": url, "enabled_events": ["*"]}, 201)

    def set_days(self, days: int | None) -> None:
        self.api.patch(f"/v1/assets/{self.asset('MILES')}", {"expiry_notice_days": days})

    def move(self, moment: str) -> int:
        return int(self.api.post(URL, {"now": moment})["steps"])

    def heard(self) -> list[dict[str, Any]]:
        """The data of all notices, in order."""
        messages = recorded(self.machine.database, UUID(str(self.api.organization_id)))
        found = [each for each in messages if each.type == "balance.expiring"]
        for each in found:
            assert_fits(each)
        return [each.data for each in found]

    def amounts(self) -> list[str]:
        return [data["amount"] for data in self.heard()]


@pytest.fixture
def watched(machine: Stack) -> Iterator[Watched]:
    with receive() as receiver:
        found = Watched(new_tenant(machine.database, machine.base_url))
        found.listen(machine, receiver.url)
        found.set_days(7)
        yield found
        found.require_sound(machine.database)
        found.api.http.close()


@pytest.mark.example("webhooks.md", 13)
def test_lots_are_announced_seven_days_ahead(watched: Watched) -> None:
    watched.move("2030-03-01T10:00:00Z")
    watched.credit("MILES", "100", expires_at="2030-03-31T12:00:00Z")
    watched.credit("MILES", "40", expires_at="2030-03-31T18:00:00Z")
    watched.credit("MILES", "5")
    assert watched.move("2030-03-24T00:00:00Z") == 1
    [data] = watched.heard()
    assert (data["amount"], data["expires_at"]) == ("140", "2030-03-31T12:00:00.000000Z")
    assert (data["notice_days"], data["lot_count"]) == (7, 2)
    assert data["participant_id"] == watched.participant
    assert data["balance"] == {"available": "145", "held": "0", "deferred": "0"}
    assert data["occurred_at"].startswith("2030-03-24T00:00:0")
    assert watched.move("2030-03-26T09:00:00Z") == 0
    assert watched.amounts() == ["140"]
    watched.credit("MILES", "10", expires_at="2030-03-31T20:00:00Z")
    assert watched.move("2030-03-27T00:00:00Z") == 1
    assert watched.amounts() == ["140", "10"]
    assert watched.move("2030-04-01T00:00:00Z") == 3
    assert watched.amounts() == ["140", "10"]
    assert [lot["status"] for lot in watched.lots("MILES")] == ["EXPIRED", "EXPIRED", "AVAILABLE", "EXPIRED"]


def test_what_is_held_or_spent_is_announced_when_it_is_back(watched: Watched) -> None:
    """A lot that was spent before its midnight, and one that was held at it; not what was announced before it was spent."""
    watched.move("2030-05-01T10:00:00Z")
    for amount in ("10", "20", "30"):
        watched.credit("MILES", amount, expires_at="2030-05-20T12:00:00Z")
    spent = watched.redeem("10", "MILES")
    held = watched.hold("MILES", "20", reference_id="stay")
    assert held["amount_processed"] == "20"
    watched.move("2030-05-13T00:00:00Z")
    assert watched.amounts() == ["30"]
    announced = watched.redeem("30", "MILES")
    watched.reverse(spent)
    watched.release("MILES", reference_id="stay")
    watched.reverse(announced)
    assert watched.amounts() == ["30"]
    assert watched.move("2030-05-15T00:00:00Z") == 1
    assert watched.amounts() == ["30", "30"]
    assert [lot["amount"] for lot in watched.heard()[-1]["lots"]] == ["10", "20"]
    assert watched.move("2030-05-21T00:00:00Z") == 1


def test_the_clock_stops_at_midnights_with_something_to_say_only(watched: Watched) -> None:
    watched.move("2030-07-01T10:00:00Z")
    watched.set_days(None)
    watched.credit("MILES", "10", expires_at="2030-07-05T12:00:00Z")
    assert watched.move("2030-07-03T10:00:00Z") == 0
    watched.set_days(30)
    assert watched.move("2030-07-03T23:00:00Z") == 0
    assert watched.amounts() == []
    assert watched.move("2030-07-05T13:00:00Z") == 2
    assert watched.amounts() == ["10"]
    assert watched.heard()[0]["notice_days"] == 30
    assert parse_timestamp(watched.heard()[0]["occurred_at"]).date().isoformat() == "2030-07-04"


def test_an_archived_asset_sends_none(watched: Watched) -> None:
    watched.move("2030-09-01T10:00:00Z")
    watched.credit("MILES", "10", expires_at="2030-09-05T12:00:00Z")
    watched.api.patch(f"/v1/assets/{watched.asset('MILES')}", {"status": "ARCHIVED"})
    assert watched.move("2030-09-07T00:00:00Z") == 0
    assert watched.heard() == []
