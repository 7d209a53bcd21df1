"""reporting.md 8, over HTTP against the running product."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.auditor import LONG_AGO, MUCH_LATER, Auditor
from tests.support.client import Tenant
from tests.support.stack import Stack

TOTALS = {
    "total_issued": "690",
    "total_redeemed": "100",
    "total_expired": "50",
    "total_forfeited": "30",
    "current_balance": "510",
    "participant_count": 2,
}
PERIOD = {
    "opening_balance": "0",
    "period_issued": "700",
    "period_redeemed": "120",
    "period_expired": "50",
    "period_forfeited": "30",
    "other_adjustments_net": "10",
    "closing_balance": "510",
}
LINES = {
    "issued": "700",
    "redeemed": "120",
    "redemption_reversals": "20",
    "redemption_receipts": "0",
    "debited": "10",
    "forfeited": "30",
    "expired": "50",
    "holds_voided": "0",
    "issuance_returns": "0",
    "reversal_clawbacks": "0",
    "transfers_net": "0",
    "bucket_movements_net": "0",
    "adjustments_net": "0",
}
EVER: dict[str, Any] = {"from_": LONG_AGO, "to": MUCH_LATER}
MONTHS: dict[str, Any] = {"from_": LONG_AGO, "to": "2021-01-01T00:00:00Z"}


@pytest.fixture
def auditor(tenant: Tenant, stack: Stack) -> Iterator[Auditor]:
    """P with PTS; whatever is done, the books hold."""
    made = Auditor(tenant)
    yield made
    made.require_sound(stack.database)


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what names its asset and program."""
    named = {"asset_id", "asset_name", "asset_symbol", "program_id", "program_name", "scale"}
    return {name: value for name, value in row.items() if name not in named}


def require_history(auditor: Auditor, credited: str) -> None:
    """What examples 1 to 3 say of H."""
    assert figures(auditor.row("ledger-summary")) == TOTALS
    assert figures(auditor.row("ledger-summary", **EVER)) == TOTALS | PERIOD
    ends = {"opening_balance": "0", "closing_balance": "510"}
    assert figures(auditor.row("liability-rollforward", **EVER)) == LINES | ends
    later = auditor.row("liability-rollforward", from_=auditor.after(credited), to=MUCH_LATER)
    assert figures(later) == LINES | {"issued": "0", "opening_balance": "700", "closing_balance": "510"}


@pytest.mark.example("reporting.md", 1)
@pytest.mark.example("reporting.md", 2)
@pytest.mark.example("reporting.md", 3)
@pytest.mark.example("reporting.md", 4)
@pytest.mark.example("reporting.md", 7)
@pytest.mark.example("reporting.md", 10)
def test_8_01_to_04_07_10_a_history(auditor: Auditor) -> None:
    history = auditor.play()
    require_history(auditor, history["credited"])
    again = auditor.api.http.post(auditor.path(), json=history["request"])
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    require_history(auditor, history["credited"])
    hold = auditor.hold("PTS", "100")["journal_entry_id"]
    held_at = auditor.api.get(f"/v1/journal-entries/{hold}")["created_at"]
    require_liability(auditor, held_at)
    require_journal(auditor)


def require_liability(auditor: Auditor, held_at: str) -> None:
    assert auditor.row("liability")["balance"] == "510"

    def buckets(**query: Any) -> dict[str, str]:
        found = auditor.report("liability", by_bucket="true", **query)
        return {row["bucket"]: row["balance"] for row in found["data"]}

    assert buckets() == {"AVAILABLE": "410", "HELD": "100", "DEFERRED": "0"}
    assert buckets(as_of=held_at) == buckets()
    assert buckets(as_of=auditor.after(held_at, -1)) == {"AVAILABLE": "510", "HELD": "0", "DEFERRED": "0"}


def require_journal(auditor: Auditor) -> None:
    def found(**query: Any) -> list[str]:
        return [entry["action_type"] for entry in auditor.entries(**query)[::-1]]

    assert found(min_amount="1") == ["HOLD", "REDEMPTION_REVERSAL", "CREDIT"]
    assert found(max_amount="-100") == ["HOLD", "REDEMPTION"]
    windows: list[dict[str, Any]] = [{}, {"from": "2026-01-01T00:00:00Z", "to": "2026-02-02T00:00:00Z"}]
    for query in windows:
        refused = auditor.api.get("/v1/journal-entries", 400, min_amount="1", **query)["details"]
        assert refused["reason"] == "required"
    auditor.api.get("/v1/journal-entries", min_amount="1", **{"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"})


@pytest.mark.example("reporting.md", 5)
@pytest.mark.parametrize(
    ("settled", "lines"),
    [
        ("8", {"issued": "10", "issuance_returns": "2", "closing_balance": "8"}),
        ("12", {"issued": "12", "issuance_returns": "0", "closing_balance": "12"}),
        (None, {"issued": "10", "holds_voided": "10", "closing_balance": "0"}),
    ],
)
def test_8_05_settle(auditor: Auditor, settled: str | None, lines: dict[str, str]) -> None:
    auditor.credit("PTS", "10", bucket="HELD", reference_id="stay")
    if settled is None:
        auditor.act("void-hold", "PTS", reference_id="stay")
    else:
        auditor.credit("PTS", settled, reference_id="stay")
    row = auditor.row("liability-rollforward", **EVER)
    zeros = dict.fromkeys(LINES, "0") | {"opening_balance": "0"}
    assert figures(row) == zeros | lines


