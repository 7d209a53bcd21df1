"""Lists of automations and the search for what is due read by an index, however many rules have made and done with."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from api.routes.automations import AUTOMATIONS
from db.repositories import automation_records as records
from db.repositories import automations as rows
from db.repositories.automation_records import AutomationFilter
from db.session import APPLICATION_ROLE, Connection, Database
from domain.automations import AutomationStatus, Source, TriggerType
from runtime.embedded import EmbeddedPostgres
from services.paging import Keyset
from tests.services.rule_world import World, make_organization, make_world
from tests.support.databases import make_database
from tests.support.plans import plans_of

MADE = 30_000
BUDGET_MILLISECONDS = 10.0
PAGE = Keyset(AUTOMATIONS.sorts["created_at"])


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres) -> Iterator[tuple[Database, World]]:
    """A program with a few automations of the API among many that rules made, all but some of which have fired."""
    with closing(Database(make_database(postgres.dsn, "automation_plans"), pool_size=2)) as database:
        world = make_world(database, make_organization(database))
        with database.connection() as conn:
            conn.execute("SET LOCAL ROLE NONE")
            conn.execute(
                """
                INSERT INTO automations (id, organization_id, program_id, name, trigger_type, scope, source, event_name,
                                         trigger_at, processed_at, caused_by_event_id, created_at, updated_at)
                SELECT gen_random_uuid(), %(o)s, %(p)s, n::text, 'one_time', 'program',
                       CASE WHEN n %% 1000 = 0 THEN 'api' ELSE 'rule_action' END, 'tick', openscrip_now() + n * interval '1 min',
                       CASE WHEN n %% 500 <> 0 THEN openscrip_now() END, CASE WHEN n %% 1000 <> 0 THEN gen_random_uuid() END,
                       openscrip_now() - n * interval '1 min', openscrip_now()
                FROM generate_series(1, %(n)s) AS n
                """,
                {"o": world.organization_id, "p": world.program_id, "n": MADE},
            )
            conn.execute("ANALYZE automations")
            conn.execute(f"SET LOCAL ROLE {APPLICATION_ROLE}")
        yield database, world


Use = Callable[[Connection, World], object]


def listed(wanted: AutomationFilter) -> Use:
    return lambda conn, world: records.page(conn, world.program_id, PAGE, wanted)


USES: dict[str, tuple[Use, str]] = {
    "plain list": (listed(AutomationFilter()), "automations_listed"),
    "archived ones": (listed(AutomationFilter(is_archived_shown=True)), "automations_listed"),
    "by status": (listed(AutomationFilter(status=AutomationStatus.ACTIVE)), "automations_listed"),
    "by trigger": (listed(AutomationFilter(trigger_type=TriggerType.CRON)), "automations_listed"),
    "what rules made": (listed(AutomationFilter(source=Source.RULE_ACTION)), "automations_program"),
    "due": (lambda conn, _: rows.due_now(conn, 100, []), "automations_due"),
    "ahead": (lambda conn, _: rows.seconds_until_scheduled(conn, []), "automations_due"),
    "flows": (lambda conn, _: records.without_flow(conn, 3600, 500), "automations_flows"),
}


@pytest.mark.parametrize("name", USES)
def test_it_reads_by_an_index_within_the_budget(place: tuple[Database, World], name: str) -> None:
    (database, world), (use, index) = place, USES[name]
    with database.connection() as conn, plans_of(conn) as executed:
        for _ in range(3):
            use(conn, world)
    assert executed
    for each in executed:
        assert index in each.indexes, each.plan
        assert "automations" not in each.scanned
    assert min(each.milliseconds for each in executed) < BUDGET_MILLISECONDS
