"""The messages of journal entries on a real database, whoever made them: there, whole, in order, and only where somebody asks."""

from hypothesis import HealthCheck, Phase, given, settings

from db.session import Database
from tests.services.lane_world import make_shop
from tests.services.outbox_world import endpoint
from tests.services.random_programs import PROGRAMS, RandomProgram, furnish
from tests.support.message_book import assert_told


@given(program=PROGRAMS)
@settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
def test_random_programs_tell_what_they_do(lane_database: Database, program: RandomProgram) -> None:
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
