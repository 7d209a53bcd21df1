"""conventions.md, Acceptance examples 1-8, 11, 13, through real HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from api.app import create_app
from db.session import Database
from runtime.settings import Settings
from tests.api.helpers import faults
from tests.support.client import Tenant, new_tenant
from tests.support.server import serve


@pytest.mark.example("conventions.md", 1)
def test_conventions_01_no_key(base_url: str) -> None:
    answer = httpx.get(f"{base_url}/v1/programs")
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


@pytest.mark.example("conventions.md", 2)
def test_conventions_02_both_headers_carry_the_key(api: Tenant, base_url: str) -> None:
    api.post("/v1/programs", {"name": "Shop"}, 201)
    bearer = httpx.get(f"{base_url}/v1/programs", headers={"Authorization": f"Bearer {api.key}"})
    header = httpx.get(f"{base_url}/v1/programs", headers={"X-API-Key": api.key})
    assert bearer.status_code == header.status_code == 200
    assert bearer.json() == header.json()
    assert len(bearer.json()["data"]) == 1


@pytest.mark.example("conventions.md", 3)
def test_conventions_03_request_id_comes_back(api: Tenant) -> None:
    answer = api.http.get(f"/v1/programs/{uuid4()}", headers={"X-Request-Id": "trace-42"})
    assert answer.status_code == 404
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-42"


@pytest.mark.example("conventions.md", 4)
def test_conventions_04_every_fault_is_listed(api: Tenant) -> None:
    body = api.post("/v1/programs", {"nmae": "Shop"}, 400)
    assert body["code"] == "bad_request"
    assert faults(body) == [("name", "required"), ("nmae", "unknown_field")]
    assert (body["details"]["field"], body["details"]["reason"], body["details"]["received"]) == ("name", "required", None)


@pytest.mark.example("conventions.md", 5)
@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=201", "limit"), ("limit=ten", "limit"), ("cursor=%21", "cursor")]
)
def test_conventions_05_bad_pages(api: Tenant, query: str, field: str) -> None:
    assert api.call("GET", f"/v1/programs?{query}", 400)["details"]["field"] == field


@pytest.mark.example("conventions.md", 7)
def test_conventions_07_malformed_and_unknown_ids(api: Tenant) -> None:
    assert api.get("/v1/participants/abc", 400)["details"]["expected"] == "uuid"
    unknown = api.get(f"/v1/participants/{uuid4()}", 404)
    assert (unknown["code"], unknown["details"]["resource"]) == ("not_found", "participant")


@pytest.mark.example("conventions.md", 8)
def test_conventions_08_pages_have_no_repeats_and_no_gaps(api: Tenant) -> None:
    made = [api.post("/v1/programs", {"name": f"P{number}"}, 201)["id"] for number in range(120)]
    pages, cursor = [], None
    while True:
        page = api.get("/v1/programs", limit=50, **({"cursor": cursor} if cursor else {}))
        pages.append(page)
        api.post("/v1/programs", {"name": "in between"}, 201)
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert [len(page["data"]) for page in pages] == [50, 50, 20]
    assert [page["pagination"]["has_more"] for page in pages] == [True, True, False]
    assert [row["id"] for page in pages for row in page["data"]] == made[::-1]


@pytest.mark.example("conventions.md", 11)
def test_conventions_11_rate_limit(database: Database, settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit": "1/30"})
    with serve(create_app(limited)) as url, ThreadPoolExecutor(8) as pool:
        tenant = new_tenant(database, url)
        tenant.http.get("/healthz")
        began = time.monotonic()
        answers = list(pool.map(lambda _: tenant.http.get("/v1/programs"), range(31)))
        assert time.monotonic() - began < 0.9
        tenant.http.close()
    assert sorted(answer.status_code for answer in answers) == [200] * 30 + [429]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"30"}
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status_code == 200]
    assert sorted(remaining) == list(range(30))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert (refused.json()["code"], refused.json()["details"]) == ("too_many_requests", {"retry_after": 1})
    assert 25 <= int(refused.headers["x-ratelimit-reset"]) - time.time() <= 31


@pytest.mark.example("conventions.md", 13)
def test_conventions_13_surrogates_and_the_year_zero(api: Tenant) -> None:
    answer = api.http.post(
        "/v1/programs", content=b'{"name": "\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert faults(answer.json()) == [("name", "invalid")]
    early = api.call("GET", "/v1/participants?from=0001-01-01T00:00:00%2B14:00", 400)
    assert faults(early) == [("from", "out_of_range")]
