"""conventions.md, Acceptance examples 1-13, through real HTTP."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.app import create_app
from db.session import Database
from runtime.settings import Settings
from tests.api.helpers import asset, faults, participant, program
from tests.support.client import Tenant, new_tenant
from tests.support.server import serve


class Money:
    """A participant with an asset of scale 2, and what is done to its balance."""

    def __init__(self, api: Tenant) -> None:
        self.api = api
        self.program_id = program(api)
        self.asset_id = asset(api, self.program_id)["id"]
        self.path = f"/v1/participants/{participant(api)}/balances"

    def send(self, operation: str, body: dict[str, object], **headers: str) -> httpx.Response:
        body = {"program_id": self.program_id, "asset_id": self.asset_id, "description": "test"} | body
        return self.api.http.post(f"{self.path}/{operation}", json=body, headers=headers)

    def post(self, operation: str, status: int, **body: object) -> Any:
        answer = self.send(operation, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def adjust(self, amount: str) -> None:
        self.post("adjust", 200, type="CREDIT", amount=amount)

    def held_and_available(self) -> tuple[str, str]:
        row = self.api.get(self.path.removesuffix("/balances"))["balances"][0]
        return row["held"], row["available"]


@pytest.mark.example("conventions.md", 1)
def test_conventions_01_no_key(database: Database, settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit": "1000/3000"})
    with serve(create_app(limited, parts=())) as url:
        answer = httpx.get(f"{url}/v1/programs")
        tenant = new_tenant(database, url)
        assert "x-ratelimit-limit" in tenant.http.get("/v1/programs").headers
        tenant.http.close()
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


@pytest.mark.example("conventions.md", 6)
@pytest.mark.parametrize("amount", [5, "-5", "1e2", "NaN", "0.004"])
def test_conventions_06_bad_amounts(api: Tenant, amount: object) -> None:
    money = Money(api)
    money.adjust("20.00")
    refused = money.post("adjust", 400, type="CREDIT", amount=amount)
    assert refused["details"]["field"] == "amount"
    assert money.held_and_available() == ("0.00", "20.00")


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


@pytest.mark.example("conventions.md", 9)
def test_conventions_09_retry(api: Tenant) -> None:
    money = Money(api)
    money.adjust("20.00")
    first = money.send("hold", {"amount": "10.00", "idempotency_key": "h-1"})
    again = money.send("hold", {"amount": "10.0", "idempotency_key": "h-1"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    conflict = money.post("hold", 409, amount="11", idempotency_key="h-1")
    assert conflict["code"] == "idempotency_conflict"
    assert conflict["details"] == {"idempotency_key": "h-1", "program_id": money.program_id}
    assert money.held_and_available() == ("10.00", "10.00")


@pytest.mark.example("conventions.md", 10)
def test_conventions_10_retry_after_refusal(api: Tenant) -> None:
    money = Money(api)
    money.adjust("20.00")
    assert money.post("hold", 422, amount="50.00", idempotency_key="h-2")["code"] == "insufficient_balance"
    money.adjust("30.00")
    assert money.post("hold", 200, amount="50.00", idempotency_key="h-2")["balance"]["held"] == "50.00"


@pytest.mark.example("conventions.md", 11)
def test_conventions_11_rate_limit(database: Database, settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit": "1/30"})
    with serve(create_app(limited, parts=())) as url, ThreadPoolExecutor(8) as pool:
        for _ in range(8):  # a busy machine may need longer than the example grants
            tenant = new_tenant(database, url)
            tenant.http.get("/healthz")
            began = time.monotonic()
            answers = list(pool.map(lambda _, ask=tenant.http.get: ask("/v1/programs"), range(31)))
            took = time.monotonic() - began
            tenant.http.close()
            if took < 0.9:
                break
    assert took < 0.9
    assert sorted(answer.status_code for answer in answers) == [200] * 30 + [429]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"30"}
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status_code == 200]
    assert sorted(remaining) == list(range(30))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert (refused.json()["code"], refused.json()["details"]) == ("too_many_requests", {"retry_after": 1})
    assert 25 <= int(refused.headers["x-ratelimit-reset"]) - time.time() <= 31


@pytest.mark.example("conventions.md", 12)
def test_conventions_12_key_in_the_header(api: Tenant) -> None:
    money = Money(api)
    money.adjust("20.00")
    first = money.send("hold", {"amount": "10.00"}, **{"Idempotency-Key": "h-3"})
    again = money.send("hold", {"amount": "10.00", "idempotency_key": "h-3"})
    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert money.held_and_available() == ("10.00", "10.00")
    differs = money.send("hold", {"amount": "10.00", "idempotency_key": "h-4"}, **{"Idempotency-Key": "h-3"})
    assert differs.status_code == 400
    assert faults(differs.json()) == [("Idempotency-Key", "invalid")]
    assert money.held_and_available() == ("10.00", "10.00")


@pytest.mark.example("conventions.md", 13)
def test_conventions_13_surrogates_and_the_year_zero(api: Tenant) -> None:
    answer = api.http.post("/v1/programs", content=b'{"name": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert faults(answer.json()) == [("name", "invalid")]
    early = api.call("GET", "/v1/participants?from=0001-01-01T00:00:00%2B14:00", 400)
    assert faults(early) == [("from", "out_of_range")]
