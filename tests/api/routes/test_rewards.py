"""The rewards catalog over HTTP (redemptions-rewards.md 1)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from db.session import Database
from domain.errors import OutOfStock
from tests.api.helpers import asset, faults, program
from tests.support.catalog import Catalog, make_catalog
from tests.support.client import Tenant


@pytest.fixture
def catalog(api: Tenant, database: Database) -> Catalog:
    return make_catalog(api, database)


def test_the_database_itself_refuses_to_sell_more_than_there_is(catalog: Catalog, database_url: str) -> None:
    reward = catalog.post(max_total=2)["id"]
    sell = "UPDATE rewards SET redeemed_count = %s, status = 'OUT_OF_STOCK' WHERE id = %s"
    with psycopg.connect(database_url) as owner:
        owner.execute(sell, [2, reward])
        with pytest.raises(psycopg.errors.CheckViolation, match="would be oversold"):
            owner.execute(sell, [3, reward])


class TestCreate:
    def test_the_least(self, catalog: Catalog) -> None:
        made = catalog.post()
        assert list(made) == [
            "id", "program_id", "asset_id", "name", "description", "category", "redemption_type", "unit_cost", "max_total",
            "max_per_participant", "redeemed_count", "status", "available_from", "available_until", "metadata",
            "fulfillment", "created_at", "updated_at",
        ]  # fmt: skip
        assert (made["program_id"], made["asset_id"], made["name"]) == (catalog.program, catalog.usd, "MUG")
        assert (made["redemption_type"], made["unit_cost"], made["status"]) == ("UNIT_BASED", "12.50", "ACTIVE")
        assert (made["redeemed_count"], made["metadata"]) == (0, {})
        assert made["fulfillment"] == {"type": "none", "url": None, "timeout": None}
        unset = ("description", "category", "max_total", "max_per_participant", "available_from", "available_until")
        assert [made[name] for name in unset] == [None] * 6
        assert made["created_at"] == made["updated_at"]
        assert catalog.get(made["id"]) == made

    def test_everything(self, catalog: Catalog) -> None:
        wanted = {
            "description": "A mug",
            "category": "Kitchen",
            "max_total": 2147483647,
            "max_per_participant": 1,
            "available_from": "2026-01-01T00:00:00.000000Z",
            "available_until": "2030-01-01T00:00:00.000000Z",
            "metadata": {"b": 1.10, "a": [None, {"x": "\N{GRINNING FACE}"}]},
            "fulfillment": {"type": "manual", "url": None, "timeout": "36h30m"},
        }
        made = catalog.post(**wanted)
        assert {name: made[name] for name in wanted} == wanted
        assert list(made["metadata"]) == ["b", "a"]

    @pytest.mark.parametrize("status", ["DRAFT", "ACTIVE", "OUT_OF_STOCK", "ARCHIVED"])
    def test_any_status(self, catalog: Catalog, status: str) -> None:
        assert catalog.post(status=status)["status"] == status

    def test_nulls_are_left_out(self, catalog: Catalog) -> None:
        names = ("description", "category", "max_total", "available_from", "metadata", "fulfillment")
        made = catalog.post(**dict.fromkeys(names))
        assert made["metadata"] == {}
        assert made["fulfillment"]["type"] == "none"
        assert catalog.post(name="B", fulfillment={"type": "manual", "url": None, "timeout": None})

    def test_every_fault_at_once(self, catalog: Catalog) -> None:
        body = {
            "redemption_type": "AMOUNT_BASED",
            "asset_id": "x",
            "unit_cost": "0",
            "max_total": 0,
            "max_per_participant": 5,
            "category": "c" * 101,
            "available_from": "2026-02-01T00:00:00Z",
            "available_until": "2026-02-01T01:00:00+01:00",
            "metadata": {"a": "x" * 16384},
            "fulfillment": {"type": "webhook", "timeout": "0.5s", "secret": "whsec_x"},
            "colour": "red",
        }
        refused = catalog.api.post(catalog.path, body, 400)
        assert faults(refused) == [
            ("name", "required"),
            ("status", "required"),
            ("fulfillment.url", "required"),
            ("asset_id", "invalid"),
            ("unit_cost", "out_of_range"),
            ("max_total", "out_of_range"),
            ("max_per_participant", "not_allowed"),
            ("category", "too_long"),
            ("available_until", "out_of_range"),
            ("metadata", "too_long"),
            ("fulfillment.timeout", "out_of_range"),
            ("fulfillment.secret", "unknown_field"),
            ("colour", "unknown_field"),
        ]
        assert "whsec_x" not in str(refused)

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("max_total", 2**31, "out_of_range"),
            ("max_total", "3", "invalid"),
            ("max_total", 1.5, "invalid"),
            ("max_total", True, "invalid"),
            ("max_per_participant", -1, "out_of_range"),
            ("unit_cost", 12.5, "invalid"),
            ("unit_cost", "-1", "invalid"),
            ("status", "SOLD", "invalid"),
            ("name", " ", "required"),
            ("description", "d" * 1001, "too_long"),
            ("metadata", [1], "invalid"),
            ("fulfillment", "none", "invalid"),
            ("fulfillment", {}, "required"),
            ("fulfillment", {"type": "email"}, "invalid"),
            ("fulfillment", {"type": "manual", "timeout": "8761h"}, "out_of_range"),
            ("fulfillment", {"type": "manual", "timeout": "soon"}, "invalid"),
            ("redeemed_count", 1, "unknown_field"),
        ],
    )
    def test_bad_values(self, catalog: Catalog, field: str, value: object, reason: str) -> None:
        [(where, found)] = faults(catalog.post(400, **{field: value}))
        assert (where.partition(".")[0], found) == (field, reason)

    def test_the_cost_is_rounded_or_refused(self, catalog: Catalog) -> None:
        assert catalog.post(unit_cost="12.345")["unit_cost"] == "12.35"
        assert faults(catalog.post(400, name="B", unit_cost="0.004")) == [("unit_cost", "out_of_range")]
        assert faults(catalog.post(400, name="B", unit_cost="99999999999999999999.999")) == [("unit_cost", "out_of_range")]
        body = {"name": "B", "redemption_type": "UNIT_BASED", "asset_id": catalog.usd, "unit_cost": "1.001", "status": "DRAFT"}
        strict = catalog.api.post(catalog.path, body, 400, headers={"Prefer": "handling=strict"})
        assert (strict["code"], strict["details"]) == (
            "invalid_scale",
            {"field": "unit_cost", "asset_id": catalog.usd, "scale": 2, "received": "1.001"},
        )

    def test_unknown_program_and_asset(self, catalog: Catalog) -> None:
        body = {"name": "M", "redemption_type": "UNIT_BASED", "asset_id": str(uuid4()), "unit_cost": "1", "status": "DRAFT"}
        gone = catalog.api.post(f"/v1/programs/{uuid4()}/rewards", body, 404)
        assert (gone["details"]["resource"], "field" in gone["details"]) == ("program", False)
        gone = catalog.api.post(catalog.path, body, 404)
        assert (gone["details"]["resource"], gone["details"]["field"]) == ("asset", "asset_id")

    def test_the_order_of_conflicts(self, catalog: Catalog) -> None:
        elsewhere = asset(catalog.api, program(catalog.api))["id"]
        catalog.post()
        assert catalog.post(409, asset_id=elsewhere)["details"] == {"asset_id": elsewhere, "program_id": catalog.program}
        catalog.api.patch(f"/v1/assets/{catalog.usd}", {"status": "ARCHIVED"})
        assert catalog.post(409)["code"] == "asset_archived"
        catalog.api.patch(f"/v1/programs/{catalog.program}", {"status": "ARCHIVED"})
        assert catalog.post(409)["code"] == "program_archived"
        assert catalog.post(409, asset_id=elsewhere)["code"] == "program_archived"

    def test_a_suspended_program_takes_rewards(self, catalog: Catalog) -> None:
        catalog.api.patch(f"/v1/programs/{catalog.program}", {"status": "SUSPENDED"})
        assert catalog.post()["status"] == "ACTIVE"


class TestNames:
    def test_case_and_program_make_a_difference(self, catalog: Catalog, database: Database) -> None:
        catalog.post()
        catalog.post(name="Mug")
        assert make_catalog(catalog.api, database).post()["name"] == "MUG"

    def test_leaving_the_archive_and_renaming(self, catalog: Catalog) -> None:
        old = catalog.post(status="ARCHIVED")["id"]
        catalog.post()
        other = catalog.post(name="CUP")["id"]
        for change in ({"status": "DRAFT"}, {"status": "ACTIVE"}):
            assert catalog.patch(old, 409, **change)["code"] == "name_conflict"
        assert catalog.patch(other, 409, name="MUG")["details"] == {"field": "name", "value": "MUG"}
        assert catalog.patch(old, status="ACTIVE", name="MUG 2")["name"] == "MUG 2"

    def test_one_of_many_at_once(self, catalog: Catalog) -> None:
        body = {"name": "CUP", "redemption_type": "UNIT_BASED", "asset_id": catalog.usd, "unit_cost": "1", "status": "ACTIVE"}
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: catalog.api.http.post(catalog.path, json=body), range(8)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"name_conflict"}


class TestRead:
    def test_lists(self, catalog: Catalog) -> None:
        for name, status in (("Beta", "ACTIVE"), ("alpha_1", "DRAFT"), ("Gamma%", "ARCHIVED"), ("alphax1", "OUT_OF_STOCK")):
            catalog.post(name=name, status=status)
        assert catalog.names() == ["alphax1", "alpha_1", "Beta"]
        assert catalog.names(include_archived="true") == ["alphax1", "Gamma%", "alpha_1", "Beta"]
        assert catalog.names(status="ARCHIVED") == ["Gamma%"]
        assert catalog.names(status="DRAFT", include_archived="true") == ["alpha_1"]
        assert catalog.names(search="ALPHA_") == ["alpha_1"]
        assert catalog.names(search="%") == []
        assert catalog.names(search="%", include_archived="true") == ["Gamma%"]
        assert catalog.names(search="\\") == []
        by_name = catalog.names(sort_by="name", sort_dir="asc", include_archived="true")
        assert catalog.names(sort_by="name", include_archived="true") == by_name[::-1]
        assert sorted(by_name) == sorted(["Beta", "alpha_1", "Gamma%", "alphax1"])

    @pytest.mark.parametrize("sort", ["created_at", "name"])
    @pytest.mark.parametrize("direction", ["asc", "desc"])
    def test_pages(self, catalog: Catalog, sort: str, direction: str) -> None:
        made = [catalog.post(name=f"R{index}")["name"] for index in range(5)]
        query: dict[str, Any] = {"sort_by": sort, "sort_dir": direction, "limit": 2}
        found: list[str] = []
        cursor = None
        while True:
            page = catalog.api.get(catalog.path, **query, **({"cursor": cursor} if cursor else {}))
            found += [row["name"] for row in page["data"]]
            cursor = page["pagination"]["next_cursor"]
            if cursor is None:
                break
        assert found == (made if direction == "asc" else made[::-1])

    def test_another_programs_reward(self, catalog: Catalog, database: Database) -> None:
        made = catalog.post()["id"]
        elsewhere = make_catalog(catalog.api, database)
        for answer in (
            catalog.api.get(elsewhere.at(made), 404),
            catalog.api.patch(elsewhere.at(made), {"name": "x"}, 404),
            catalog.api.get(catalog.at(str(uuid4())), 404),
        ):
            assert answer["details"]["resource"] == "reward"
        assert elsewhere.names() == []

    def test_strangers_see_nothing(self, catalog: Catalog, stranger: Tenant) -> None:
        made = catalog.post()
        own = program(stranger)
        for method, path, body in (
            ("GET", catalog.path, None),
            (
                "POST",
                catalog.path,
                {"name": "x", "redemption_type": "UNIT_BASED", "asset_id": catalog.usd, "unit_cost": "1", "status": "DRAFT"},
            ),
            ("GET", catalog.at(made["id"]), None),
            ("PATCH", catalog.at(made["id"]), {"name": "x"}),
            ("GET", f"/v1/programs/{own}/rewards/{made['id']}", None),
            ("PATCH", f"/v1/programs/{own}/rewards/{made['id']}", {"name": "x"}),
        ):
            assert stranger.call(method, path, 404, json=body)["code"] == "not_found"
        body = {"name": "x", "redemption_type": "UNIT_BASED", "asset_id": catalog.usd, "unit_cost": "1", "status": "DRAFT"}
        assert stranger.post(f"/v1/programs/{own}/rewards", body, 404)["details"]["resource"] == "asset"
        assert stranger.get(f"/v1/programs/{own}/rewards")["data"] == []
        assert catalog.get(made["id"]) == made


class TestUpdate:
    def test_what_is_sent_changes(self, catalog: Catalog) -> None:
        made = catalog.post(description="d", metadata={"a": 1})
        wanted = {
            "name": "CUP",
            "description": "e",
            "category": "c",
            "unit_cost": "15.00",
            "max_total": 5,
            "max_per_participant": 2,
            "status": "DRAFT",
            "available_from": "2026-01-01T00:00:00.000000Z",
            "available_until": "2026-02-01T00:00:00.000000Z",
            "metadata": {"b": "2"},
            "fulfillment": {"type": "manual", "url": None, "timeout": "24h"},
        }
        changed = catalog.patch(made["id"], **wanted)
        assert changed == made | wanted | {"updated_at": changed["updated_at"]}
        assert changed["updated_at"] > made["updated_at"]
        assert catalog.get(made["id"]) == changed

    def test_null_clears(self, catalog: Catalog) -> None:
        cleared = {
            "description": "d",
            "category": "c",
            "max_total": 5,
            "max_per_participant": 2,
            "available_from": "2026-01-01T00:00:00Z",
            "available_until": "2026-02-01T00:00:00Z",
        }
        made = catalog.post(**cleared, fulfillment={"type": "manual", "timeout": "24h"})
        changed = catalog.patch(made["id"], **dict.fromkeys([*cleared, "fulfillment"]))
        assert [changed[name] for name in cleared] == [None] * 6
        assert changed["fulfillment"] == {"type": "none", "url": None, "timeout": None}

    @pytest.mark.parametrize("field", ["name", "unit_cost", "status", "metadata"])
    def test_null_is_refused_elsewhere(self, catalog: Catalog, field: str) -> None:
        assert faults(catalog.patch(catalog.post()["id"], 400, **{field: None})) == [(field, "required")]

    def test_what_changes_nothing(self, catalog: Catalog) -> None:
        made = catalog.post(metadata={"a": 1.5}, max_total=3)
        assert catalog.patch(made["id"]) == made
        assert catalog.patch(made["id"], name="MUG", metadata={"a": 1.5}, max_total=3, unit_cost="12.5", status="ACTIVE") == made

    def test_fixed_fields(self, catalog: Catalog) -> None:
        made = catalog.post()["id"]
        refused = catalog.patch(made, 400, redemption_type="UNIT_BASED", asset_id=catalog.usd)
        assert faults(refused) == [("redemption_type", "not_allowed"), ("asset_id", "not_allowed")]
        assert faults(catalog.patch(made, 400, asset_id=None)) == [("asset_id", "not_allowed")]

    def test_what_the_stored_reward_tells(self, catalog: Catalog) -> None:
        donation = catalog.donation(available_from="2026-02-01T00:00:00Z")["id"]
        refused = catalog.patch(donation, 400, max_total=3, max_per_participant=1, available_until="2026-01-01T00:00:00Z")
        assert faults(refused) == [
            ("max_total", "not_allowed"),
            ("max_per_participant", "not_allowed"),
            ("available_until", "out_of_range"),
        ]
        assert catalog.patch(donation, max_total=None)["max_total"] is None
        window = {"available_from": None, "available_until": "2026-01-01T00:00:00Z"}
        assert catalog.patch(donation, **window)["available_from"] is None
        assert faults(catalog.patch(donation, 400, available_from="2026-01-01T00:00:00Z")) == [("available_from", "out_of_range")]
        assert faults(catalog.patch(donation, 400, unit_cost="0.001")) == [("unit_cost", "out_of_range")]

    def test_an_archived_program(self, catalog: Catalog) -> None:
        made = catalog.post()
        catalog.api.patch(f"/v1/programs/{catalog.program}", {"status": "ARCHIVED"})
        assert catalog.patch(made["id"], 409, name="x")["code"] == "program_archived"
        assert catalog.get(made["id"]) == made

    def test_an_archived_asset_does_not_matter(self, catalog: Catalog) -> None:
        made = catalog.post()["id"]
        catalog.api.patch(f"/v1/assets/{catalog.usd}", {"status": "ARCHIVED"})
        assert catalog.patch(made, status="ARCHIVED")["status"] == "ARCHIVED"


class TestStock:
    def test_sold_out_and_back(self, catalog: Catalog) -> None:
        mug, ann, bob = catalog.post(max_total=3)["id"], catalog.new_participant(), catalog.new_participant()
        catalog.take(mug, ann, 2)
        with pytest.raises(OutOfStock):
            catalog.take(mug, bob, 2)
        catalog.take(mug, bob, 1)
        assert (catalog.get(mug)["status"], catalog.get(mug)["redeemed_count"]) == ("OUT_OF_STOCK", 3)
        assert catalog.patch(mug, status="ACTIVE")["status"] == "OUT_OF_STOCK"
        catalog.take(mug, ann, -1)
        assert (catalog.get(mug)["status"], catalog.get(mug)["redeemed_count"]) == ("ACTIVE", 2)
        assert catalog.patch(mug, max_total=1)["status"] == "OUT_OF_STOCK"
        catalog.take(mug, ann, -1)
        assert catalog.get(mug)["status"] == "OUT_OF_STOCK"
        assert catalog.patch(mug, max_total=2)["status"] == "ACTIVE"

    def test_what_a_client_set_by_hand_stays(self, catalog: Catalog) -> None:
        mug, ann = catalog.post(max_total=2)["id"], catalog.new_participant()
        catalog.take(mug, ann, 2)
        assert catalog.patch(mug, status="OUT_OF_STOCK")["status"] == "OUT_OF_STOCK"
        catalog.take(mug, ann, -1)
        assert catalog.patch(mug, max_total=None)["status"] == "OUT_OF_STOCK"
        assert catalog.patch(mug, status="ACTIVE")["status"] == "ACTIVE"

    def test_twenty_at_once_take_three(self, catalog: Catalog, database: Database) -> None:
        mug = catalog.post(max_total=3)["id"]
        people = [catalog.new_participant() for _ in range(20)]

        def try_one(who: str) -> bool:
            try:
                catalog.take(mug, who, 1)
            except OutOfStock:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(try_one, people)) == 3
        found = catalog.get(mug)
        assert (found["redeemed_count"], found["status"]) == (3, "OUT_OF_STOCK")
        with database.connection() as conn:
            units: Any = conn.execute("SELECT sum(units), count(*) FROM reward_units WHERE reward_id = %s", [mug]).fetchone()
        assert tuple(map(int, units)) == (3, 3)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE rewards SET redeemed_count = 4 WHERE id = %s",
            "UPDATE rewards SET redeemed_count = 3 WHERE id = %s",
            "UPDATE rewards SET redeemed_count = -1 WHERE id = %s",
            "UPDATE rewards SET is_sold_out = true WHERE id = %s",
            "UPDATE rewards SET redemption_type = 'AMOUNT_BASED' WHERE id = %s",
            "UPDATE rewards SET fulfillment_type = 'webhook' WHERE id = %s",
            "UPDATE reward_units SET units = -1 WHERE reward_id = %s",
        ],
    )
    def test_the_database_refuses_what_cannot_be(self, catalog: Catalog, database: Database, statement: str) -> None:
        mug = catalog.post(max_total=3)["id"]
        catalog.take(mug, catalog.new_participant(), 1)
        with pytest.raises(psycopg.errors.CheckViolation), database.connection() as conn:
            conn.execute(statement, [mug])


class TestInUse:
    def test_an_asset_that_a_reward_costs_stays_linked(self, catalog: Catalog) -> None:
        link = f"/v1/programs/{catalog.program}/assets/{catalog.usd}"
        reward = catalog.post(status="DRAFT")["id"]
        refused = catalog.api.call("DELETE", link, 409)
        assert (refused["code"], refused["details"]) == ("invalid_state", {"reason": "in_use"})
        catalog.patch(reward, status="ARCHIVED")
        catalog.api.call("DELETE", link, 204)

    def test_elsewhere_it_does_not_matter(self, catalog: Catalog) -> None:
        other = program(catalog.api)
        catalog.api.post(f"/v1/programs/{other}/assets", {"asset_id": catalog.usd}, 201)
        catalog.post()
        catalog.api.call("DELETE", f"/v1/programs/{other}/assets/{catalog.usd}", 204)
