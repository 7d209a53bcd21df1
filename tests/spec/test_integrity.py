"""reporting.md 7 and ledger.md, Hash chain, over HTTP against the running product."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from tests.support.client import Tenant
from tests.support.stack import Stack, poll
from tests.support.till import Till

HASHED = (
    "id",
    "program_id",
    "action_type",
    "description",
    "event_id",
    "rule_id",
    "created_by_api_key_id",
    "reference_id",
    "created_at",
)
HASHED_POSTING = ("id", "entity_type", "entity_id", "asset_id", "bucket", "amount")


@pytest.fixture
def till(tenant: Tenant) -> Till:
    """History H of the examples: ann 390, bob 120, by eight entries."""
    made = Till(tenant)
    ann, bob = made.participant, made.new_participant()
    made.credit("MILES", "500")
    made.participant = bob
    made.credit("MILES", "150")
    made.credit("MILES", "50", expires_at="1s")
    poll(lambda: made.available("MILES") == "150")
    made.participant = ann
    made.reverse(made.redeem("120", "MILES"), "20")
    made.participant = bob
    made.act("forfeit", "MILES", amount="30", bucket="AVAILABLE")
    made.participant = ann
    made.debit("MILES", "10")
    return made


def sealed(till: Till, count: int) -> dict[str, Any]:
    """The report, when so many entries are sealed."""

    def look() -> dict[str, Any] | None:
        report = till.api.get("/v1/reports/integrity")
        return report if report["checks"]["hash_chain"]["entries_verified"] >= count else None

    return poll(look)


@pytest.mark.example("reporting.md", "11")
def test_11_integrity(till: Till, stack: Stack) -> None:
    report = sealed(till, 8)
    assert report["all_passed"] is True
    assert report["organization_id"] == str(till.api.organization_id)
    assert report["checks"]["hash_chain"] == {
        "pass": True,
        "violation_count": 0,
        "entries_verified": 8,
        "anchored_at_genesis": True,
    }
    [last] = [entry for entry in till.api.get("/v1/journal-entries")["data"] if entry["sequence_number"] == 8]
    assert report["chain_head"] == {"hash": last["entry_hash"], "sequence_number": 8, "created_at": last["created_at"]}
    verify(till)
    with altered(stack, last["id"], last["postings"][0]["id"]):
        report = till.api.get("/v1/reports/integrity")
    assert report["all_passed"] is False
    assert (report["checks"]["hash_chain"]["pass"], report["checks"]["hash_chain"]["violation_count"]) == (False, 1)
    assert till.api.get("/v1/reports/integrity")["all_passed"] is True


@contextmanager
def altered(stack: Stack, entry_id: str, posting_id: str) -> Iterator[None]:
    """A posting that somebody has changed in the database."""
    statement = "UPDATE postings SET amount = amount + %s WHERE id = %s AND entry_id = %s"
    with psycopg.connect(stack.settings.require_database_url(), autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(statement, [-1, posting_id, entry_id])
        try:
            yield
        finally:
            owner.execute(statement, [1, posting_id, entry_id])


def verify(till: Till) -> None:
    """The chain, by nothing but what the API shows."""
    entries = sorted(till.api.get("/v1/journal-entries")["data"], key=lambda entry: entry["sequence_number"])
    assert [entry["sequence_number"] for entry in entries] == list(range(1, 9))
    previous = "0" * 64
    for entry in entries:
        assert entry["previous_hash"] == previous
        content = {name: entry[name] for name in HASHED} | {"v": 1, "organization_id": str(till.api.organization_id)}
        content |= {"sequence_number": entry["sequence_number"], "previous_hash": previous}
        lines = [{name: posting[name] for name in HASHED_POSTING} for posting in entry["postings"]]
        content["postings"] = sorted(lines, key=lambda line: line["id"])
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        previous = sha256(text.encode()).hexdigest()
        assert entry["entry_hash"] == previous
    assert entries == [till.api.get(f"/v1/journal-entries/{entry['id']}") for entry in entries]
