"""participants-groups.md, Acceptance examples: groups (members); what concurrent removals can't do; tenants apart."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.api.helpers import faults, participant, program, rows
from tests.support.client import Tenant


def make(api: Tenant, admin: str, *others: str, name: str = "Rossi") -> str:
    """A group's id."""
    members = [{"participant_id": admin, "role": "ADMIN"}, *({"participant_id": other} for other in others)]
    return str(api.post("/v1/groups", {"name": name, "members": members}, 201)["id"])


def members(api: Tenant, group: str, **query: Any) -> list[tuple[str, str, str]]:
    """Participant, role and status of each member."""
    found = api.get(f"/v1/groups/{group}/members", **query)["data"]
    return [(row["participant_id"], row["role"], row["status"]) for row in found]


@pytest.fixture
def people(api: Tenant) -> tuple[str, str, str]:
    return participant(api), participant(api), participant(api)


@pytest.mark.example("participants-groups.md", "groups 1")
def test_groups_01_create(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people
    wanted = [{"participant_id": a, "role": "ADMIN"}, {"participant_id": b}]
    group = api.post("/v1/groups", {"name": "Rossi", "members": wanted}, 201)
    assert set(group) == {"id", "name", "status", "created_at", "updated_at"}
    assert (group["name"], group["status"]) == ("Rossi", "ACTIVE")
    assert members(api, group["id"]) == [(a, "ADMIN", "ACTIVE"), (b, "MEMBER", "ACTIVE")]
    assert api.get(f"/v1/groups/{group['id']}") == group | {"balances": {}}


@pytest.mark.example("participants-groups.md", "groups 2")
def test_groups_02_bad_members(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people

    def refused(status: int, *wanted: dict[str, str]) -> Any:
        return api.post("/v1/groups", {"name": "Rossi", "members": list(wanted)}, status)

    assert faults(refused(400, {"participant_id": a})) == [("members", "invalid")]
    assert faults(refused(400)) == [("members", "too_short")]
    twice = refused(400, {"participant_id": a, "role": "ADMIN"}, {"participant_id": a.upper()})
    assert faults(twice) == [("members[1].participant_id", "duplicate")]
    owner = refused(400, {"participant_id": a, "role": "ADMIN"}, {"participant_id": b, "role": "OWNER"})
    assert faults(owner) == [("members[1].role", "invalid")]
    many = [{"participant_id": str(uuid4()), "role": "ADMIN"} for _ in range(101)]
    assert faults(refused(400, *many)) == [("members", "too_long")]
    unknown = refused(404, {"participant_id": a, "role": "ADMIN"}, {"participant_id": str(uuid4())})
    assert (unknown["details"]["resource"], unknown["details"]["field"]) == ("participant", "members[1].participant_id")
    assert api.get("/v1/groups")["data"] == []


@pytest.mark.example("participants-groups.md", "groups 3")
def test_groups_03_adding(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, c = people
    group = make(api, a, b)
    path = f"/v1/groups/{group}/members"
    again = api.post(path, {"participant_id": b}, 409)
    assert (again["code"], again["details"]) == ("already_member", {"group_id": group, "participant_ids": [b]})
    both = api.post(path, {"members": [{"participant_id": c}, {"participant_id": b}, {"participant_id": a}]}, 409)
    assert both["details"]["participant_ids"] == [b, a]
    assert c not in str(members(api, group))
    assert api.post(path, {"participant_id": c}, 201) == {"message": "Member(s) added to group"}
    assert members(api, group)[2] == (c, "MEMBER", "ACTIVE")


@pytest.mark.example("participants-groups.md", "groups 4")
def test_groups_04_last_admin(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people
    group = make(api, a, b)
    of_a, of_b = (f"/v1/groups/{group}/members/{one}" for one in (a, b))
    for method, body in (("DELETE", None), ("PATCH", {"role": "MEMBER"})):
        refused = api.call(method, of_a, 409, json=body)
        assert (refused["code"], refused["details"]) == ("last_admin", {"group_id": group, "participant_id": a})
    assert api.patch(of_a, {"role": "ADMIN"})["role"] == "ADMIN"
    assert api.patch(of_b, {"role": "ADMIN"}) == {"message": "Member role updated", "participant_id": b, "role": "ADMIN"}
    api.call("DELETE", of_a, 204)
    assert members(api, group) == [(b, "ADMIN", "ACTIVE")]
    found = rows(api, f"/v1/groups/{group}/members", include_former="true")
    assert [(row["participant_id"], row["status"], row["left_at"] is None) for row in found] == [
        (a, "LEFT", False),
        (b, "ACTIVE", True),
    ]


@pytest.mark.example("participants-groups.md", "groups 5")
def test_groups_05_leaving_and_returning(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people
    group = make(api, a, b)
    api.patch(f"/v1/groups/{group}/members/{b}", {"role": "ADMIN"})
    api.call("DELETE", f"/v1/groups/{group}/members/{a}", 204)
    gone = api.call("DELETE", f"/v1/groups/{group}/members/{a}", 404)
    assert (gone["code"], gone["details"]["id"]) == ("not_found", a)
    api.patch(f"/v1/groups/{group}/members/{a}", {"role": "MEMBER"}, 404)
    api.post(f"/v1/groups/{group}/members", {"participant_id": a, "role": "MEMBER"}, 201)
    found = rows(api, f"/v1/groups/{group}/members", include_former="true")
    assert [(row["participant_id"], row["role"], row["status"], row["left_at"]) for row in found] == [
        (b, "ADMIN", "ACTIVE", None),
        (a, "MEMBER", "ACTIVE", None),
    ]


def test_inactive_participants_cannot_join(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, c = people
    api.patch(f"/v1/participants/{b}/status", {"status": "SUSPENDED"})
    refused = api.post("/v1/groups", {"name": "X", "members": [{"participant_id": one, "role": "ADMIN"} for one in (a, b)]}, 409)
    assert (refused["code"], refused["details"]) == ("participant_inactive", {"participant_id": b, "status": "SUSPENDED"})
    group = make(api, a)
    refused = api.post(f"/v1/groups/{group}/members", {"members": [{"participant_id": c}, {"participant_id": b}]}, 409)
    assert refused["code"] == "participant_inactive"
    assert members(api, group) == [(a, "ADMIN", "ACTIVE")]
    api.patch(f"/v1/participants/{a}/status", {"status": "CLOSED"})
    api.post(f"/v1/groups/{group}/members", {"participant_id": c, "role": "ADMIN"}, 201)
    api.call("DELETE", f"/v1/groups/{group}/members/{a}", 204)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("participant_id", "required")]),
        ({"participant_id": str(uuid4()), "members": [{"participant_id": str(uuid4())}]}, [("members", "not_allowed")]),
        ({"members": [{"participant_id": str(uuid4())}], "role": "ADMIN"}, [("role", "not_allowed")]),
        ({"members": []}, [("members", "too_short")]),
        ({"members": [{"role": "ADMIN"}]}, [("members[0].participant_id", "required")]),
        ({"participant_id": "x"}, [("participant_id", "invalid")]),
    ],
)
def test_bad_additions(api: Tenant, body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    group = make(api, participant(api))
    assert faults(api.post(f"/v1/groups/{group}/members", body, 400)) == expected


def test_archiving_is_final(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, c = people
    group = make(api, a, b)
    renamed = api.patch(f"/v1/groups/{group}", {"name": "Bianchi"})
    assert renamed["name"] == "Bianchi"
    assert renamed["updated_at"] > renamed["created_at"]
    archived = api.call("DELETE", f"/v1/groups/{group}", 200)
    assert (archived["status"], archived["deleted_at"]) == ("ARCHIVED", archived["updated_at"])
    assert api.call("DELETE", f"/v1/groups/{group}", 200) == archived
    path = f"/v1/groups/{group}"
    for method, rest, body in (
        ("PATCH", "", {"name": "x"}),
        ("POST", "/members", {"participant_id": c}),
        ("PATCH", f"/members/{b}", {"role": "ADMIN"}),
        ("DELETE", f"/members/{b}", None),
    ):
        refused = api.call(method, path + rest, 409, json=body)
        assert (refused["code"], refused["details"]) == ("group_archived", {"group_id": group})
    assert api.patch(path, {}) == archived, "an empty object changes nothing"
    assert api.get(path) == archived | {"balances": {}}
    assert len(members(api, group)) == 2


def test_archived_groups_are_no_redemption_targets(api: Tenant) -> None:
    group, shop = make(api, participant(api)), program(api)
    body = {"redemption_target_type": "LEDGER_ENTITY", "redemption_target_entity_id": group}
    assert api.patch(f"/v1/programs/{shop}", body)["redemption_target_entity_id"] == group
    api.call("DELETE", f"/v1/groups/{group}", 200)
    assert api.patch(f"/v1/programs/{shop}", body, 409)["code"] == "group_archived"


def test_lists_are_filtered_and_paged(api: Tenant) -> None:
    ann = participant(api)
    ids = [make(api, ann, name=name) for name in ("Rossi", "rossini", "Verdi")]
    api.call("DELETE", f"/v1/groups/{ids[0]}", 200)

    def names(**query: str) -> list[str]:
        return [row["name"] for row in rows(api, "/v1/groups", **query)]

    assert names() == ["Verdi", "rossini"]
    assert names(include_archived="true") == ["Verdi", "rossini", "Rossi"]
    assert names(status="ARCHIVED") == ["Rossi"]
    assert names(search="ROSS", include_archived="true") == ["rossini", "Rossi"]
    first = api.get("/v1/groups", limit=1)
    assert [row["name"] for row in api.get("/v1/groups", cursor=first["pagination"]["next_cursor"])["data"]] == ["rossini"]


def test_members_are_paged_in_order_of_joining(api: Tenant) -> None:
    people = [participant(api) for _ in range(5)]
    group = make(api, *people[:3])
    api.post(f"/v1/groups/{group}/members", {"members": [{"participant_id": one} for one in people[3:]]}, 201)
    seen, cursor = [], None
    while True:
        page = api.get(f"/v1/groups/{group}/members", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [row["participant_id"] for row in page["data"]]
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert seen == people


def test_simultaneous_removals_leave_an_admin(api: Tenant) -> None:
    for _ in range(3):
        admins = [participant(api) for _ in range(4)]
        made = api.post("/v1/groups", {"name": "X", "members": [{"participant_id": a, "role": "ADMIN"} for a in admins]}, 201)
        path = f"/v1/groups/{made['id']}/members"

        def leave(one: str, path: str = path) -> int:
            return api.http.delete(f"{path}/{one}").status_code

        def step_down(one: str, path: str = path) -> int:
            return api.http.patch(f"{path}/{one}", json={"role": "MEMBER"}).status_code

        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(leave if i % 2 else step_down, one) for i, one in enumerate(admins)]
            statuses = sorted(call.result() for call in calls)
        assert statuses.count(409) == 1
        assert [role for _, role, _ in members(api, made["id"])].count("ADMIN") == 1


def test_on_behalf_of_must_exist(api: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people
    body = {"name": "X", "members": [{"participant_id": a, "role": "ADMIN"}]}
    api.post("/v1/groups", body | {"on_behalf_of_participant_id": b}, 201)
    refused = api.post("/v1/groups", body | {"on_behalf_of_participant_id": str(uuid4())}, 404)
    assert refused["details"]["field"] == "on_behalf_of_participant_id"


def test_another_tenant_sees_nothing(api: Tenant, stranger: Tenant, people: tuple[str, str, str]) -> None:
    a, b, _ = people
    group = make(api, a)
    theirs = participant(stranger)
    path = f"/v1/groups/{group}"
    for method, rest, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/members", None),
        ("POST", "/members", {"participant_id": theirs}),
        ("PATCH", f"/members/{a}", {"role": "ADMIN"}),
        ("DELETE", f"/members/{a}", None),
    ):
        assert stranger.call(method, path + rest, 404, json=body)["details"]["resource"] == "group"
    api.post(f"{path}/members", {"participant_id": theirs}, 404)
    body = {"name": "x", "members": [{"participant_id": b, "role": "ADMIN"}]}
    stranger.post("/v1/groups", body, 404)
    assert stranger.get("/v1/groups")["data"] == []
