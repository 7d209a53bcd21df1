"""reporting.md 1: the journal over the API."""

import itertools
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from db.repositories import journal
from tests.api.routes.money import Money
from tests.support.client import Tenant


@pytest.fixture
def money(api: Tenant) -> Money:
    return Money(api)


def test_an_entry_is_shown_whole(money: Money) -> None:
    done = money.credit("USD", "10.00", reference_id="r-1", description="Goodwill")
    entry = money.api.get(f"/v1/journal-entries/{done['journal_entry_id']}")
    assert {name: entry[name] for name in ("action_type", "program_id", "program_name", "description", "reference_id")} == {
        "action_type": "CREDIT",
        "program_id": money.program,
        "program_name": "Shop",
        "description": "Goodwill",
        "reference_id": "r-1",
    }
    assert (entry["event_id"], entry["rule_id"], entry["sequence_number"]) == (None, None, None)
    assert entry["created_by_api_key_id"] is not None
    issuance, participant = entry["postings"]
    assert (issuance["amount"], issuance["entity_id"], issuance["asset_symbol"]) == ("-10.00", None, "USD")
    assert (participant["participant_id"], participant["group_id"], participant["program_id"]) == (money.participant, None, None)
    assert money.api.get("/v1/journal-entries")["data"] == [entry]


def test_unknown_and_foreign_entries(money: Money, stranger: Tenant) -> None:
    done = money.credit("USD", "1")
    for tenant, id_ in ((money.api, uuid4()), (stranger, done["journal_entry_id"])):
        assert tenant.get(f"/v1/journal-entries/{id_}", 404)["details"]["resource"] == "journal_entry"
    assert stranger.get("/v1/journal-entries")["data"] == []


def test_filters(money: Money) -> None:
    other = Money(money.api, assets=money.assets)
    other.program = money.program
    credit = money.credit("USD", "10", reference_id="a")["journal_entry_id"]
    hold = money.hold("USD", "4", reference_id="b")["journal_entry_id"]
    miles = money.credit("MILES", "10")["journal_entry_id"]
    theirs = other.credit("USD", "20")["journal_entry_id"]
    every = [theirs, miles, hold, credit]

    def found(**query: str) -> list[str]:
        return [entry["id"] for entry in money.api.get("/v1/journal-entries", **query)["data"]]

    assert found() == every
    assert found(program_id=money.program) == every
    assert found(participant_id=money.participant) == [miles, hold, credit]
    assert found(participant_id=money.participant, action_type="CREDIT") == [miles, credit]
    assert found(asset_id=money.asset("MILES")) == [miles]
    assert found(reference_id="b") == [hold]
    assert found(bucket="HELD") == [hold]
    assert found(participant_id=money.participant, bucket="HELD") == [hold]
    assert found(program_id=money.program, min_amount="11") == [theirs]
    assert found(participant_id=money.participant, max_amount="-4", min_amount="-4") == [hold]
    # the amount must be met by a posting of the very asset, bucket and holder
    assert found(participant_id=money.participant, asset_id=money.asset("USD"), bucket="AVAILABLE", max_amount="-1") == [hold]
    assert found(group_id=money.participant) == []
    assert found(external_id="nobody") == []
    assert found(rule_id=str(uuid4())) == []
    external_id = money.api.get(f"/v1/participants/{other.participant}")["external_id"]
    assert found(external_id=external_id) == [theirs]
    at = money.api.get(f"/v1/journal-entries/{hold}")["created_at"]
    assert found(**{"from": at}) == [theirs, miles, hold]
    assert found(to=at, participant_id=money.participant) == [hold, credit]


@pytest.mark.parametrize("holder", [True, False])
def test_pages(money: Money, holder: bool) -> None:
    for number in range(1, 8):
        money.credit("USD", str(number))
        money.hold("USD", "1")
    query = {"participant_id": money.participant} if holder else {}
    seen, cursor = [], None
    while True:
        page = money.api.get("/v1/journal-entries", limit=4, **query, **({"cursor": cursor} if cursor else {}))
        seen += [entry["id"] for entry in page["data"]]
        money.credit("USD", "1")
        cursor = page["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 14


@pytest.mark.parametrize("merged", [journal.MOST_MERGED, 1])
def test_an_asset_of_several_programs(money: Money, merged: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the programs' entries are put together, what is asked of an asset and amounts is what all entries say."""
    monkeypatch.setattr(journal, "MOST_MERGED", merged)
    draw, asset = Random(7), money.asset("USD")
    programs = [money.program] + [money.api.post("/v1/programs", {"name": f"P{number}"}, 201)["id"] for number in range(2)]
    for program in programs[1:]:
        money.api.post(f"/v1/programs/{program}/assets", {"asset_id": asset}, 201)
    for _ in range(30):
        money.program = draw.choice(programs)
        money.credit(draw.choice(["USD", "USD", "MILES"]) if money.program == programs[0] else "USD", str(draw.randint(1, 9)))
    every = money.api.get("/v1/journal-entries", limit=100)["data"]
    assert len(every) == 30
    middle = every[15]["created_at"]
    bounds = [{}, {"min_amount": "5"}, {"max_amount": "-7"}, {"min_amount": "3", "max_amount": "4"}, {"bucket": "AVAILABLE"}]
    for asked in itertools.product(bounds, [{}, {"from": middle}, {"to": middle}], [{}, {"program_id": programs[0]}]):
        query = {name: value for part in asked for name, value in part.items()}
        expected = [entry["id"] for entry in every if is_wanted(entry, asset, query)]
        assert pages(money, asset_id=asset, **query) == expected


def is_wanted(entry: dict[str, Any], asset: str, query: dict[str, str]) -> bool:
    low, high = Decimal(query.get("min_amount", "-1000")), Decimal(query.get("max_amount", "1000"))
    return (
        query.get("from", "") <= entry["created_at"] <= query.get("to", "9999")
        and query.get("program_id", entry["program_id"]) == entry["program_id"]
        and any(posting["asset_id"] == asset and low <= Decimal(posting["amount"]) <= high for posting in entry["postings"])
    )


def pages(money: Money, **query: str) -> list[str]:
    found: list[str] = []
    page: dict[str, Any] = {"pagination": {"next_cursor": ""}}
    while (cursor := page["pagination"]["next_cursor"]) is not None:
        page = money.api.get("/v1/journal-entries", limit=3, **query, **({"cursor": cursor} if cursor else {}))
        found += [entry["id"] for entry in page["data"]]
    return found


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ({"participant_id": str(uuid4()), "external_id": "x"}, "external_id", "not_allowed"),
        ({"min_amount": "1"}, "asset_id", "required"),
        ({"min_amount": "1", "from": "2026-01-01T00:00:00Z", "to": "2026-02-02T00:00:00Z"}, "asset_id", "required"),
        ({"min_amount": "2", "max_amount": "1", "event_id": str(uuid4())}, "max_amount", "invalid"),
        ({"action_type": "credit"}, "action_type", "invalid"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to", "invalid"),
    ],
)
def test_refused_queries(money: Money, query: dict, field: str, reason: str) -> None:
    body = money.api.get("/v1/journal-entries", 400, **query)
    assert (body["details"]["field"], body["details"]["reason"]) == (field, reason)


def test_unknown_program_and_asset(money: Money) -> None:
    for field in ("program_id", "asset_id"):
        assert money.api.get("/v1/journal-entries", 404, **{field: str(uuid4())})["details"]["field"] == field
