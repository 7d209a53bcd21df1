"""Automations made by the product's own services, on a database whose clock the test moves."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.session import Database
from domain.automations import Automation, Scope, TriggerType
from services import automation_commands, automations, clock, fan_outs, programs, scheduled
from services.automations import AutomationChange, NewAutomation
from services.system_events import Made
from services.transactions import transact
from tests.services.lane_world import LANES, Shop
from tests.support.visits import visiting


class Calendar:
    """The automations of a shop's program."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    @property
    def database(self) -> Database:
        return self.shop.database

    @property
    def ids(self) -> tuple[UUID, UUID]:
        return self.shop.organization_id, self.shop.world.program_id

    # --------------------------------------------------------------- making
    def make(self, trigger_type: TriggerType, scope: Scope = Scope.PARTICIPANTS, **fields: Any) -> Automation:
        named = {"name": f"A{self.shop.numbers()}", "event_name": "tick", **fields}
        new = NewAutomation(scope=scope, trigger_type=trigger_type, **named)
        return transact(self.database, lambda session: automations.create_automation(session, *self.ids, new))

    def cron(self, expression: str, scope: Scope = Scope.PROGRAM, timezone: str = "UTC", **fields: Any) -> Automation:
        return self.make(TriggerType.CRON, scope, cron_expression=expression, timezone=timezone, **fields)

    def one_time(self, at: datetime, scope: Scope = Scope.PROGRAM, **fields: Any) -> Automation:
        return self.make(TriggerType.ONE_TIME, scope, trigger_at=at, **fields)

    def immediate(self, **fields: Any) -> Automation:
        return self.make(TriggerType.IMMEDIATE, **fields)

    # ---------------------------------------------------------------- doing
    def change(self, automation: Automation, **changes: Any) -> Automation:
        wanted = AutomationChange(self.ids[1], automation.id, changes)
        return transact(self.database, lambda session: automations.update_automation(session, self.ids[0], wanted))

    def trigger(self, automation: Automation) -> Automation:
        return self._ask(lambda session: automation_commands.trigger(session, *self.ids, automation.id, LANES)[0])

    def cancel(self, automation: Automation) -> Automation:
        return self._ask(lambda session: automation_commands.cancel(session, *self.ids, automation.id))

    def delete(self, automation: Automation) -> Automation:
        return self._ask(lambda session: automations.delete_automation(session, *self.ids, automation.id))

    def set_program(self, status: str) -> None:
        """As a PATCH of the program does it."""
        self._ask(lambda session: programs.update_program(session, *self.ids, {"status": status}))

    def fire(self) -> int:
        """What is due now, once; fan-outs begin only."""
        return transact(self.database, lambda session: scheduled.fire_due(session, 100, LANES)).events

    def do_all(self) -> Made:
        """What is due now, fan-outs to their end, and the events processed."""
        made = scheduled.do_what_is_due(self.database, LANES)
        self.shop.drain_all()
        return made

    def advance(self, automation: Automation, limit: int = 10) -> fan_outs.Progress:
        found = transact(self.database, lambda session: fan_outs.advance(session, automation.id, LANES, limit))
        assert found is not None
        return found

    def _ask(self, work: Callable[[Any], Any]) -> Any:
        return transact(self.database, work)

    # -------------------------------------------------------------- looking
    def seen(self, automation: Automation) -> Automation:
        return transact(self.database, lambda session: automations.get_automation(session, *self.ids, automation.id))

    def occurrences(self, automation: Automation) -> list[datetime]:
        """The times of its events, each as often as it has one."""
        statement = "SELECT event_timestamp FROM events WHERE automation_id = %s ORDER BY event_timestamp"
        return [row[0] for row in self.shop.fetch(statement, automation.id)]

    # ----------------------------------------------------------------- time
    def now(self) -> datetime:
        found: datetime = self.shop.value("SELECT openscrip_now()")
        return found

    def jump(self, moment: datetime) -> None:
        """Let the clock show a moment while nobody works; it can go back."""
        self._write("UPDATE deployment SET clock_target = NULL, clock_offset = %s::timestamptz - clock_timestamp()", moment)
        self._write("SELECT ensure_partitions(openscrip_now())")

    def travel(self, target: datetime) -> int:
        """What the test clock does between here and there; gives its steps."""
        here, steps = transact(self.database, lambda session: clock.begin(session, target)), 0
        with visiting(self.database) as visit:
            assert visit.finish(here)
            while here < target:
                start = here
                move = transact(self.database, lambda session: clock.advance(session, start, target))  # noqa: B023
                here = move.moment
                steps += move.is_due
                assert visit.finish(here)
        return steps

    def _write(self, statement: str, *values: object) -> None:
        with self.database.connection() as conn:
            conn.execute(statement, list(values))


DAY = timedelta(days=1)
