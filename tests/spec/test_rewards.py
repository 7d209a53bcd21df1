"""redemptions-rewards.md, acceptance examples of the catalog. What redemptions do to stock is done by the same domain here."""

from typing import Any

import pytest

from db.session import Database
from tests.api.helpers import faults
from tests.support.catalog import Catalog, make_catalog
from tests.support.client import Tenant


@pytest.fixture
def catalog(api: Tenant, database: Database) -> Catalog:
    return make_catalog(api, database)


@pytest.mark.example("redemptions-rewards.md", "6.2 6")
def test_rewards_06_amounts_have_no_stock(catalog: Catalog) -> None:
    made = catalog.donation()
    assert (made["unit_cost"], made["max_total"], made["redeemed_count"]) == ("5.00", None, 0)
    refused = catalog.donation(400, name="OTHER", max_total=10)
    assert faults(refused) == [("max_total", "not_allowed")]
    assert catalog.names() == ["DONATION"]


@pytest.mark.example("redemptions-rewards.md", "6.2 7")
def test_rewards_07_names_are_unique_among_the_open_ones(catalog: Catalog) -> None:
    first = catalog.post()
    refused = catalog.post(409)
    assert (refused["code"], refused["details"]) == ("name_conflict", {"field": "name", "value": "MUG"})
    catalog.patch(first["id"], status="ARCHIVED")
    second = catalog.post()
    assert catalog.get(first["id"])["name"] == second["name"] == "MUG"


@pytest.mark.example("redemptions-rewards.md", "6.2 8")
def test_rewards_08_the_status_follows_the_stock(catalog: Catalog) -> None:
    mug = catalog.post(max_total=3, max_per_participant=2)["id"]
    catalog.take(mug, catalog.new_participant(), 2)
    assert catalog.get(mug)["redeemed_count"] == 2
    assert catalog.patch(mug, max_total=2)["status"] == "OUT_OF_STOCK"
    assert catalog.patch(mug, max_total=None)["status"] == "ACTIVE"


BAD_FULFILLMENTS: list[tuple[dict[str, Any], tuple[str, str], str | None]] = [
    ({"type": "webhook"}, ("fulfillment.url", "required"), "https URL"),
    ({"type": "webhook", "url": "http://example.com/x"}, ("fulfillment.url", "invalid"), "https URL"),
    ({"type": "manual", "url": "https://example.com/x"}, ("fulfillment.url", "not_allowed"), None),
    ({"type": "none", "timeout": "1h"}, ("fulfillment.timeout", "not_allowed"), None),
]


@pytest.mark.example("redemptions-rewards.md", "6.3 6")
@pytest.mark.parametrize(("setting", "fault", "expected"), BAD_FULFILLMENTS)
def test_fulfilment_06_bad_settings(
    catalog: Catalog, setting: dict[str, Any], fault: tuple[str, str], expected: str | None
) -> None:
    refused = catalog.post(400, fulfillment=setting)
    assert faults(refused) == [fault]
    assert refused["details"]["expected"] == expected
    made = catalog.post()
    assert faults(catalog.patch(made["id"], 400, fulfillment=setting)) == [fault]
    assert catalog.get(made["id"]) == made
