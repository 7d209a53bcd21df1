"""`participant.created` on a real database: once in a participant's life, whoever creates it."""

from datetime import timedelta
from typing import Any

import pytest

from db.session import Database
from runtime.ids import new_id
from services.participants import ParticipantInput, upsert_participant
from services.state import Author
from tests.services.lane_world import Shop, make_shop, together
from tests.services.outbox_world import endpoint
from tests.support.message_book import assert_fits
from tests.support.outbox import Recorded, recorded


@pytest.fixture
def shop(lane_database: Database) -> Shop:
    made = make_shop(lane_database)
    endpoint(made, "participant.created")
    return made


def newcomers(shop: Shop) -> list[Recorded]:
    found = recorded(shop.database, shop.organization_id)
    for message in found:
        assert_fits(message)
        assert message.data["participant_id"] == str(message.entity_id)
    return found


def upsert(shop: Shop, name: str, **sent: Any) -> Author:
    author = Author(shop.organization_id, new_id())
    with shop.database.session() as session:
        upsert_participant(session, author, name, shop.world.program_id, ParticipantInput(sent))
    return author


class TestByTheApi:
    def test_all_that_the_call_said(self, shop: Shop) -> None:
        author = upsert(shop, "ann", email="ann@example.com", tags=["b", "a"], attributes={"k": "v"}, status="SUSPENDED")
        [message] = newcomers(shop)
        created_at = shop.value("SELECT created_at FROM participants WHERE external_id = 'ann' AND id = %s", message.entity_id)
        assert message.data == {
            "participant_id": str(shop.participant_id("ann")),
            "external_id": "ann",
            "status": "SUSPENDED",
            "program_id": str(shop.world.program_id),
            "source": "API",
            "event_id": None,
            "created_by_api_key_id": str(author.api_key_id),
            "email": "ann@example.com",
            "phone": None,
            "first_name": None,
            "last_name": None,
            "display_name": None,
            "tags": ["a", "b"],
            "attributes": {"k": "v"},
            "occurred_at": created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }

    def test_only_the_first_time(self, shop: Shop) -> None:
        for _ in range(2):
            upsert(shop, "ann", email="ann@example.com")
        shop.send("ann")
        assert len(newcomers(shop)) == 1

    def test_nothing_of_what_was_rolled_back(self, shop: Shop) -> None:
        with pytest.raises(KeyboardInterrupt), shop.database.session() as session:
            upsert_participant(session, Author(shop.organization_id, new_id()), "ann", None, ParticipantInput())
            raise KeyboardInterrupt
        assert newcomers(shop) == []


class TestByAnEvent:
    def test_subject_and_recipient_by_the_first_event_that_names_them(self, shop: Shop) -> None:
        upsert(shop, "ann")
        wanted = [
            shop.submission("zoe", recipient_external_id="ann"),
            shop.submission("bob", recipient_external_id="zoe"),
            shop.submission("bob", recipient_external_id="cid"),
        ]
        shop.submit(wanted)
        shop.submit(wanted)
        assert [(each.data["external_id"], each.data["event_id"]) for each in newcomers(shop)[1:]] == [
            ("zoe", str(wanted[0].id)),
            ("bob", str(wanted[1].id)),
            ("cid", str(wanted[2].id)),
        ]
        last = newcomers(shop)[-1].data
        assert (last["source"], last["created_by_api_key_id"], last["status"]) == ("EVENT", None, "ACTIVE")
        assert (last["program_id"], last["tags"], last["attributes"]) == (str(shop.world.program_id), [], {})

    def test_two_groups_at_once_create_and_tell_once(self, shop: Shop) -> None:
        names = [f"p-{n}" for n in range(10)]
        together([lambda: shop.submit([shop.submission(name) for name in names]) for _ in range(4)])
        assert sorted(message.data["external_id"] for message in newcomers(shop)) == sorted(names)

    def test_a_refused_one_creates_nobody(self, shop: Shop) -> None:
        shop.submit([shop.submission("ann", program_id=new_id())])
        assert newcomers(shop) == []

    def test_nobody_hears_of_another_organization(self, shop: Shop) -> None:
        other = make_shop(shop.database)
        shop.submit([shop.submission("ann"), other.submission("bob")])
        assert [message.data["external_id"] for message in newcomers(shop)] == ["ann"]
        assert recorded(shop.database, other.organization_id) == []

    def test_it_comes_before_what_its_event_does(self, shop: Shop) -> None:
        endpoint(shop, "*")
        shop.rule(shop.world.credit())
        shop.send("ann", event_timestamp=shop.submission().event_timestamp - timedelta(days=1))
        shop.drain_all()
        assert [each.type for each in newcomers(shop)] == ["participant.created", "balance.credited", "event.completed"]
