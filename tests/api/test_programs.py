"""programs-assets.md, Acceptance examples: programs and linking, through real HTTP."""

from uuid import uuid4

import pytest

from tests.api.helpers import asset, faults, participant, program, rows
from tests.support.client import Tenant


@pytest.mark.example("programs-assets.md", "programs 1")
def test_programs_01_create(api: Tenant) -> None:
    made = api.post("/v1/programs", {"name": "Shop"}, 201)
    assert made["status"] == "ACTIVE"
    assert made["on_unknown_participant"] == "CREATE"
    assert made["redemption_target_type"] == "SYSTEM_REDEMPTION"
    assert "redemption_target_entity_id" not in made
    assert made["deleted_at"] is None
    assert list(made) == [
        "id", "name", "description", "on_unknown_participant", "redemption_target_type", "status", "created_at",
        "updated_at", "deleted_at",
    ]  # fmt: skip


@pytest.mark.example("programs-assets.md", "programs 7")
def test_programs_07_bad_targets(api: Tenant) -> None:
    path = f"/v1/programs/{program(api)}"
    before = api.get(path)
    alone = api.patch(path, {"redemption_target_type": "LEDGER_ENTITY"}, 400)
    assert faults(alone) == [("redemption_target_entity_id", "required")]
    body = {"redemption_target_type": "SYSTEM_BREAKAGE", "redemption_target_entity_id": str(uuid4())}
    assert faults(api.patch(path, body, 400)) == [("redemption_target_entity_id", "not_allowed")]
    assert faults(api.patch(path, {"status": "PAUSED"}, 400)) == [("status", "invalid")]
    assert faults(api.patch(path, {"status": "active"}, 400)) == [("status", "invalid")]
    assert api.get(path) == before


@pytest.mark.example("programs-assets.md", "programs 8")
def test_programs_08_archived_ones_leave_the_list(api: Tenant) -> None:
    program_id = program(api)
    path = f"/v1/programs/{program_id}"
    assert api.patch(path, {"status": "SUSPENDED"})["status"] == "SUSPENDED"
    archived = api.patch(path, {"status": "ARCHIVED"})
    assert archived["deleted_at"] == archived["updated_at"]
    assert api.get("/v1/programs")["data"] == []
    assert [row["id"] for row in api.get("/v1/programs", include_archived="true")["data"]] == [program_id]
    assert [row["id"] for row in rows(api, "/v1/programs", status="ARCHIVED")] == [program_id]
    assert api.patch(path, {"status": "ACTIVE"})["deleted_at"] is None


@pytest.mark.example("programs-assets.md", "programs 9")
def test_programs_09_linking(api: Tenant) -> None:
    first, second = program(api), program(api)
    points = asset(api, first, symbol="PTS")["id"]
    again = api.post(f"/v1/programs/{first}/assets", {"asset_id": points}, 409)
    assert (again["code"], again["details"]) == ("already_linked", {"asset_id": points, "program_id": first})
    assert api.post(f"/v1/programs/{second}/assets", {"asset_id": points}, 201)["program_ids"] == [first, second]
    assert api.call("DELETE", f"/v1/programs/{second}/assets/{points}", 204) is None
    assert api.get(f"/v1/assets/{points}")["program_ids"] == [first]
    assert api.call("DELETE", f"/v1/programs/{second}/assets/{points}", 404)["code"] == "not_found"


class TestUpdate:
    def test_empty_object_changes_nothing(self, api: Tenant) -> None:
        made = api.post("/v1/programs", {"name": "Shop", "description": "d"}, 201)
        assert api.patch(f"/v1/programs/{made['id']}", {}) == made

    def test_null_and_empty_clear_the_description(self, api: Tenant) -> None:
        path = f"/v1/programs/{program(api, description='d')}"
        assert api.patch(path, {"description": None})["description"] is None
        api.patch(path, {"description": "e"})
        assert api.patch(path, {"description": ""})["description"] is None

    @pytest.mark.parametrize("field", ["name", "on_unknown_participant", "status", "redemption_target_type"])
    def test_null_is_refused_where_nothing_can_be_cleared(self, api: Tenant, field: str) -> None:
        assert faults(api.patch(f"/v1/programs/{program(api)}", {field: None}, 400)) == [(field, "required")]

    def test_a_target_entity_comes_and_goes(self, api: Tenant) -> None:
        path, entity = f"/v1/programs/{program(api)}", str(uuid4())
        body = {"redemption_target_type": "LEDGER_ENTITY", "redemption_target_entity_id": entity.upper()}
        assert api.patch(path, body)["redemption_target_entity_id"] == entity
        assert "redemption_target_entity_id" not in api.patch(path, {"redemption_target_type": "SYSTEM_BREAKAGE"})

    def test_a_program_is_no_target(self, api: Tenant) -> None:
        program_id = program(api)
        body = {"redemption_target_type": "LEDGER_ENTITY", "redemption_target_entity_id": program_id}
        refused = api.patch(f"/v1/programs/{program_id}", body, 400)
        assert faults(refused) == [("redemption_target_entity_id", "invalid")]


