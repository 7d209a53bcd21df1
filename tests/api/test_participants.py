"""participants-groups.md, Acceptance examples: participants, through real HTTP."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.api.helpers import faults, history, participant, program, rows
from tests.api.routes.money import Money, shape
from tests.support.client import Tenant

U1 = {"external_id": "u1", "tags": ["VIP", "vip"], "attributes": {"city": "Rome"}}


@pytest.mark.example("participants-groups.md", "participants 1")
def test_participants_01_create(api: Tenant) -> None:
    made = api.post("/v1/participants", U1, 201)
    assert (made["tags"], made["status"], made["balances"], made["email"]) == (["vip"], "ACTIVE", [], None)
    assert (made["attributes"], made["counters"], made["tiers"], made["program_ids"]) == ({"city": "Rome"}, {}, {}, [])
    assert api.get(f"/v1/participants/{made['id']}") == made


@pytest.mark.example("participants-groups.md", "participants 2")
def test_participants_02_upsert(api: Tenant) -> None:
    made = api.post("/v1/participants", U1, 201)
    assert api.post("/v1/participants", U1, 200) == made
    changed = api.post("/v1/participants", {"external_id": "u1", "attributes": {"lang": "it"}}, 200)
    assert (changed["id"], changed["attributes"]) == (made["id"], {"city": "Rome", "lang": "it"})
    assert changed["tags"] == ["vip"]
    assert api.post("/v1/participants", {"external_id": "u1", "tags": []}, 200)["tags"] == []


@pytest.mark.example("participants-groups.md", "participants 3")
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("external_id", "required")),
        ({"external_id": "x" * 256}, ("external_id", "too_long")),
        ({"external_id": "a\tb"}, ("external_id", "invalid")),
        ({"external_id": "u", "email": "a@b"}, ("email", "invalid")),
        ({"external_id": "u", "attributes": {"age": 30}}, ("attributes.age", "invalid")),
        ({"external_id": "u", "attributes": {"a/b": "x"}}, ("attributes.a/b", "invalid")),
        ({"external_id": "u", "counters": {}}, ("counters", "unknown_field")),
        ({"external_id": "u", "tags": ["a", 5]}, ("tags[1]", "invalid")),
    ],
)
def test_participants_03_bad_input(api: Tenant, body: dict[str, object], fault: tuple[str, str]) -> None:
    assert faults(api.post("/v1/participants", body, 400)) == [fault]
    assert api.get("/v1/participants")["data"] == []


@pytest.mark.example("participants-groups.md", "participants 4")
def test_participants_04_find_by_external_id(api: Tenant) -> None:
    made = api.post("/v1/participants", U1, 201)
    found = api.get("/v1/participants", external_id="u1")["data"]
    assert [row["id"] for row in found] == [made["id"]]
    assert "balances" not in found[0]
    nobody = api.get("/v1/participants", external_id="nobody")
    assert nobody == {"data": [], "pagination": {"has_more": False, "next_cursor": None}}


@pytest.mark.example("participants-groups.md", "participants 5")
def test_participants_05_status_has_its_own_endpoint(api: Tenant) -> None:
    path = f"/v1/participants/{participant(api)}"
    before = api.get(path)
    assert faults(api.patch(path, {"status": "CLOSED"}, 400)) == [("status", "not_allowed")]
    assert api.get(path) == before
    assert api.patch(path, {"status": "ACTIVE"})["status"] == "ACTIVE"


@pytest.mark.example("participants-groups.md", "participants 6")
def test_participants_06_suspended_ones_still_have_state(api: Tenant) -> None:
    money = Money(api)
    money.credit("USD", "10.00")
    path = f"/v1/participants/{money.participant}"
    suspended = api.patch(f"{path}/status", {"status": "SUSPENDED"})
    assert suspended["status"] == "SUSPENDED"
    assert api.patch(f"{path}/status", {"status": "SUSPENDED"}) == suspended
    with money.unchanged():
        refused = money.credit("USD", "1", 409)
    expected = {"participant_id": money.participant, "status": "SUSPENDED"}
    assert (refused["code"], refused["details"]) == ("participant_inactive", expected)
    assert shape(money.act("forfeit", "USD", bucket="AVAILABLE")) == "0.00/0.00/0.00"
    api.call("PUT", f"{path}/state/tags/x", 201)
    assert api.patch(f"{path}/status", {"status": "ACTIVE"})["status"] == "ACTIVE"
    assert shape(money.credit("USD", "1")) == "1.00/0.00/0.00"


@pytest.mark.example("participants-groups.md", "participants 7")
def test_participants_07_external_ids_are_unique(api: Tenant) -> None:
    participant(api, external_id="taken")
    path = f"/v1/participants/{participant(api)}"
    before = api.get(path)
    refused = api.patch(path, {"external_id": "taken", "email": "a@b.io"}, 409)
    assert (refused["code"], refused["details"]) == ("external_id_conflict", {"external_id": "taken"})
    assert api.get(path) == before


@pytest.mark.example("participants-groups.md", "participants 9")
def test_participants_09_clearing_a_profile_field(api: Tenant) -> None:
    made = api.post("/v1/participants", {"external_id": "u9", "email": "a@b.io", "phone": "1"}, 201)
    changed = api.patch(f"/v1/participants/{made['id']}", {"email": "", "display_name": "Ann"})
    assert (changed["email"], changed["display_name"], changed["phone"]) == (None, "Ann", "1")
    assert changed["updated_at"] > made["updated_at"]
    untouched = {name: value for name, value in changed.items() if name not in ("email", "display_name", "updated_at")}
    assert untouched == {name: made[name] for name in untouched}


def test_upsert_changes_only_what_is_sent(api: Tenant) -> None:
    api.post("/v1/participants", {"external_id": "u", "email": "a@b.io", "status": "SUSPENDED"}, 201)
    same = api.post("/v1/participants", {"external_id": "u", "email": None, "tags": None, "status": None}, 200)
    assert (same["email"], same["status"]) == ("a@b.io", "SUSPENDED")


def test_simultaneous_creations_make_one(api: Tenant) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: api.http.post("/v1/participants", json={"external_id": "race", "tags": ["t"]}), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


class TestEnrolment:
    def test_creation_enrols_and_reactivates(self, api: Tenant) -> None:
        program_id = program(api)
        person = participant(api, external_id="e", program_id=program_id)
        path = f"/v1/participants/{person}/enrollments"
        row = api.get(path)["data"][0]
        assert (row["program_id"], row["status"]) == (program_id, "ACTIVE")
        frozen = api.patch(f"{path}/{program_id}", {"status": "FROZEN"})
        assert (frozen["status"], frozen["enrolled_at"]) == ("FROZEN", row["enrolled_at"])
        api.post("/v1/participants", {"external_id": "e", "program_id": program_id}, 200)
        assert api.get(path)["data"][0]["status"] == "ACTIVE"

    def test_closed_ones_leave_program_ids(self, api: Tenant) -> None:
        first, second = program(api), program(api)
        person = participant(api, external_id="c", program_id=first)
        api.post("/v1/participants", {"external_id": "c", "program_id": second}, 200)
        assert api.get(f"/v1/participants/{person}")["program_ids"] == [first, second]
        api.patch(f"/v1/participants/{person}/enrollments/{first}", {"status": "CLOSED"})
        assert api.get(f"/v1/participants/{person}")["program_ids"] == [second]
        assert api.get("/v1/participants", program_id=first)["data"] == []
        assert len(api.get(f"/v1/participants/{person}/enrollments")["data"]) == 2

    def test_unknown_ones_are_404(self, api: Tenant) -> None:
        person = participant(api)
        body = {"status": "ACTIVE"}
        assert (
            api.patch(f"/v1/participants/{person}/enrollments/{program(api)}", body, 404)["details"]["resource"] == "enrollment"
        )
        assert api.patch(f"/v1/participants/{person}/enrollments/{uuid4()}", body, 404)["details"]["resource"] == "program"
        refused = api.post("/v1/participants", {"external_id": "n", "program_id": str(uuid4())}, 404)
        assert refused["details"]["field"] == "program_id"
        assert api.get("/v1/participants", external_id="n")["data"] == []

    def test_path_faults_are_named_as_in_the_path(self, api: Tenant) -> None:
        bad = api.patch("/v1/participants/x/enrollments/y", {"status": "ASLEEP"}, 400)
        assert faults(bad) == [("status", "invalid"), ("id", "invalid"), ("programId", "invalid")]


class TestList:
    def test_filters_and_search(self, api: Tenant) -> None:
        api.post("/v1/participants", {"external_id": "alpha", "email": "x@shop.io"}, 201)
        api.post("/v1/participants", {"external_id": "beta", "last_name": "O_Neil", "status": "CLOSED"}, 201)

        def names(**query: str) -> list[str]:
            return [row["external_id"] for row in rows(api, "/v1/participants", **query)]

        assert names() == ["beta", "alpha"]
        assert names(search="SHOP.") == ["alpha"]
        assert names(search="o_n") == ["beta"]
        assert names(status="CLOSED") == ["beta"]
        assert names(sort_by="external_id", sort_dir="asc") == ["alpha", "beta"]
        assert names(sort_by="status", sort_dir="asc") == ["alpha", "beta"]
        moment = api.get("/v1/participants", external_id="alpha")["data"][0]["created_at"]
        assert names(to=moment) == ["alpha"]
        assert names(**{"from": moment}) == ["beta", "alpha"]

    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_ties_page_cleanly(self, api: Tenant, order: str) -> None:
        made = [participant(api) for _ in range(7)]
        seen: list[str] = []
        query = {"sort_by": "status", "sort_dir": order, "limit": "3"}
        page = api.get("/v1/participants", **query)
        while True:
            seen += [row["id"] for row in page["data"]]
            if not page["pagination"]["has_more"]:
                break
            page = api.get("/v1/participants", **query, cursor=page["pagination"]["next_cursor"])
        assert seen == (made if order == "asc" else made[::-1])

    def test_unknown_programs_are_refused(self, api: Tenant, stranger: Tenant) -> None:
        theirs = program(stranger)
        refused = api.get("/v1/participants", 404, program_id=theirs)
        assert refused["details"] == {"resource": "program", "id": theirs, "field": "program_id"}

    def test_from_after_to_is_refused(self, api: Tenant) -> None:
        bad = api.get("/v1/participants", 400, **{"from": "2026-02-01T00:00:00Z", "to": "2026-01-31T23:59:59Z"})
        assert faults(bad) == [("to", "invalid")]

    def test_unknown_parameters_are_refused(self, api: Tenant) -> None:
        assert faults(api.get("/v1/participants", 400, sortby="status")) == [("sortby", "unknown_parameter")]
        person = participant(api)
        assert faults(api.get(f"/v1/participants/{person}/enrollments", 400, limit="5")) == [("limit", "unknown_parameter")]


def test_updated_at_moves_with_tags_and_attributes_but_not_with_counters(api: Tenant) -> None:
    path = f"/v1/participants/{participant(api)}"
    moments = [api.get(path)["updated_at"]]
    for change in (("state/counters/n", {"value": "1"}), ("state/tags", {"tags": ["a"]}), ("state/attributes/k", {"value": "v"})):
        api.call("PUT", f"{path}/{change[0]}", 200, json=change[1])
        moments.append(api.get(path)["updated_at"])
    assert moments[0] == moments[1] < moments[2] < moments[3]


def test_patch_records_state_changes(api: Tenant) -> None:
    person = participant(api, tags=["a"])
    api.patch(f"/v1/participants/{person}", {"tags": ["b"], "attributes": {"k": "v"}})
    assert history(api, person) == [
        ("set", "k", None, "v"),
        ("add", "b", None, None),
        ("remove", "a", None, None),
        ("add", "a", None, None),
    ]


def test_another_tenant_sees_nothing(api: Tenant, stranger: Tenant) -> None:
    program_id = program(api)
    person = participant(api, external_id="shared", program_id=program_id)
    path = f"/v1/participants/{person}"
    calls = [
        ("GET", path, None),
        ("PATCH", path, {"email": "x@y.zz"}),
        ("PATCH", f"{path}/status", {"status": "CLOSED"}),
        ("GET", f"{path}/enrollments", None),
        ("PATCH", f"{path}/enrollments/{program_id}", {"status": "CLOSED"}),
        ("POST", "/v1/participants", {"external_id": "mine", "program_id": program_id}),
    ]
    for method, url, body in calls:
        stranger.call(method, url, 404, json=body)
    assert stranger.get("/v1/participants", external_id="shared")["data"] == []
    assert participant(stranger, external_id="shared") != person
    assert api.get(path)["status"] == "ACTIVE"