@pytest.mark.example("reporting.md", 6)
def test_8_06_a_shared_asset(auditor: Auditor) -> None:
    other = auditor.api.post("/v1/programs", {"name": "Q"}, 201)["id"]
    auditor.api.post(f"/v1/programs/{other}/assets", {"asset_id": auditor.asset("PTS")}, 201)
    auditor.credit("PTS", "100")
    auditor.redeem("30", "PTS", program_id=other)
    rows = auditor.report("liability")["data"]
    assert {row["program_id"]: row["balance"] for row in rows} == {auditor.program: "100", other: "-30"}
    assert auditor.row("ledger-summary")["current_balance"] == "70"
    assert auditor.row("ledger-summary", program_id=other)["current_balance"] == "-30"


@pytest.mark.example("reporting.md", 13)
def test_8_13_a_group_is_the_target(auditor: Auditor) -> None:
    members = [{"participant_id": auditor.ann, "role": "ADMIN"}]
    group = auditor.api.post("/v1/groups", {"name": "G", "members": members}, 201)["id"]
    auditor.aim("LEDGER_ENTITY", group)
    auditor.credit("PTS", "100")
    auditor.reverse(auditor.redeem("30", "PTS"), "10")
    summary = auditor.row("ledger-summary")
    assert (summary["total_issued"], summary["total_redeemed"], summary["current_balance"]) == ("100", "0", "100")
    assert (auditor.balance("PTS"), summary["participant_count"]) == ("80/0/0", 1)
    forfeit = {"program_id": auditor.program, "asset_id": auditor.asset("PTS"), "amount": "20", "bucket": "AVAILABLE"}
    auditor.api.post(f"/v1/groups/{group}/balances/forfeit", forfeit | {"description": "test"})
    summary = auditor.row("ledger-summary")
    assert (summary["total_forfeited"], summary["current_balance"]) == ("20", "80")
    lines = figures(auditor.row("liability-rollforward", **EVER))
    assert (lines["redemption_receipts"], lines["reversal_clawbacks"], lines["closing_balance"]) == ("30", "10", "80")


@pytest.mark.example("reporting.md", 8)
def test_8_08_bad_input(auditor: Auditor) -> None:
    def faults(path: str, **query: str) -> list[tuple[str, str]]:
        refused = auditor.api.call("GET", path, 400, params=query)["details"]["fields"]
        return [(one["field"], one["reason"]) for one in refused]

    journal = "/v1/journal-entries"
    assert faults(journal, participant_id=auditor.ann, external_id="ann") == [("external_id", "not_allowed")]
    assert faults(journal, program_id=auditor.program, min_amount="abc") == [("min_amount", "invalid")]
    assert faults(journal, action_type="GIFT") == [("action_type", "invalid")]
    assert faults("/v1/reports/ledger-summary", **{"from": LONG_AGO}) == [("to", "required")]
    assert faults("/v1/reports/program-activity", to=LONG_AGO) == [("from", "required")]
    assert faults("/v1/reports/liability-rollforward", to=LONG_AGO) == [("from", "required")]
    assert faults("/v1/reports/liability", as_of=MUCH_LATER) == [("as_of", "out_of_range")]
    unknown = str(uuid4())
    for name in ("ledger-summary", "liability", "liability-rollforward", "expiration-schedule"):
        refused = auditor.report(name, 404, program_id=unknown, **({} if name == "liability" else MONTHS))
        assert refused["details"] == {"resource": "program", "id": unknown, "field": "program_id"}
    auditor.api.call("GET", journal, 404, params={"program_id": unknown})


@pytest.mark.example("reporting.md", 9)
def test_8_09_expiration_schedule(auditor: Auditor) -> None:
    dates = {"100": "2030-02-10T00:00:00Z", "40": "2030-03-31T12:00:00Z", "60": None, "25": "2030-06-01T00:00:00Z"}
    for amount, date in dates.items():
        auditor.credit("PTS", amount, **({} if date is None else {"expires_at": date}))
    query = {"from": "2030-02-01T00:00:00Z", "to": "2030-03-31T23:59:59Z", "granularity": "month"}
    row = auditor.row("expiration-schedule", **query)
    february, march, april = (f"2030-{month:02}-01T00:00:00.000000Z" for month in (2, 3, 4))
    assert row["buckets"] == [
        {"bucket_start": february, "bucket_end": march, "amount": "100", "lot_count": 1},
        {"bucket_start": march, "bucket_end": april, "amount": "40", "lot_count": 1},
    ]
    ends = ("never_expiring", "expiring_before_window", "expiring_after_window", "total_outstanding")
    assert [row[name] for name in ends] == ["60", "0", "25", "225"]
    refused = auditor.report("expiration-schedule", 400, asset_id=auditor.asset("USD"), **query)["details"]
    assert (refused["field"], refused["reason"]) == ("asset_id", "not_allowed")


@pytest.mark.example("reporting.md", 12)
def test_8_12_program_activity(auditor: Auditor) -> None:
    auditor.play()
    assert auditor.report("program-activity", since=auditor.after(auditor.now()))["data"] == []
    row = auditor.row("program-activity")
    assert (row["program_id"], row["journal_count"], row["unique_participants"]) == (auditor.program, 8, 2)
    assert (row["total_issued"], row["total_redeemed"], row["last_activity_at"]) == ("690", "100", auditor.now())
    assert (row["event_count"], row["asset_count"], row["rule_count"]) == (0, 1, 0)
