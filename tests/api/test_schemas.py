"""The order in which faults are listed, rules between fields, the key header: a route of its own with nested objects."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Query
from starlette.responses import Response

from api.app import create_app
from api.deps import CallDep
from api.idempotency import payload_of
from api.openapi import router as router_for
from api.responses import ok
from api.schemas.common import (
    AmountStr,
    CreateModel,
    DurationStr,
    FreeForm,
    Given,
    IdempotencyKey,
    Lifetime,
    QueryModel,
    ReferenceId,
    Text255,
    Timestamp,
    Uuid,
    exactly_one_of,
    ordered,
)
from db.session import Database
from domain.errors import Fault
from runtime.settings import Settings
from services.idempotency import fingerprint_of
from tests.api.helpers import faults
from tests.support.client import Tenant, new_tenant
from tests.support.server import serve


class Recipient(CreateModel):
    amount: AmountStr
    external_id: Text255 | None = None
    participant_id: Uuid | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from exactly_one_of(given, "external_id", "participant_id")


class Sent(CreateModel):
    program_id: Uuid
    description: Text255
    recipients: list[Recipient]
    at: Timestamp | None = None
    wait: DurationStr | None = None
    until: Lifetime | None = None
    reference_id: ReferenceId | None = None
    is_final: bool = False
    metadata: FreeForm | None = None
    idempotency_key: IdempotencyKey | None = None


class Asked(QueryModel):
    earned_from: Timestamp | None = None
    earned_to: Timestamp | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("earned_from", "earned_to"))


@pytest.fixture(scope="module")
def tenant(settings: Settings, database: Database) -> Iterator[Tenant]:
    router = router_for("Operations")

    @router.post("/v1/sent")
    def sent(body: Sent, call: CallDep, query: Annotated[Asked, Query()]) -> Response:
        return ok(
            {
                "fingerprint": fingerprint_of("sent", {}, payload_of(body)).hex(),
                "key": body.idempotency_key,
                "metadata": body.metadata,
            }
        )

    app = create_app(settings)
    app.state.dispatch.add(router.routes)
    with serve(app) as url:
        tenant = new_tenant(database, url)
        yield tenant
        tenant.http.close()


PROGRAM = "01890000-0000-7000-8000-000000000001"
GOOD: dict[str, Any] = {"program_id": PROGRAM, "description": "d", "recipients": [{"amount": "1", "external_id": "a"}]}


def found(tenant: Tenant, body: object, query: str = "", **headers: str) -> list[tuple[str, str]]:
    answer = tenant.http.post(f"/v1/sent{query}", json=body, headers=headers)
    assert answer.status_code == 400, answer.text
    return faults(answer.json())


def same(tenant: Tenant, one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(tenant.post("/v1/sent", GOOD | one)["fingerprint"] == tenant.post("/v1/sent", GOOD | other)["fingerprint"])


def test_faults_are_listed_missing_first_then_as_sent(tenant: Tenant) -> None:
    body = {
        "wait": "soon",
        "recipients": [
            {"external_id": "a"},
            {"amount": "0", "external_id": "a", "participant_id": PROGRAM, "x": 1},
            {"amount": "1"},
            5,
        ],
        "is_final": "true",
        "nmae": None,
        "description": " ",
    }
    assert found(tenant, body) == [
        ("program_id", "required"),
        ("recipients[0].amount", "required"),
        ("recipients[2].external_id", "required"),
        ("wait", "invalid"),
        ("recipients[1].amount", "out_of_range"),
        ("recipients[1].participant_id", "not_allowed"),
        ("recipients[1].x", "unknown_field"),
        ("recipients[3]", "invalid"),
        ("is_final", "invalid"),
        ("nmae", "unknown_field"),
        ("description", "required"),
    ]


def test_expected_and_received(tenant: Tenant) -> None:
    answer = tenant.post("/v1/sent", {"recipients": {"a": 1}, "is_final": 1, "metadata": []}, 400)
    items = {item["field"]: (item["expected"], item["received"]) for item in answer["details"]["fields"]}
    assert items == {
        "program_id": ("uuid", None),
        "description": ("string", None),
        "recipients": ("array", '{"a":1}'),
        "is_final": ("boolean", "1"),
        "metadata": ("object", "[]"),
    }


def test_body_before_query_before_header(tenant: Tenant) -> None:
    query = "?earned_to=2026-01-01T00:00:00Z&earned_from=2026-01-02T00:00:00Z&z=1"
    listed = found(tenant, GOOD | {"at": "now", "idempotency_key": "a"}, query, **{"Idempotency-Key": "b"})
    assert listed == [("at", "invalid"), ("earned_to", "invalid"), ("z", "unknown_parameter"), ("Idempotency-Key", "invalid")]


def test_null_equals_leaving_out_also_inside(tenant: Tenant) -> None:
    nulls = {
        "at": None,
        "metadata": None,
        "is_final": None,
        "recipients": [{"amount": "1", "external_id": "a", "participant_id": None}],
    }
    assert same(tenant, nulls, {})
    assert found(tenant, GOOD | {"description": None}) == [("description", "required")]


def test_free_form_objects(tenant: Tenant) -> None:
    raw = b'{"program_id":"%s","description":"d","recipients":[{"amount":"1","external_id":"a"}],"metadata":{"n":1.2300,"unknown":[1e5]}}'
    answer = tenant.http.post(
        "/v1/sent", content=raw.replace(b"%s", PROGRAM.encode()), headers={"Content-Type": "application/json"}
    )
    assert '"metadata":{"n":1.2300,"unknown":[1E+5]}' in answer.text
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    assert found(tenant, GOOD | {"metadata": deep}) == [("metadata", "too_long")]


class TestKeyHeader:
    def test_stands_for_the_field(self, tenant: Tenant) -> None:
        answer = tenant.http.post("/v1/sent", json=GOOD, headers={"Idempotency-Key": "k 1"})
        assert answer.json()["key"] == "k 1"
        both = tenant.http.post("/v1/sent", json=GOOD | {"idempotency_key": "k 1"}, headers={"Idempotency-Key": "k 1"})
        assert both.json() == answer.json()

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
    def test_faults(self, tenant: Tenant, key: str) -> None:
        assert found(tenant, GOOD, **{"Idempotency-Key": key}) == [("Idempotency-Key", "invalid")]

    def test_another_value_than_the_field(self, tenant: Tenant) -> None:
        assert found(tenant, GOOD | {"idempotency_key": "a"}, **{"Idempotency-Key": "b"}) == [("Idempotency-Key", "invalid")]


class TestMeaning:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"at": "2026-01-01T00:00:00Z"}, {"at": "2026-01-01T02:00:00.0000009+02:00"}),
            ({"wait": "60m"}, {"wait": "1h"}),
            ({"until": "24h"}, {"until": "1440m0s"}),
            ({"until": "2026-01-01T00:00:00Z"}, {"until": "2026-01-01T01:00:00+01:00"}),
            ({"is_final": False}, {}),
            ({"program_id": PROGRAM.upper()}, {}),
            ({"recipients": [{"external_id": "a", "amount": "1.00"}]}, {}),
            ({"idempotency_key": "one"}, {"idempotency_key": "two"}),
            ({"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}),
        ],
    )
    def test_is_the_same(self, tenant: Tenant, one: dict[str, Any], other: dict[str, Any]) -> None:
        assert same(tenant, one, other)

    @pytest.mark.parametrize(
        "other",
        [
            {"at": "2026-01-01T00:00:00Z"},
            {"description": "e"},
            {"is_final": True},
            {"recipients": [{"amount": "1", "external_id": "b"}]},
            {"recipients": [{"amount": "1.01", "external_id": "a"}]},
            {"recipients": GOOD["recipients"] * 2},
            {"until": "24h"},
        ],
    )
    def test_differs(self, tenant: Tenant, other: dict[str, Any]) -> None:
        assert not same(tenant, {}, other)


@pytest.mark.parametrize("wait", ["-1s", "1", "1d", "", " 1s", "1s ", "h", "1h-1m"])
def test_durations(tenant: Tenant, wait: str) -> None:
    assert found(tenant, GOOD | {"wait": wait})[0][0] == "wait"


@pytest.mark.parametrize("reference", ["a b", "ä", "a/b", "x" * 256, ""])
def test_reference_ids(tenant: Tenant, reference: str) -> None:
    assert found(tenant, GOOD | {"reference_id": reference})[0][0] == "reference_id"
