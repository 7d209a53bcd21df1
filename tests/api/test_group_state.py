"""State of groups: as that of participants, and read-only once the group is archived."""

import pytest

from tests.api.helpers import faults, participant
from tests.api.test_groups import make
from tests.support.client import Tenant


@pytest.fixture
def path(api: Tenant) -> str:
    return f"/v1/groups/{make(api, participant(api))}"


def changes(api: Tenant, path: str, **query: str) -> list[tuple[str, str, str | None, str | None]]:
    """Operation, key, old and new value of the group's state history, newest first."""
    found = api.get(f"{path}/activity/state-history", **query)["data"]
    return [(row["operation"], row["key"], row["old_value"], row["new_value"]) for row in found]


def test_tags(api: Tenant, path: str) -> None:
    assert api.call("PUT", f"{path}/state/tags/VIP", 201) == {"tag": "vip"}
    assert api.call("PUT", f"{path}/state/tags/Vip", 200) == {"tag": "vip"}
    assert api.call("PUT", f"{path}/state/tags", 200, json={"tags": ["b", "A", "a"]}) == {"tags": ["a", "b"]}
    api.call("DELETE", f"{path}/state/tags/B", 204)
    assert api.get(f"{path}/state/tags")["data"] == [{"tag": "a"}]
    assert changes(api, path)[0] == ("remove", "b", None, None)


def test_counters(api: Tenant, path: str) -> None:
    made = api.call("PUT", f"{path}/state/counters/points", 200, json={"value": "3.50", "reset_after": "24h"})
    assert (made["key"], made["value"], made["reset_after"]) == ("points", "3.5", "24h")
    api.call("PUT", f"{path}/state/counters/a", 200, json={"value": "1"})
    assert api.get(f"{path}/state/counters")["data"] == [{"key": "a", "value": "1"}, made]
    assert api.get(f"{path}/state/counters/points") == made
    api.call("DELETE", f"{path}/state/counters/points", 204)
    assert api.get(f"{path}/state/counters/points", 404)["details"]["resource"] == "counter"
    assert changes(api, path, state_type="counter", key="points") == [
        ("delete", "points", "3.5", None),
        ("set", "points", None, "3.5"),
    ]


def test_attributes(api: Tenant, path: str) -> None:
    assert api.patch(f"{path}/state/attributes", {"attributes": {"b": "2", "a": "1"}}) == {"attributes": {"a": "1", "b": "2"}}
    assert api.call("PUT", f"{path}/state/attributes/a", 200, json={"value": "3"}) == {"key": "a", "value": "3"}
    api.call("DELETE", f"{path}/state/attributes/b", 204)
    assert api.get(f"{path}/state/attributes")["data"] == [{"key": "a", "value": "3"}]
    assert api.get(f"{path}/state/attributes/a") == {"key": "a", "value": "3"}
    assert faults(api.call("PUT", f"{path}/state/attributes/a", 400, json={"value": ""})) == [("value", "required")]


def test_archived_groups_keep_their_state(api: Tenant, path: str) -> None:
    api.call("PUT", f"{path}/state/tags/vip", 201)
    api.call("DELETE", path, 200)
    for method, rest, body in (
        ("PUT", "tags", {"tags": []}),
        ("PUT", "tags/vip", None),
        ("PUT", "tags/x", None),
        ("DELETE", "tags/x", None),
        ("PUT", "counters/n", {"value": "1"}),
        ("DELETE", "counters/n", None),
        ("PATCH", "attributes", {"attributes": {}}),
        ("PUT", "attributes/a", {"value": "x"}),
        ("DELETE", "attributes/a", None),
    ):
        assert api.call(method, f"{path}/state/{rest}", 409, json=body)["code"] == "group_archived", (method, rest)
    assert api.get(f"{path}/state/tags")["data"] == [{"tag": "vip"}]
    assert changes(api, path) == [("add", "vip", None, None)]


def test_kinds_and_tenants_are_apart(api: Tenant, stranger: Tenant, path: str) -> None:
    group = path.rpartition("/")[2]
    assert api.get(f"/v1/participants/{group}/state/tags", 404)["details"]["resource"] == "participant"
    assert api.get(f"/v1/groups/{participant(api)}/state/tags", 404)["details"]["resource"] == "group"
    for rest in ("state/tags", "state/counters", "state/attributes", "activity/state-history"):
        assert stranger.get(f"{path}/{rest}", 404)["details"]["resource"] == "group"
    assert stranger.call("PUT", f"{path}/state/tags/x", 404)["details"]["resource"] == "group"
