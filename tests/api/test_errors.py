"""The table of codes, and what happens when something of ours fails."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from api.app import create_app
from api.deps import CallDep
from api.errors import STATUS, HttpRefusal
from api.openapi import router as router_for
from api.responses import ok
from db.session import Database, psycopg_of
from domain.errors import Conflict, DomainError, Unprocessable
from runtime.settings import Settings
from tests.support.client import Tenant, new_tenant
from tests.support.server import serve

BASES = {HttpRefusal, Conflict, Unprocessable}


def _below(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def test_every_refusal_has_a_status() -> None:
    kinds = set(_below(DomainError)) - BASES
    assert {kind.code for kind in kinds} | {"internal_error"} == set(STATUS)
    assert {STATUS[kind.code] for kind in kinds if issubclass(kind, Conflict)} == {409}
    assert {STATUS[kind.code] for kind in kinds if issubclass(kind, Unprocessable)} == {422}


def _with_routes(app: FastAPI) -> FastAPI:
    """The API with a few endpoints that fail."""
    router = router_for("Operations")
    tries = iter(range(100))

    @router.get("/v1/broken")
    def broken(call: CallDep) -> Response:
        raise RuntimeError("a secret of ours")

    @router.get("/v1/slow")
    def slow(call: CallDep) -> Response:
        return ok(call.run(lambda session: psycopg_of(session).execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)")))

    @router.get("/v1/deadlock")
    def deadlock(call: CallDep) -> Response:
        raising = "DO $$ BEGIN RAISE 'again' USING ERRCODE = 'deadlock_detected'; END $$"
        done = call.run(lambda session: next(tries) < 2 and psycopg_of(session).execute(raising))
        return ok({"done": done, "tries": next(tries)})

    app.state.dispatch.add(router.routes)
    return app


@pytest.fixture(scope="module")
def failing(settings: Settings, database: Database) -> Iterator[Tenant]:
    with serve(_with_routes(create_app(settings))) as url:
        tenant = new_tenant(database, url)
        yield tenant
        tenant.http.close()


def test_a_fault_of_ours_says_nothing(failing: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    answer = failing.http.get("/v1/broken", headers={"X-Request-Id": "trace-500"})
    assert answer.status_code == 500
    assert answer.json() == {"code": "internal_error", "message": "Internal error", "request_id": "trace-500", "details": {}}
    assert answer.headers["x-request-id"] == "trace-500"
    assert "trace-500" in caplog.text
    assert "a secret of ours" in caplog.text


def test_a_statement_that_takes_too_long_is_503(failing: Tenant) -> None:
    answer = failing.http.get("/v1/slow")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_deadlocks_are_run_again(failing: Tenant) -> None:
    assert failing.get("/v1/deadlock") == {"done": False, "tries": 3}


def test_no_database_is_503(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": type(settings.database_url)("postgresql://nobody@127.0.0.1:1/none")})
    with serve(create_app(nowhere, parts=())) as url:
        answer = httpx.get(f"{url}/v1/programs", headers={"X-API-Key": "sk_x"})
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert httpx.get(f"{url}/healthz").status_code == 200
        ready = httpx.get(f"{url}/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "failed")


def test_readiness_and_metrics(base_url: str, api: Tenant) -> None:
    api.get("/v1/programs")
    assert httpx.get(f"{base_url}/readyz").json()["checks"]["database"] == "ok"
    metrics = httpx.get(f"{base_url}/metrics").text
    assert 'openscrip_http_request_seconds_count{method="GET",route="/v1/programs",status="200"}' in metrics
    assert "openscrip_database_connections_max" in metrics
