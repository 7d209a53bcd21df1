"""Tiers over HTTP (tiers.md 1, 2)."""

import json
from typing import Any

import pytest

from tests.api.helpers import faults, program, rows
from tests.support.client import Tenant

POINTS = {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": 100}]}
LEVELS = [
    {"key": "bronze", "rank": 1, "qualification": POINTS},
    {"key": "silver", "rank": 2},
    {"key": "gold", "rank": 3, "display_name": "Gold", "color": "#FFD700", "benefits": {"multiplier": 1.50, "free": True}},
]
YEARS = {"retention": {"mode": "PERIOD_BASED"}, "qualification_period": {"type": "CALENDAR_YEAR"}}


def create(api: Tenant, program_id: str, status: int = 201, **fields: Any) -> Any:
    return api.post(f"/v1/programs/{program_id}/tiers", {"key": "club", "levels": LEVELS} | fields, status)


def patch(api: Tenant, program_id: str, body: dict[str, Any], status: int = 200) -> Any:
    return api.call("PATCH", f"/v1/programs/{program_id}/tiers/club", status, json=body)


class TestCreate:
    def test_answers_with_all_fields_and_defaults(self, api: Tenant) -> None:
        program_id = program(api)
        made = create(api, program_id, lifecycle=YEARS, levels=LEVELS[::-1])
        assert [(level["key"], level["rank"]) for level in made["levels"]] == [("bronze", 1), ("silver", 2), ("gold", 3)]
        assert made["levels"][0]["qualification"] == POINTS
        assert made["levels"][2]["benefits"] == {"multiplier": 1.5, "free": True}
        assert made["lifecycle"] == {
            "retention": {"mode": "PERIOD_BASED", "duration": None},
            "qualification_period": {"type": "CALENDAR_YEAR", "start_month": None, "start_day": None},
            "status_validity": {"extend_months": 0},
            "downgrade_policy": {"mode": "DROP_TO_QUALIFYING", "grace_days": 0, "min_level": None},
            "counters": None,
            "timezone": "UTC",
        }
        assert "archived_at" not in made
        assert api.get(f"/v1/programs/{program_id}/tiers/club") == made

    @pytest.mark.parametrize("lifecycle", [{}, None])
    def test_no_lifecycle(self, api: Tenant, lifecycle: object) -> None:
        assert create(api, program(api), lifecycle=lifecycle)["lifecycle"] is None

    def test_thresholds_are_numbers_or_texts(self, api: Tenant) -> None:
        criteria = [
            {"counter": "a", "operator": "<", "threshold": threshold}
            for threshold in ("-10.50", 1e3, 0.1, "0.0000000000000000005")
        ]
        made = create(api, program(api), levels=[{"key": "a", "rank": 1, "qualification": {"mode": "ANY", "criteria": criteria}}])
        answered = [item["threshold"] for item in made["levels"][0]["qualification"]["criteria"]]
        assert answered == [-10.5, 1000, 0.1, 1e-18]

    @pytest.mark.parametrize(
        ("fields", "field", "reason"),
        [
            ({"key": "Club"}, "key", "invalid"),
            ({"key": "a" * 101}, "key", "too_long"),
            ({"levels": []}, "levels", "too_short"),
            ({"levels": [{"key": f"l{n}", "rank": n} for n in range(1, 52)]}, "levels", "too_long"),
            ({"levels": [{"key": "a", "rank": 1}, {"key": "b", "rank": 1}]}, "levels[1].rank", "duplicate"),
            ({"levels": [{"key": "a", "rank": 1}, {"key": "a", "rank": 2}]}, "levels[1].key", "duplicate"),
            ({"levels": [{"key": "a"}]}, "levels[0].rank", "required"),
            ({"levels": [{"key": "a", "rank": 0}]}, "levels[0].rank", "out_of_range"),
            ({"levels": [{"key": "a", "rank": 1, "color": "gold"}]}, "levels[0].color", "invalid"),
            ({"levels": [{"key": "a", "rank": 1, "icon_url": "ftp://x/y"}]}, "levels[0].icon_url", "invalid"),
            ({"levels": [{"key": "a", "rank": 1, "benefits": {"x": "y" * 17000}}]}, "levels[0].benefits", "too_long"),
            ({"levels": [{"key": "a", "rank": 1, "shape": 1}]}, "levels[0].shape", "unknown_field"),
        ],
    )
    def test_bad_form(self, api: Tenant, fields: dict[str, Any], field: str, reason: str) -> None:
        assert faults(create(api, program(api), 400, **fields)) == [(field, reason)]

    @pytest.mark.parametrize(
        ("qualification", "field", "reason"),
        [
            ({"mode": "ALL"}, "criteria", "required"),
            ({"criteria": POINTS["criteria"]}, "mode", "required"),
            ({"mode": "ALL", "criteria": []}, "criteria", "too_short"),
            ({"mode": "ALL", "criteria": POINTS["criteria"] * 21}, "criteria", "too_long"),  # type: ignore[operator]
            ({"mode": "SOME", "criteria": POINTS["criteria"]}, "mode", "invalid"),
            ({"mode": "ALL", "criteria": [{"counter": "a", "operator": "=", "threshold": 1}]}, "criteria[0].operator", "invalid"),
            (
                {"mode": "ALL", "criteria": [{"counter": "a", "operator": "<", "threshold": "1e3"}]},
                "criteria[0].threshold",
                "invalid",
            ),
            (
                {"mode": "ALL", "criteria": [{"counter": "a", "operator": "<", "threshold": True}]},
                "criteria[0].threshold",
                "invalid",
            ),
            (
                {"mode": "ALL", "criteria": [{"counter": "a", "operator": "<", "threshold": 1e20}]},
                "criteria[0].threshold",
                "out_of_range",
            ),
            (
                {"mode": "ALL", "criteria": [{"counter": "a", "operator": "<", "threshold": -1e70}]},
                "criteria[0].threshold",
                "out_of_range",
            ),
            (
                {"mode": "ALL", "criteria": [{"counter": "a/b", "operator": "<", "threshold": 1}]},
                "criteria[0].counter",
                "invalid",
            ),
        ],
    )
    def test_bad_qualification(self, api: Tenant, qualification: dict[str, Any], field: str, reason: str) -> None:
        refused = create(api, program(api), 400, levels=[{"key": "a", "rank": 1, "qualification": qualification}])
        assert faults(refused) == [(f"levels[0].qualification.{field}", reason)]

    @pytest.mark.parametrize(
        ("lifecycle", "field", "reason"),
        [
            ({"timezone": "UTC"}, "retention", "required"),
            ({"retention": {"mode": "PERIOD_BASED"}}, "qualification_period.type", "required"),
            ({"retention": {"mode": "PERIOD_BASED"}, "qualification_period": {}}, "qualification_period.type", "required"),
            ({"retention": {"mode": "ACTIVITY_REFRESH"}}, "retention.duration", "required"),
            ({"retention": {"mode": "ACTIVITY_REFRESH", "duration": "59s"}}, "retention.duration", "out_of_range"),
            (YEARS | {"retention": {"mode": "PERIOD_BASED", "duration": "24h"}}, "retention.duration", "not_allowed"),
            (
                YEARS | {"retention": {"mode": "ACTIVITY_REFRESH", "duration": "24h"}},
                "qualification_period.type",
                "not_allowed",
            ),
            (
                {"retention": {"mode": "ACTIVITY_REFRESH", "duration": "24h"}, "status_validity": {"extend_months": 1}},
                "status_validity.extend_months",
                "not_allowed",
            ),
            (
                YEARS | {"qualification_period": {"type": "CALENDAR_YEAR", "start_day": 1}},
                "qualification_period.start_day",
                "not_allowed",
            ),
            (
                YEARS | {"qualification_period": {"type": "FIXED_YEAR", "start_month": 2, "start_day": 29}},
                "qualification_period.start_day",
                "out_of_range",
            ),
            (YEARS | {"status_validity": {"extend_months": 121}}, "status_validity.extend_months", "out_of_range"),
            (YEARS | {"downgrade_policy": {"grace_days": -1}}, "downgrade_policy.grace_days", "out_of_range"),
            (YEARS | {"downgrade_policy": {"min_level": "x"}}, "downgrade_policy.min_level", "invalid"),
            (YEARS | {"counters": {}}, "counters.qualifying", "required"),
            (YEARS | {"counters": {"qualifying": []}}, "counters.qualifying", "too_short"),
            (YEARS | {"counters": {"qualifying": ["a", "a"]}}, "counters.qualifying[1]", "duplicate"),
            (YEARS | {"timezone": "Mars/Base"}, "timezone", "invalid"),
        ],
    )
    def test_bad_lifecycle(self, api: Tenant, lifecycle: dict[str, Any], field: str, reason: str) -> None:
        assert faults(create(api, program(api), 400, lifecycle=lifecycle)) == [(f"lifecycle.{field}", reason)]

    def test_keys_are_unique_in_the_program_and_stay_taken(self, api: Tenant) -> None:
        program_id = program(api)
        create(api, program_id)
        api.post(f"/v1/programs/{program_id}/tiers/club/archive", None, 200)
        refused = create(api, program_id, 409)
        assert (refused["code"], refused["details"]) == ("name_conflict", {"field": "key", "value": "club"})
        create(api, program(api))

    def test_program_must_be_there_and_open(self, api: Tenant, stranger: Tenant) -> None:
        program_id = program(api)
        assert create(stranger, program_id, 404)["details"]["resource"] == "program"
        api.call("PATCH", f"/v1/programs/{program_id}", 200, json={"status": "ARCHIVED"})
        assert create(api, program_id, 409)["code"] == "program_archived"


class TestRead:
    def test_list_leaves_archived_ones_out(self, api: Tenant, stranger: Tenant) -> None:
        program_id = program(api)
        for key in ("one", "two", "three"):
            create(api, program_id, key=key)
        path = f"/v1/programs/{program_id}/tiers"
        api.post(f"{path}/two/archive", None, 200)
        assert [row["key"] for row in rows(api, path)] == ["three", "one"]
        assert [row["key"] for row in rows(api, path, include_archived="true")] == ["three", "two", "one"]
        assert [row["key"] for row in rows(api, path, status="ARCHIVED")] == ["two"]
        first = api.get(path, limit=1)
        assert [row["key"] for row in rows(api, path, cursor=first["pagination"]["next_cursor"], limit="1")] == ["one"]
        stranger.call("GET", path, 404)

    def test_unknown_key(self, api: Tenant, stranger: Tenant) -> None:
        program_id = program(api)
        create(api, program_id)
        assert api.call("GET", f"/v1/programs/{program_id}/tiers/nope", 404)["details"]["resource"] == "tier"
        stranger.call("GET", f"/v1/programs/{program_id}/tiers/club", 404)
        api.call("GET", f"/v1/programs/{program(api)}/tiers/club", 404)


class TestUpdate:
    def test_levels_are_merged_by_key(self, api: Tenant) -> None:
        program_id = program(api)
        made = create(api, program_id)
        changed = patch(api, program_id, {"levels": [{"key": "gold", "color": None}, {"key": "platinum", "rank": 9}]})
        assert [level["key"] for level in changed["levels"]] == ["bronze", "silver", "gold", "platinum"]
        gold = changed["levels"][2]
        assert gold == made["levels"][2] | {"color": None, "updated_at": gold["updated_at"]}
        assert changed["levels"][:2] == made["levels"][:2]

    def test_benefits_that_only_compare_equal_are_stored(self, api: Tenant) -> None:
        program_id = program(api)
        create(api, program_id)
        seen = [""]
        for benefits in ({"tax": 1, "free": [True]}, {"tax": True, "free": [True]}, {"tax": True, "free": [1]}):
            patch(api, program_id, {"levels": [{"key": "gold", "benefits": benefits}]})
            tier = api.get(f"/v1/programs/{program_id}/tiers/club")
            gold = tier["levels"][2]
            assert json.dumps(gold["benefits"]) == json.dumps(benefits)
            assert tier["updated_at"] == gold["updated_at"] > seen[-1]
            seen.append(tier["updated_at"])
        assert patch(api, program_id, {"levels": [{"key": "gold", "benefits": {"tax": True, "free": [1]}}]}) == tier

    def test_ranks_may_swap_and_not_collide(self, api: Tenant) -> None:
        program_id = program(api)
        made = create(api, program_id)
        refused = patch(api, program_id, {"levels": [{"key": "bronze", "rank": 2}]}, 409)
        assert (refused["code"], refused["details"]["rank"]) == ("level_conflict", 2)
        assert api.get(f"/v1/programs/{program_id}/tiers/club") == made
        swapped = patch(api, program_id, {"levels": [{"key": "bronze", "rank": 2}, {"key": "silver", "rank": 1}]})
        assert [level["key"] for level in swapped["levels"]] == ["silver", "bronze", "gold"]

    def test_objects_are_left_cleared_or_replaced(self, api: Tenant) -> None:
        program_id = program(api)
        made = create(api, program_id, lifecycle=YEARS)
        same = patch(api, program_id, {"lifecycle": None, "levels": [{"key": "bronze", "qualification": None}]})
        assert same == made
        cleared = patch(api, program_id, {"lifecycle": {}, "levels": [{"key": "bronze", "qualification": {}}]})
        assert (cleared["lifecycle"], cleared["levels"][0]["qualification"]) == (None, None)
        activity = {"retention": {"mode": "ACTIVITY_REFRESH", "duration": "720h"}, "downgrade_policy": {"min_level": "new"}}
        replaced = patch(api, program_id, {"lifecycle": activity, "levels": [{"key": "new", "rank": 7}]})
        assert replaced["lifecycle"]["retention"] == activity["retention"]
        assert replaced["lifecycle"]["qualification_period"]["type"] == "NONE"

    def test_nothing_sent_changes_nothing(self, api: Tenant) -> None:
        program_id = program(api)
        assert create(api, program_id, display_name="The Club") == patch(api, program_id, {})
        assert patch(api, program_id, {"display_name": None})["display_name"] is None

    @pytest.mark.parametrize(
        ("body", "field", "reason"),
        [
            ({"levels": [{"key": "new"}]}, "levels[0].rank", "required"),
            ({"levels": [{"key": "bronze", "rank": None}]}, "levels[0].rank", "required"),
            ({"levels": [{"rank": 5}]}, "levels[0].key", "required"),
            ({"levels": [{"key": "gold"}, {"key": "gold"}]}, "levels[1].key", "duplicate"),
            ({"levels": [{"key": f"l{n}", "rank": n} for n in range(10, 58)]}, "levels", "too_long"),
            ({"levels": []}, "levels", "too_short"),
            ({"levels": None}, "levels", "required"),
            ({"lifecycle": YEARS | {"downgrade_policy": {"min_level": "x"}}}, "lifecycle.downgrade_policy.min_level", "invalid"),
            ({"key": "other"}, "key", "unknown_field"),
        ],
    )
    def test_bad_input(self, api: Tenant, body: dict[str, Any], field: str, reason: str) -> None:
        program_id = program(api)
        made = create(api, program_id)
        assert faults(patch(api, program_id, body, 400)) == [(field, reason)]
        assert api.get(f"/v1/programs/{program_id}/tiers/club") == made

    def test_refused_when_archived(self, api: Tenant, stranger: Tenant) -> None:
        program_id = program(api)
        create(api, program_id)
        patch(stranger, program_id, {}, 404)
        api.call("PATCH", f"/v1/programs/{program_id}", 200, json={"status": "ARCHIVED"})
        assert patch(api, program_id, {}, 409)["code"] == "program_archived"
        api.call("PATCH", f"/v1/programs/{program_id}", 200, json={"status": "SUSPENDED"})
        path = f"/v1/programs/{program_id}/tiers/club"
        archived = api.post(f"{path}/archive", None, 200)
        assert (archived["status"], archived["archived_at"]) == ("ARCHIVED", archived["updated_at"])
        assert patch(api, program_id, {"display_name": "x"}, 409)["code"] == "tier_archived"
        assert api.post(f"{path}/archive", None, 409)["details"] == {"tier_key": "club"}
        stranger.post(f"{path}/archive", None, 404)