class TestList:
    def test_search_takes_wildcards_literally(self, api: Tenant) -> None:
        for name in ("100% Club", "Club", "a_b", "back\\slash"):
            program(api, name=name)
        found = {
            text: [row["name"] for row in api.get("/v1/programs", search=text)["data"]] for text in ("%", "_", "cLUB", "k\\s")
        }
        assert found == {"%": ["100% Club"], "_": ["a_b"], "cLUB": ["Club", "100% Club"], "k\\s": ["back\\slash"]}

    def test_sort_by_name_pages_without_repeats(self, api: Tenant) -> None:
        names = ["b", "a", "c", "a", "B"]
        for name in names:
            program(api, name=name)
        first = api.get("/v1/programs", sort_by="name", sort_dir="asc", limit=2)
        rest = api.get("/v1/programs", sort_by="name", sort_dir="asc", limit=200, cursor=first["pagination"]["next_cursor"])
        found = [row["name"] for row in first["data"] + rest["data"]]
        assert found == sorted(names)

    def test_cursor_is_bound_to_sort_and_filters(self, api: Tenant) -> None:
        for _ in range(2):
            program(api)
        cursor = api.get("/v1/programs", limit=1)["pagination"]["next_cursor"]
        for query in ({"sort_dir": "asc"}, {"sort_by": "name"}, {"search": "S"}, {"include_archived": "true"}):
            assert faults(api.get("/v1/programs", 400, cursor=cursor, **query)) == [("cursor", "invalid")]
        assert faults(api.get("/v1/assets", 400, cursor=cursor)) == [("cursor", "invalid")]
        assert len(api.get("/v1/programs", limit=200, cursor=cursor)["data"]) == 1


def test_get_shows_the_state(api: Tenant) -> None:
    shown = api.get(f"/v1/programs/{program(api)}")
    assert (shown["tags"], shown["counters"], shown["attributes"]) == ([], {}, {})


def test_archived_programs_take_no_assets_links_or_enrolments(api: Tenant) -> None:
    archived, other = program(api), program(api)
    linked = asset(api, archived)["id"]
    unlinked = asset(api, other)["id"]
    person = participant(api, program_id=archived)
    api.patch(f"/v1/programs/{archived}", {"status": "ARCHIVED"})
    calls = [
        ("POST", f"/v1/programs/{archived}/assets", {"asset_id": unlinked}),
        ("DELETE", f"/v1/programs/{archived}/assets/{linked}", None),
        ("POST", "/v1/participants", {"external_id": "new", "program_id": archived}),
        ("PATCH", f"/v1/participants/{person}/enrollments/{archived}", {"status": "FROZEN"}),
    ]
    for method, path, body in calls:
        refused = api.call(method, path, 409, json=body)
        assert (refused["code"], refused["details"]) == ("program_archived", {"program_id": archived})
    assert api.get("/v1/participants", external_id="new")["data"] == []


def test_program_assets_are_listed_in_order_of_linking(api: Tenant) -> None:
    home, program_id = program(api), program(api)
    ids = [asset(api, home)["id"] for _ in range(3)]
    for asset_id in (ids[2], ids[0], ids[1]):
        api.post(f"/v1/programs/{program_id}/assets", {"asset_id": asset_id}, 201)
    first = api.get(f"/v1/programs/{program_id}/assets", limit=2)
    rest = api.get(f"/v1/programs/{program_id}/assets", cursor=first["pagination"]["next_cursor"])
    assert [row["id"] for row in first["data"] + rest["data"]] == [ids[2], ids[0], ids[1]]


def test_another_tenant_sees_nothing(api: Tenant, stranger: Tenant) -> None:
    program_id = program(api)
    asset_id = asset(api, program_id)["id"]
    theirs = program(stranger)
    their_asset = asset(stranger, theirs)["id"]
    calls = [
        ("GET", f"/v1/programs/{program_id}", None),
        ("PATCH", f"/v1/programs/{program_id}", {"name": "mine now"}),
        ("GET", f"/v1/programs/{program_id}/assets", None),
        ("POST", f"/v1/programs/{program_id}/assets", {"asset_id": their_asset}),
        ("POST", f"/v1/programs/{theirs}/assets", {"asset_id": asset_id}),
        ("DELETE", f"/v1/programs/{program_id}/assets/{asset_id}", None),
    ]
    for method, path, body in calls:
        assert stranger.call(method, path, 404, json=body)["code"] == "not_found"
    assert [row["id"] for row in stranger.get("/v1/programs")["data"]] == [theirs]
    target = {"redemption_target_type": "LEDGER_ENTITY", "redemption_target_entity_id": program_id}
    assert stranger.patch(f"/v1/programs/{theirs}", target)["redemption_target_entity_id"] == program_id
