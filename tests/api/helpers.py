"""Short hands of the API tests: things to have, things to look at."""

from typing import Any
from uuid import uuid4

from tests.support.client import Tenant


def faults(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and reason of every fault of a 400."""
    assert body["code"] == "bad_request"
    return [(item["field"], item["reason"]) for item in body["details"]["fields"]]


def program(api: Tenant, **fields: Any) -> str:
    """A program's id."""
    return str(api.post("/v1/programs", {"name": "Shop", **fields}, 201)["id"])


def asset(api: Tenant, program_id: str, **fields: Any) -> dict[str, Any]:
    """An asset: SIMPLE, UNLIMITED, scale 2 unless said otherwise."""
    body = {
        "program_id": program_id,
        "name": "Cash",
        "symbol": f"A{uuid4().hex[:10]}",
        "inventory_mode": "SIMPLE",
        "issuance_policy": "UNLIMITED",
        "scale": 2,
    }
    made: dict[str, Any] = api.post("/v1/assets", body | fields, 201)
    return made


def participant(api: Tenant, **fields: Any) -> str:
    """A participant's id."""
    return str(api.post("/v1/participants", {"external_id": f"u-{uuid4()}", **fields}, 201)["id"])


def state_path(participant_id: str, rest: str) -> str:
    """The path of a participant's state."""
    return f"/v1/participants/{participant_id}/state/{rest}"


def history(api: Tenant, participant_id: str, **query: Any) -> list[tuple[str, str, str | None, str | None]]:
    """Operation, key, old and new value of a participant's state history, newest first."""
    rows = api.get(f"/v1/participants/{participant_id}/activity/state-history", **query)["data"]
    return [(row["operation"], row["key"], row["old_value"], row["new_value"]) for row in rows]


def rows(api: Tenant, path: str, **query: str) -> list[dict[str, Any]]:
    """The rows of a list's first page."""
    found: list[dict[str, Any]] = api.call("GET", path, 200, params=query)["data"]
    return found
