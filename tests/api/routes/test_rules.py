"""Rules over HTTP."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from db.session import Database
from domain.rules.actions import ActionType
from runtime.ids import new_id
from tests.services.rule_world import World, make_world, set_status
from tests.support.client import Tenant


@pytest.fixture
def world(database: Database, api: Tenant) -> World:
    """A program of the tenant, with assets."""
    return make_world(database, api.organization_id)


@pytest.fixture
def body(world: World) -> dict[str, Any]:
    """A sound request to create a rule."""
    return {
        "program_id": str(world.program_id),
        "name": "Points",
        "condition": 'event.type == "purchase"',
        "actions": [world.credit(amount="event.amount * 10")],
    }


def refused(api: Tenant, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The faults of a refused rule."""
    answer = api.post("/v1/rules", body, 400)
    assert answer["code"] == "bad_request"
    first = {name: answer["details"][name] for name in ("field", "reason", "expected", "received")}
    assert first.items() <= answer["details"]["fields"][0].items()
    faults: list[dict[str, Any]] = answer["details"]["fields"]
    return faults


def where(faults: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(fault["field"], fault["reason"]) for fault in faults]


class TestCreate:
    def test_the_rule_object(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        rule = api.post("/v1/rules", body, 201)
        UUID(rule["id"])
        assert rule["created_at"] == rule["updated_at"]
        assert rule["created_at"].endswith("Z")
        assert rule == {
            "id": rule["id"],
            "program_id": str(world.program_id),
            "name": "Points",
            "description": None,
            "condition": 'event.type == "purchase"',
            "actions": body["actions"],
            "order": 10,
            "stop_after_match": False,
            "active_from": None,
            "active_to": None,
            "budgets": [],
            "status": "ACTIVE",
            "created_at": rule["created_at"],
            "updated_at": rule["created_at"],
            "deleted_at": None,
        }
        assert api.get(f"/v1/rules/{rule['id']}") == rule

    def test_everything_optional(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        optional = {
            "description": "Doubles",
            "order": 7,
            "stop_after_match": True,
            "active_from": "2026-01-01T00:00:00+02:00",
            "active_to": "2027-01-01T00:00:00.1234567Z",
            "status": "SUSPENDED",
            "budgets": [],
        }
        target = {"type": "PARTICIPANT", "external_id": "event.referrer"}
        credit = world.credit(asset_id=str(world.miles).upper(), target=target, matures_at="720h", bucket=None)
        rule = api.post("/v1/rules", {**body, **optional, "actions": [credit]}, 201)
        assert {name: rule[name] for name in optional} == {
            **optional,
            "active_from": "2025-12-31T22:00:00.000000Z",
            "active_to": "2027-01-01T00:00:00.123456Z",
        }
        stored = {
            "type": "CREDIT",
            "asset_id": str(world.miles),
            "amount": "10",
            "matures_at": "720h",
            "target": target,
        }
        assert rule["actions"] == [stored]

    @pytest.mark.example("events-rules.md", "7.2.1")
    def test_orders(self, api: Tenant, body: dict[str, Any]) -> None:
        assert api.post("/v1/rules", body, 201)["order"] == 10
        holder = api.post("/v1/rules", {**body, "order": 500}, 201)
        assert api.post("/v1/rules", body, 201)["order"] == 510
        conflict = api.post("/v1/rules", {**body, "order": 500}, 409)
        assert (conflict["code"], conflict["details"]) == ("order_conflict", {"order": 500, "rule_id": holder["id"]})
        asleep = api.post("/v1/rules", {**body, "order": 500, "status": "SUSPENDED"}, 201)
        conflict = api.patch(f"/v1/rules/{asleep['id']}", {"status": "ACTIVE"}, 409)
        assert conflict["code"] == "order_conflict"

    @pytest.mark.example("events-rules.md", "7.2.2")
    def test_a_condition_that_does_not_compile(self, api: Tenant, body: dict[str, Any]) -> None:
        [fault] = refused(api, {**body, "condition": 'event.type = "x"'})
        assert fault["received"] == 'event.type = "x"'
        assert {"field": "condition", "reason": "invalid", "line": 1, "column": 12}.items() <= fault.items()
        assert fault["expected"] == "CEL expression"

    @pytest.mark.example("events-rules.md", "7.2.3")
    def test_bad_actions(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        credit = world.credit()
        without_amount = {name: value for name, value in credit.items() if name != "amount"}
        unlinked = {**credit, "asset_id": str(new_id())}
        for actions, expected in (
            ([], ("actions", "required")),
            ([without_amount], ("actions[0].amount", "required")),
            ([{**credit, "amount": "-5"}], ("actions[0].amount", "invalid")),
            ([{**credit, "tag": "vip"}], ("actions[0].tag", "not_allowed")),
            ([unlinked], ("actions[0].asset_id", "invalid")),
        ):
            assert where(refused(api, {**body, "actions": actions})) == [expected]

    @pytest.mark.example("events-rules.md", "7.3.6")
    @pytest.mark.parametrize("condition", ["foo.bar == 1", "nosuch(1)", "1 + 1"])
    def test_unknown_names_and_kinds(self, api: Tenant, body: dict[str, Any], condition: str) -> None:
        assert where(refused(api, {**body, "condition": condition})) == [("condition", "invalid")]

    @pytest.mark.example("events-rules.md", "7.3.9")
    def test_limits_of_expressions(self, api: Tenant, body: dict[str, Any]) -> None:
        nested = "event.l.all(a, event.l.all(b, event.l.all(c, event.l.all(d, true))))"
        pattern = f'event.s.matches("{"x" * 1001}")'
        for condition in (nested, pattern, "(" * 100 + "true" + ")" * 100):
            assert where(refused(api, {**body, "condition": condition})) == [("condition", "invalid")]

    @pytest.mark.example("events-rules.md", "7.4.11")
    def test_actions_that_can_not_be(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        dated = world.credit(expires_at="24h")
        assert where(refused(api, {**body, "actions": [dated]})) == [("actions[0].expires_at", "not_allowed")]
        program = world.credit(target={"type": "PROGRAM"})
        assert where(refused(api, {**body, "actions": [program]})) == [("actions[0].target.type", "invalid")]

    def test_all_faults_of_the_form_at_once(self, api: Tenant, world: World) -> None:
        bad = {
            "program_id": "abc",
            "colour": "red",
            "condition": "event.a >",
            "actions": [world.credit(amount=5), {"type": "TAG"}],
            "order": 0,
            "active_from": "2026-01-02T00:00:00Z",
            "active_to": "2026-01-02T00:00:00Z",
            "status": "ARCHIVED",
        }
        assert where(refused(api, bad)) == [
            ("name", "required"),
            ("actions[1].tag", "required"),
            ("program_id", "invalid"),
            ("colour", "unknown_field"),
            ("condition", "invalid"),
            ("actions[0].amount", "invalid"),
            ("order", "out_of_range"),
            ("active_to", "out_of_range"),
            ("status", "invalid"),
        ]

    def test_unsupported_types_say_what_is_supported(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        [fault] = refused(api, {**body, "actions": [{"type": "GRANT", "tier": "club", "level": "gold"}]})
        assert (fault["field"], fault["reason"]) == ("actions[0].type", "invalid")
        assert fault["expected"] == "one of " + ", ".join(ActionType)

    def test_named_groups_must_be_active(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        group = world.credit(target={"type": "GROUP", "id": str(new_id())})
        [fault] = refused(api, {**body, "actions": [group]})
        assert (fault["field"], fault["expected"]) == ("actions[0].target.id", "active group")

    def test_faults_of_the_form_go_before_an_unknown_program(self, api: Tenant, body: dict[str, Any]) -> None:
        unknown = {**body, "program_id": str(new_id())}
        assert where(refused(api, {**unknown, "condition": "1 +"})) == [("condition", "invalid")]
        missing = api.post("/v1/rules", unknown, 404)
        assert (missing["details"]["resource"], missing["details"]["field"]) == ("program", "program_id")

    def test_archived_program(self, api: Tenant, body: dict[str, Any], world: World, database: Database) -> None:
        set_status(database, "programs", world.program_id, "ARCHIVED")
        assert api.post("/v1/rules", body, 409)["code"] == "program_archived"

    def test_another_tenants_program_is_unknown(self, stranger: Tenant, body: dict[str, Any]) -> None:
        assert stranger.post("/v1/rules", body, 404)["code"] == "not_found"


class TestGetAndList:
    def test_unknown_and_foreign(self, api: Tenant, stranger: Tenant, body: dict[str, Any]) -> None:
        rule = api.post("/v1/rules", body, 201)
        assert api.get(f"/v1/rules/{new_id()}", 404)["details"]["resource"] == "rule"
        assert api.get("/v1/rules/abc", 400)["details"]["expected"] == "uuid"
        path = f"/v1/rules/{rule['id']}"
        assert stranger.get(path, 404)["code"] == "not_found"
        assert stranger.patch(path, {"name": "mine"}, 404)["code"] == "not_found"
        assert stranger.get(f"{path}/history", 404)["code"] == "not_found"
        assert stranger.get("/v1/rules")["data"] == []
        assert stranger.get("/v1/rules", program_id=rule["program_id"])["data"] == []

    def test_by_order_in_pages(self, api: Tenant, body: dict[str, Any]) -> None:
        for order in (30, 10, 20):
            api.post("/v1/rules", {**body, "order": order}, 201)
        first = api.get("/v1/rules", limit=2)
        assert [rule["order"] for rule in first["data"]] == [10, 20]
        assert first["pagination"]["has_more"] is True
        second = api.get("/v1/rules", limit=2, cursor=first["pagination"]["next_cursor"])
        assert [rule["order"] for rule in second["data"]] == [30]
        assert second["pagination"] == {"has_more": False, "next_cursor": None}

    def test_sorts(self, api: Tenant, body: dict[str, Any]) -> None:
        for name, order in (("b", 10), ("c", 20), ("a", 30)):
            api.post("/v1/rules", {**body, "name": name, "order": order}, 201)
        for sort_by, expected in (("name", "abc"), ("created_at", "bca"), ("order", "bca")):
            for sort_dir, wanted in (("asc", expected), ("desc", expected[::-1])):
                names = ""
                cursor: dict[str, str] = {}
                while True:
                    query = urlencode({"limit": 1, "sort_by": sort_by, "sort_dir": sort_dir, **cursor})
                    page = api.call("GET", f"/v1/rules?{query}", 200)
                    names += "".join(rule["name"] for rule in page["data"])
                    if not page["pagination"]["has_more"]:
                        break
                    cursor = {"cursor": page["pagination"]["next_cursor"]}
                assert names == wanted

    def test_filters(self, api: Tenant, body: dict[str, Any], database: Database) -> None:
        kept = api.post("/v1/rules", {**body, "name": "Kept 100%"}, 201)
        asleep = api.post("/v1/rules", {**body, "name": "Asleep", "status": "SUSPENDED"}, 201)
        gone = api.post("/v1/rules", {**body, "name": "Gone"}, 201)
        api.patch(f"/v1/rules/{gone['id']}", {"status": "ARCHIVED"})
        other = make_world(database, api.organization_id)
        elsewhere = {**body, "program_id": str(other.program_id), "actions": [other.credit()], "order": 99}
        api.post("/v1/rules", {**elsewhere, "name": "Elsewhere"}, 201)

        def names(**query: Any) -> set[str]:
            return {rule["name"] for rule in api.call("GET", f"/v1/rules?{urlencode(query)}", 200)["data"]}

        assert names() == {kept["name"], asleep["name"], "Elsewhere"}
        assert names(program_id=body["program_id"]) == {kept["name"], asleep["name"]}
        assert names(program_id=body["program_id"], include_archived="true") == {kept["name"], asleep["name"], "Gone"}
        assert names(status="ARCHIVED") == {"Gone"}
        assert names(status="SUSPENDED") == {"Asleep"}
        assert names(search="LEEP") == {"Asleep"}
        assert names(search="0%") == {kept["name"]}
        assert names(search="_") == set()
        assert names(program_id=str(new_id())) == set()

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=201", "limit"),
            ("sort_by=id", "sort_by"),
            ("status=GONE", "status"),
            ("x=1", "x"),
            ("cursor=%21", "cursor"),
        ],
    )
    def test_bad_queries(self, api: Tenant, query: str, field: str) -> None:
        assert api.call("GET", f"/v1/rules?{query}", 400)["details"]["field"] == field


class TestUpdate:
    @pytest.mark.example("events-rules.md", "7.2.9")
    def test_nothing_the_same_and_archived(self, api: Tenant, body: dict[str, Any]) -> None:
        rule = api.post("/v1/rules", body, 201)
        path = f"/v1/rules/{rule['id']}"
        assert api.patch(path, {}, 400)["code"] == "bad_request"
        assert api.patch(path, {"name": rule["name"]}) == rule
        assert len(api.get(f"{path}/history")["data"]) == 1
        archived = api.patch(path, {"status": "ARCHIVED"})
        assert (archived["status"], archived["deleted_at"]) == ("ARCHIVED", archived["updated_at"])
        for change in ({"name": "x"}, {"status": "ARCHIVED"}, {"status": "ACTIVE"}):
            assert api.patch(path, change, 409)["code"] == "rule_archived"

    def test_null_clears_only_what_may_be_empty(self, api: Tenant, body: dict[str, Any]) -> None:
        window = {"active_from": "2026-01-01T00:00:00Z", "active_to": "2027-01-01T00:00:00Z"}
        rule = api.post("/v1/rules", {**body, **window, "description": "x"}, 201)
        path = f"/v1/rules/{rule['id']}"
        cleared = api.patch(path, {"description": None, "active_from": None, "active_to": None})
        assert (cleared["description"], cleared["active_from"], cleared["active_to"]) == (None, None, None)
        for name in ("name", "condition", "actions", "order", "stop_after_match", "budgets", "status"):
            details = api.patch(path, {name: None}, 400)["details"]
            assert (details["field"], details["reason"]) == (name, "required")

    def test_what_is_sent_is_checked(self, api: Tenant, body: dict[str, Any], world: World) -> None:
        path = f"/v1/rules/{api.post('/v1/rules', body, 201)['id']}"
        for change, field in (
            ({"actions": []}, "actions"),
            ({"actions": [world.credit(amount="0.1")]}, "actions[0].amount"),
            ({"condition": "1 +"}, "condition"),
            ({"program_id": str(world.program_id)}, "program_id"),
            ({"budgets": [{}]}, "budgets[0].asset_id"),
            ({"order": 2147483648}, "order"),
        ):
            assert api.patch(path, change, 400)["details"]["field"] == field
        assert len(api.get(f"{path}/history")["data"]) == 1
        assert api.patch(path, {"budgets": [], "actions": [world.credit(amount="7")]})["actions"][0]["amount"] == "7"

    def test_a_bound_that_does_not_fit_the_other(self, api: Tenant, body: dict[str, Any]) -> None:
        rule = api.post("/v1/rules", {**body, "active_to": "2027-01-01T00:00:00Z"}, 201)
        answer = api.patch(f"/v1/rules/{rule['id']}", {"active_from": "2027-01-01T00:00:00Z"}, 400)
        assert (answer["details"]["field"], answer["details"]["reason"]) == ("active_from", "out_of_range")


class TestHistory:
    def test_versions_newest_first(self, api: Tenant, body: dict[str, Any]) -> None:
        rule = api.post("/v1/rules", body, 201)
        path = f"/v1/rules/{rule['id']}"
        renamed = api.patch(path, {"name": "More", "status": "SUSPENDED"})
        newest, oldest = api.get(f"{path}/history")["data"]
        assert (oldest["change_type"], oldest["changes"], oldest["snapshot"]) == ("created", {}, rule)
        assert newest == {
            "id": newest["id"],
            "rule_id": rule["id"],
            "program_id": rule["program_id"],
            "change_type": "suspended",
            "changed_at": renamed["updated_at"],
            "changed_by_api_key_id": oldest["changed_by_api_key_id"],
            "changed_by_user_id": None,
            "changes": {"name": {"from": "Points", "to": "More"}, "status": {"from": "ACTIVE", "to": "SUSPENDED"}},
            "snapshot": renamed,
        }
        assert newest["changed_by_api_key_id"] is not None

    def test_filters_and_pages(self, api: Tenant, body: dict[str, Any]) -> None:
        path = f"/v1/rules/{api.post('/v1/rules', body, 201)['id']}"
        times = [api.patch(path, {"order": order})["updated_at"] for order in (20, 30, 40)]

        def kinds(**query: Any) -> list[str]:
            return [row["change_type"] for row in api.get(f"{path}/history", **query)["data"]]

        assert kinds(change_type="created") == ["created"]
        assert kinds(to=times[0]) == ["updated", "created"]
        assert kinds(**{"from": times[1]}) == ["updated", "updated"]
        assert kinds(limit=3) == ["updated"] * 3
        cursor = api.get(f"{path}/history", limit=3)["pagination"]["next_cursor"]
        assert kinds(limit=3, cursor=cursor) == ["created"]
        assert api.get(f"{path}/history", 400, limit=101)["details"]["field"] == "limit"


class TestValidate:
    @pytest.mark.example("events-rules.md", "7.2.10")
    def test_valid_invalid_and_empty(self, api: Tenant) -> None:
        valid = api.post("/v1/rules/validate", {"condition": "event.whatever > 1"})
        assert (valid["valid"], valid["message"]) == (True, "CEL condition is valid")
        assert valid["note"]
        invalid = api.post("/v1/rules/validate", {"condition": "event.a >"})
        assert set(invalid) == {"valid", "message", "line", "column"}
        assert (invalid["valid"], invalid["line"], invalid["column"]) == (False, 1, 10)
        assert api.post("/v1/rules/validate", {"condition": ""}, 400)["details"]["field"] == "condition"

    @pytest.mark.parametrize(
        ("sent", "reason"), [({}, "required"), ({"condition": 5}, "invalid"), ({"condition": "x" * 16385}, "too_long")]
    )
    def test_form(self, api: Tenant, sent: dict[str, Any], reason: str) -> None:
        assert api.post("/v1/rules/validate", sent, 400)["details"]["reason"] == reason


class TestDescription:
    def test_every_operation_is_documented(self, api: Tenant) -> None:
        paths = api.get("/openapi.json")["paths"]
        operations = [
            operation for path, methods in paths.items() if path.startswith("/v1/rules") for operation in methods.values()
        ]
        assert len(operations) == 8
        assert all(operation["summary"] and operation["tags"] == ["Rules"] for operation in operations)
        assert "422" not in paths["/v1/rules"]["post"]["responses"]
        assert {"400", "404", "409"} <= paths["/v1/rules"]["post"]["responses"].keys()
