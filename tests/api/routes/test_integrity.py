"""reporting.md 7 over the API: what each check of the report sees, and what it covers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from db.session import Database
from tests.api.routes.money import Money
from tests.support.client import Tenant
from tests.support.sealing import seal_all

PATH = "/v1/reports/integrity"
OWN = "organization_id = %(organization)s"


@pytest.fixture
def money(api: Tenant, database: Database) -> Money:
    """Six entries, the last one unsealed."""
    made = Money(api)
    made.wallet("fund", "PROMO", "100.00")
    made.credit("MILES", "100")
    made.hold("MILES", "40")
    made.credit("PROMO", "10.00")
    made.credit("USD", "10.00")
    seal_all(database)
    made.debit("USD", "1.00")
    return made


@contextmanager
def tampered(database_url: str, money: Money, do: str, undo: str) -> Iterator[None]:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        parameters = {"organization": money.api.organization_id}
        assert owner.execute(do, parameters).rowcount == 1
        try:
            yield
        finally:
            owner.execute(undo, parameters)


def test_an_empty_ledger_passes(api: Tenant) -> None:
    report = api.get(PATH)
    assert report | {"verified_at": ""} == {
        "organization_id": str(api.organization_id),
        "verified_at": "",
        "window": 1000,
        "all_passed": True,
        "chain_head": None,
        "checks": {
            "postings_balanced": {"pass": True, "violation_count": 0},
            "value_conservation": {"pass": True, "violation_count": 0},
            "balances_match": {"pass": True, "violation_count": 0},
            "lots_match": {"pass": True, "violation_count": 0},
            "unsealed_entries": {"pass": True, "violation_count": 0},
            "hash_chain": {"pass": True, "violation_count": 0, "entries_verified": 0, "anchored_at_genesis": True},
        },
    }


def test_the_window(money: Money) -> None:
    chain = money.api.get(PATH, window=5)["checks"]["hash_chain"]
    assert (chain["entries_verified"], chain["anchored_at_genesis"]) == (5, True)
    report = money.api.get(PATH, window=4)
    assert report["window"] == 4
    assert (report["checks"]["hash_chain"]["entries_verified"], report["checks"]["hash_chain"]["anchored_at_genesis"]) == (
        4,
        False,
    )
    assert report["chain_head"]["sequence_number"] == 5


@pytest.mark.parametrize("window", ["0", "10001", "-1", "many", "1.5"])
def test_a_bad_window(api: Tenant, window: str) -> None:
    assert api.get(PATH, 400, window=window)["details"]["field"] == "window"


# what is changed, how it is put right again -> the checks that fail, by how many rows
TAMPERED: dict[str, tuple[str, str, dict[str, int]]] = {
    "a sealed posting": (
        f"UPDATE postings SET amount = amount + 1 WHERE {OWN} AND amount = 100 AND bucket = 'AVAILABLE' AND entity_type = 'PARTICIPANT'",
        f"UPDATE postings SET amount = amount - 1 WHERE {OWN} AND amount = 101 AND bucket = 'AVAILABLE' AND entity_type = 'PARTICIPANT'",
        {"postings_balanced": 1, "value_conservation": 1, "balances_match": 1, "hash_chain": 1},
    ),
    "an unsealed posting": (
        f"UPDATE postings SET amount = -2 WHERE {OWN} AND amount = -1",
        f"UPDATE postings SET amount = -1 WHERE {OWN} AND amount = -2",
        {"postings_balanced": 1, "value_conservation": 1, "balances_match": 1},
    ),
    "a balance": (
        f"UPDATE balances SET available = available + 1 WHERE {OWN} AND held > 0",
        f"UPDATE balances SET available = available - 1 WHERE {OWN} AND held > 0",
        {"balances_match": 1, "lots_match": 1},
    ),
    "a wallet": (
        f"UPDATE wallets SET available = available + 1 WHERE {OWN}",
        f"UPDATE wallets SET available = available - 1 WHERE {OWN}",
        {"balances_match": 1},
    ),
    "a lot": (
        f"UPDATE lots SET remaining = remaining - 1 WHERE {OWN} AND status = 'HELD'",
        f"UPDATE lots SET remaining = remaining + 1 WHERE {OWN} AND status = 'HELD'",
        {"lots_match": 1},
    ),
    "a seal": (
        f"UPDATE entry_seals SET previous_hash = entry_hash WHERE {OWN} AND sequence_number = 1",
        f"UPDATE entry_seals SET previous_hash = decode(repeat('00', 32), 'hex') WHERE {OWN} AND sequence_number = 1",
        {"hash_chain": 1},
    ),
    "time": (
        f"UPDATE unsealed_entries SET noted_at = noted_at - interval '61 s' WHERE {OWN}",
        f"UPDATE unsealed_entries SET noted_at = now() WHERE {OWN}",
        {"unsealed_entries": 1},
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_tampered_with_is_found(money: Money, stranger: Tenant, database_url: str, what: str) -> None:
    do, undo, failing = TAMPERED[what]
    with tampered(database_url, money, do, undo):
        report: dict[str, Any] = money.api.get(PATH)
        assert stranger.get(PATH)["all_passed"] is True
    found = {name: check["violation_count"] for name, check in report["checks"].items() if not check["pass"]}
    assert found == failing
    assert report["all_passed"] is False
    assert money.api.get(PATH)["all_passed"] is True
