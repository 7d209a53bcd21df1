"""Automations over HTTP: made, looked at, waited for."""

from typing import Any

from tests.support.club import Club
from tests.support.stack import poll

DONE = ("COMPLETED", "FAILED")


class Diary:
    """The automations of a club's program."""

    def __init__(self, club: Club) -> None:
        self.club = club
        self.tenant = club.tenant
        self.path = f"/v1/programs/{club.program_id}/automations"

    # --------------------------------------------------------------- making
    def body(self, trigger: dict[str, Any], scope: str = "participants", **fields: Any) -> dict[str, Any]:
        """A sound automation; None leaves out what is usual."""
        usual = {"name": f"A{self.club.numbers()}", "event_name": "gift", "scope": scope, "trigger": trigger}
        return {name: value for name, value in (usual | fields).items() if value is not None}

    def make(self, trigger: dict[str, Any], scope: str = "participants", status: int = 201, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.tenant.post(self.path, self.body(trigger, scope, **fields), status)
        return made

    def immediate(self, **fields: Any) -> dict[str, Any]:
        return self.make({"type": "immediate"}, **fields)

    def cron(self, expression: str, scope: str = "program", timezone: str | None = None, **fields: Any) -> dict[str, Any]:
        zone = {} if timezone is None else {"timezone": timezone}
        return self.make({"type": "cron", "cron_expression": expression, **zone}, scope, **fields)

    def one_time(self, trigger_at: str, scope: str = "program", **fields: Any) -> dict[str, Any]:
        return self.make({"type": "one_time", "trigger_at": trigger_at}, scope, **fields)

    def subscribe(self, kind: str, config: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A participant_state automation, once its filter was evaluated."""
        made = self.make({"type": "participant_state", "schedule_type": kind, "schedule_config": config}, **fields)
        return self.evaluated(made)

    # ---------------------------------------------------------------- doing
    def trigger(self, automation: dict[str, Any], status: int = 200) -> dict[str, Any]:
        return self._ask(automation, "trigger", status)

    def cancel(self, automation: dict[str, Any], status: int = 200) -> dict[str, Any]:
        return self._ask(automation, "cancel", status)

    def refresh(self, automation: dict[str, Any], status: int = 202) -> dict[str, Any]:
        return self._ask(automation, "refresh-subscriptions", status)

    def change(self, automation: dict[str, Any], expected: int = 200, /, **fields: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.tenant.patch(f"{self.path}/{automation['id']}", fields, expected)
        return changed

    def delete(self, automation: dict[str, Any], status: int = 204) -> None:
        self.tenant.call("DELETE", f"{self.path}/{automation['id']}", status)

    def _ask(self, automation: dict[str, Any], what: str, status: int) -> dict[str, Any]:
        answer: dict[str, Any] = self.tenant.post(f"{self.path}/{automation['id']}/{what}", None, status)
        return answer

    # -------------------------------------------------------------- looking
    def seen(self, automation: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.tenant.get(f"{self.path}/{automation['id']}")
        return found

    def listed(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tenant.call("GET", self.path, 200, params=query)["data"]
        return found

    def ended(self, automation: dict[str, Any], timeout_seconds: float = 40.0) -> dict[str, Any]:
        """The automation once its fan-out has ended."""

        def look() -> dict[str, Any] | None:
            found = self.seen(automation)
            return found if found["execution_status"] in ("completed", "failed") else None

        return poll(look, timeout_seconds)

    def evaluated(self, automation: dict[str, Any]) -> dict[str, Any]:
        """The automation once its filter was evaluated after it was last looked at."""
        before = automation["last_evaluated_at"]
        return poll(lambda: found if (found := self.seen(automation))["last_evaluated_at"] != before else None)

    def subscriptions(self, automation: dict[str, Any], **query: Any) -> dict[str, dict[str, Any]]:
        """Its subscriptions by the participants' names."""
        found = self.tenant.call("GET", f"{self.path}/{automation['id']}/subscriptions", 200, params=query)["data"]
        assert len({row["participant_id"] for row in found}) == len(found)
        return {self.tenant.get(f"/v1/participants/{row['participant_id']}")["external_id"]: row for row in found}

    def events(self, automation: dict[str, Any], wanted: int = 0, timeout_seconds: float = 40.0) -> list[dict[str, Any]]:
        """Its events, oldest first, once there are at least so many and all are processed."""

        def look() -> list[dict[str, Any]] | None:
            query = {"program_id": self.club.program_id, "event_type": "SYSTEM", "sort_dir": "asc", "limit": 200}
            found = [row for row in self.tenant.get("/v1/events", **query)["data"] if row["automation_id"] == automation["id"]]
            done = all(event["status"] in DONE for event in found)
            return [*found, {}] if len(found) >= wanted and done else None

        return poll(look, timeout_seconds)[:-1]
