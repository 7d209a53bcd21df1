"""What clients shouldn't send, and the order of checks (conventions.md, Requests)."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from db.session import Database
from services import organizations
from tests.api.helpers import faults, participant, program
from tests.support.client import Tenant, new_tenant

JSON = {"Content-Type": "application/json"}


def send(api: Tenant, content: bytes | Iterator[bytes], path: str = "/v1/programs", **headers: str) -> httpx.Response:
    return api.http.post(path, content=content, headers=JSON | headers)


class TestBody:
    def test_over_the_limit(self, api: Tenant) -> None:
        answer = send(api, b'{"name": "' + b"x" * 1_100_000 + b'"}')
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert answer.json()["details"] == {"limit_bytes": 1 << 20}

    def test_over_the_limit_in_chunks(self, api: Tenant) -> None:
        answer = send(api, (b"x" * 65536 for _ in range(20)))
        assert answer.status_code == 413

    def test_at_the_limit(self, api: Tenant) -> None:
        text = b'{"name": "Shop"}'
        assert send(api, text + b" " * ((1 << 20) - len(text))).status_code == 201
        assert send(api, text + b" " * ((1 << 20) - len(text) + 1)).status_code == 413

    def test_endpoints_without_a_body_ignore_one(self, api: Tenant) -> None:
        url = f"/v1/participants/{participant(api)}/state/tags/x"
        assert api.http.put(url, content=b"{" * 2_000_000, headers={"Content-Type": "text/plain"}).status_code == 201

    @pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/jsonp", "application/json; charset=latin-1"])
    def test_other_content_types(self, api: Tenant, kind: str) -> None:
        answer = api.http.post("/v1/programs", content=b'{"name": "Shop"}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["details"]) == (415, {"received": kind})

    def test_no_content_type(self, api: Tenant) -> None:
        assert api.http.post("/v1/programs", content=b'{"name": "Shop"}').status_code == 415

    @pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'])
    def test_json_content_types(self, api: Tenant, kind: str) -> None:
        answer = api.http.post("/v1/programs", content=b'{"name": "Shop"}', headers={"Content-Type": kind})
        assert answer.status_code == 201

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b" ",
            b"{",
            b"null",
            b"[]",
            b'"text"',
            b"5",
            b'{"name": "Shop",}',
            b'{"name": NaN}',
            b'{"name": -Infinity}',
            b'{"name": 1e999999999999999999999}',
            b'{"name": "a\nb"}',
            b'{"name": "\xff"}',
            b'\xef\xbb\xbf{"name": "Shop"}',
            b'{"name": "Shop"} {}',
            b"[" * 100_000,
            b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}",
        ],
    )
    def test_what_is_no_json_object(self, api: Tenant, content: bytes) -> None:
        answer = send(api, content)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "bad_request"
        assert answer.json()["details"]["fields"]

    def test_every_text_is_checked(self, api: Tenant) -> None:
        content = (
            b'{"name": "a\\u0000", "external_id": "\\udc00", "attributes": {"k": "\\ud83d", "\\ud800": "v"}, "tags": ["\\u0000"]}'
        )
        answer = send(api, content, "/v1/participants")
        assert sorted(faults(answer.json())) == [
            ("attributes.k", "invalid"),
            ("attributes.\N{REPLACEMENT CHARACTER}", "invalid"),
            ("external_id", "invalid"),
            ("name", "invalid"),
            ("tags[0]", "invalid"),
        ]

    def test_surrogate_pairs_are_text(self, api: Tenant) -> None:
        answer = send(api, b'{"name": "\\ud83d\\ude00"}')
        assert (answer.status_code, answer.json()["name"]) == (201, "\N{GRINNING FACE}")

    @pytest.mark.parametrize("name", ["", " ", "\t\n", "\u200b\u2060", "\u00a0"])
    def test_required_texts_are_visible(self, api: Tenant, name: str) -> None:
        assert faults(api.post("/v1/programs", {"name": name}, 400)) == [("name", "required")]

    def test_length_counts_code_points(self, api: Tenant) -> None:
        assert api.post("/v1/programs", {"name": "\N{GRINNING FACE}" * 255}, 201)
        assert faults(api.post("/v1/programs", {"name": "\N{GRINNING FACE}" * 256}, 400)) == [("name", "too_long")]

    def test_the_last_of_a_repeated_key_counts(self, api: Tenant) -> None:
        assert send(api, b'{"name": "a", "name": "b"}').json()["name"] == "b"

    def test_received_is_shortened(self, api: Tenant) -> None:
        details = api.post("/v1/programs", {"name": ["x" * 500]}, 400)["details"]
        assert len(details["received"]) == 100
        assert details["received"].startswith('["xxx')


@pytest.mark.parametrize(
    "amount",
    [
        "9" * 40,
        "1." + "9" * 38,
        "0." + "0" * 39,
        "1_0",
        " 1",
        "+1",
        "-1",
        ".5",
        "5.",
        "٣",
        "",
        "1e2",
        "NaN",
        5,
        5.5,
        True,
        [],
        {},
    ],
)
def test_amounts(api: Tenant, amount: object) -> None:
    body = {"name": "n", "symbol": "S", "inventory_mode": "SIMPLE", "issuance_policy": "UNLIMITED", "scale": 0}
    answer = api.post("/v1/assets", body | {"program_id": program(api), "max_transaction_amount": amount}, 400)
    assert answer["details"]["field"] == "max_transaction_amount"
    assert answer["details"]["expected"] == "decimal string"


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("2026-01-01", "invalid"),
        ("2026-01-01T00:00:00", "invalid"),
        ("2026-02-30T00:00:00Z", "invalid"),
        ("2026-01-01T25:00:00Z", "invalid"),
        ("2026-01-01 00:00:00Z", "invalid"),
        ("1767225600", "invalid"),
        ("2026-01-01T00:00:00+25:00", "invalid"),
        ("0000-12-31T23:59:59Z", "out_of_range"),
        ("9999-12-31T23:59:59-01:00", "out_of_range"),
    ],
)
def test_timestamps(api: Tenant, moment: str, reason: str) -> None:
    found = api.call("GET", "/v1/participants", 400, params={"from": moment})
    assert faults(found) == [("from", reason)]


@pytest.mark.parametrize(
    "moment",
    ["2026-01-01t00:00:00z", "2026-01-01T00:00:00.123456789+05:30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
)
def test_good_timestamps(api: Tenant, moment: str) -> None:
    api.call("GET", "/v1/participants", 200, params={"from": moment})


@pytest.mark.parametrize(
    "bad",
    [
        "abc",
        "{01890000-0000-7000-8000-000000000001}",
        "01890000000070008000000000000001",
        "urn:uuid:01890000-0000-7000-8000-000000000001",
    ],
)
def test_uuids(api: Tenant, bad: str) -> None:
    found = api.call("GET", f"/v1/participants/{bad}", 400)
    assert (found["details"]["field"], found["details"]["expected"]) == ("id", "uuid")
    assert faults(api.call("GET", "/v1/assets", 400, params={"program_id": bad})) == [("program_id", "invalid")]


@pytest.mark.parametrize(
    "query",
    [
        "include_archived=1",
        "include_archived=True",
        "include_archived=",
        "limit=",
        "limit=+5",
        "limit=5.0",
        "search=",
        "search=%00",
        "status=",
    ],
)
def test_query_values(api: Tenant, query: str) -> None:
    found = api.call("GET", f"/v1/programs?{query}", 400)
    assert found["details"]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("cursor", ["", "!", "e30", "bnVsbA", "WzFd", "WzEsMiwzLDQsNV0", "W" * 5000, "W1tb" * 300, "%ff"])
def test_cursors(api: Tenant, cursor: str) -> None:
    assert api.call("GET", f"/v1/programs?cursor={cursor}", 400)["details"]["field"] == "cursor"


@pytest.mark.parametrize("kind", [[], {}, [{}], {"a": []}])
@pytest.mark.parametrize("extra", [{}, {"participant_id": "01890000-0000-7000-8000-000000000001"}])
def test_lists_and_objects_in_place_of_a_word(api: Tenant, kind: object, extra: dict[str, str]) -> None:
    body = {"name": "n", "event_name": "e", "scope": "program", "trigger": {"type": kind, "cron_expression": "0 9 * * *"}} | extra
    found = api.post(f"/v1/programs/{program(api)}/automations", body, 400)
    assert ("trigger.type", "invalid") in faults(found)


@pytest.mark.parametrize("number", [b"5", b"6.7e16", b"0.5", b"true", b'"x"', b"[]"])
def test_only_objects_are_objects(api: Tenant, number: bytes) -> None:
    """Also where every field may be left out."""
    program_id = program(api)
    answer = api.http.patch(f"/v1/programs/{program_id}", content=number, headers=JSON)
    assert (answer.status_code, faults(answer.json())) == (400, [("body", "invalid")])
    tier = b'{"key": "club", "levels": [{"key": "a", "rank": 1}], "lifecycle": ' + number + b"}"
    assert faults(send(api, tier, f"/v1/programs/{program_id}/tiers").json()) == [("lifecycle", "invalid")]


class TestOrder:
    """Of several faults the first in the order of checks answers."""

    def test_401_before_404_405_413(self, base_url: str) -> None:
        for method, path in (("GET", "/v1/nothing"), ("PUT", "/v1/programs"), ("GET", "/v1")):
            assert httpx.request(method, base_url + path).status_code == 401
        assert httpx.post(f"{base_url}/v1/programs", content=b"x" * 1_100_000).status_code == 401

    def test_404_and_405_before_the_body(self, api: Tenant) -> None:
        assert send(api, b"{", "/v1/nothing").json()["details"] == {"resource": "route", "id": "/v1/nothing"}
        answer = api.http.put("/v1/programs", content=b"{" * 1_100_000)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert answer.json()["details"] == {"allowed": ["GET", "POST"]}

    def test_413_and_415_before_400(self, api: Tenant) -> None:
        assert api.http.patch("/v1/programs/abc", content=b"x" * 1_100_000).status_code == 413
        assert api.http.patch("/v1/programs/abc", content=b"{").status_code == 415

    def test_body_path_and_query_are_one_400(self, api: Tenant) -> None:
        answer = api.http.patch("/v1/programs/abc?x=1", json={"name": 5})
        assert faults(answer.json()) == [("name", "invalid"), ("id", "invalid"), ("x", "unknown_parameter")]

    def test_400_before_404(self, api: Tenant) -> None:
        path = "/v1/programs/01890000-0000-7000-8000-000000000001"
        assert api.patch(path, {"name": ""}, 400)
        assert api.patch(path, {"name": "x"}, 404)

    def test_trailing_slash_and_doubled_slash_are_other_paths(self, api: Tenant) -> None:
        for path in ("/v1/programs/", "//v1/programs", "/v1//programs", "/v1/participants//state/tags"):
            assert api.http.get(path).status_code in (404, 401)

    def test_outside_v1_nothing_needs_a_key(self, base_url: str) -> None:
        assert httpx.get(f"{base_url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{base_url}/nothing").json()["code"] == "not_found"
        assert httpx.post(f"{base_url}/healthz").status_code == 405
        assert "paths" in httpx.get(f"{base_url}/openapi.json", timeout=60).json()


class TestKeys:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Authorization": "sk_x"},
            {"Authorization": "Basic sk_x"},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer pk_x"},
            {"Authorization": "Bearer sk_unknown"},
            {"Authorization": "Bearer sk_" + "x" * 5000},
            {"X-API-Key": "nothing"},
            {"X-API-Key": ""},
        ],
    )
    def test_bad_ones(self, base_url: str, headers: dict[str, str]) -> None:
        answer = httpx.get(f"{base_url}/v1/programs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")

    def test_authorization_beats_x_api_key(self, api: Tenant, base_url: str) -> None:
        headers = {"Authorization": "Bearer sk_wrong", "X-API-Key": api.key}
        assert httpx.get(f"{base_url}/v1/programs", headers=headers).status_code == 401

    def test_the_scheme_has_no_case(self, api: Tenant, base_url: str) -> None:
        assert httpx.get(f"{base_url}/v1/programs", headers={"Authorization": f"bearer {api.key}"}).status_code == 200

    @pytest.mark.timeout(30)
    def test_revocation_and_suspension_work_within_seconds(self, database: Database, base_url: str, api: Tenant) -> None:
        other = new_tenant(database, base_url, "Suspended")
        other.get("/v1/programs")
        api.get("/v1/programs")
        with database.session() as session:
            organizations.set_organization_status(session, other.organization_id, organizations.OrganizationStatus.SUSPENDED)
            key = organizations.list_api_keys(session, api.organization_id)[0]
            organizations.revoke_api_key(session, key.id)
        wait_for(api, 401)
        wait_for(other, 403)
        with database.session() as session:
            organizations.set_organization_status(session, other.organization_id, organizations.OrganizationStatus.ACTIVE)
        wait_for(other, 200)
        other.http.close()

    def test_request_ids_of_another_form_are_replaced(self, api: Tenant) -> None:
        for sent in ("a b", "x" * 129, "a/b"):
            answer = api.http.get("/v1/programs", headers={"X-Request-Id": sent})
            assert answer.status_code == 200
            assert answer.headers["x-request-id"] != sent
        assert api.http.get("/v1/programs", headers={"X-Request-Id": "x" * 128}).headers["x-request-id"] == "x" * 128


def wait_for(tenant: Tenant, status: int) -> None:
    """Ask until the status comes; conventions.md allows five seconds."""
    deadline = time.monotonic() + 5
    while (found := tenant.http.get("/v1/programs").status_code) != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_errors_never_show_a_secret_header(api: Tenant) -> None:
    answer = api.http.get("/v1/nothing", headers={"X-API-Key": "sk_other"})
    assert api.key not in answer.text
    assert json.loads(answer.text)["code"] == "not_found"
