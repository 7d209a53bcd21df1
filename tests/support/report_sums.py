"""What the reports must say, computed the slow way from the rows of the journal: each figure as reporting.md words it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from uuid import UUID

from db.session import Database

EXACT = Context(prec=100)
HOLDERS = ("PARTICIPANT", "GROUP")


@dataclass(frozen=True)
class Row:
    """One posting with the type of its entry."""

    entry_id: UUID
    action: str
    program: UUID
    asset: UUID
    kind: str
    entity: UUID | None
    bucket: str
    amount: Decimal
    at: datetime


def read_rows(database: Database, organization_id: UUID) -> list[Row]:
    """Every posting of the organization, oldest first; the type is the entry's own."""
    with database.connection() as conn:
        found = conn.execute(
            """
            SELECT e.id, e.action_type, e.program_id, p.asset_id, p.entity_type, p.entity_id, p.bucket, p.amount, e.created_at
            FROM journal_entries e JOIN postings p ON p.entry_id = e.id WHERE e.organization_id = %s ORDER BY e.created_at, e.id
            """,
            [organization_id],
        )
        return [Row(*row) for row in found]


def exact(amounts: Iterable[Decimal]) -> Decimal:
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def held_by_holders(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.kind in HOLDERS]


def outstanding(rows: Iterable[Row]) -> Decimal:
    return exact(row.amount for row in held_by_holders(rows))


def settles(rows: Iterable[Row]) -> list[Decimal]:
    """Settled - held of each SETTLE."""
    deltas: dict[UUID, list[Decimal]] = defaultdict(list)
    for row in held_by_holders(rows):
        if row.action == "SETTLE":
            deltas[row.entry_id].append(row.amount)
    return [exact(amounts) for amounts in deltas.values()]


def rollforward(rows: list[Row], from_: datetime, to: datetime) -> dict[str, Decimal]:
    """All lines of section 5."""
    inside = held_by_holders(row for row in rows if from_ <= row.at <= to)

    def gained(action: str) -> Decimal:
        return exact(row.amount for row in inside if row.action == action and row.amount > 0)

    def lost(action: str) -> Decimal:
        return exact(-row.amount for row in inside if row.action == action and row.amount < 0)

    def moved(*actions: str) -> Decimal:
        return exact(row.amount for row in inside if row.action in actions)

    deltas = settles(inside)
    return {
        "opening_balance": outstanding(row for row in rows if row.at < from_),
        "issued": exact([gained("CREDIT"), *(delta for delta in deltas if delta > 0)]),
        "redeemed": lost("REDEMPTION"),
        "redemption_reversals": gained("REDEMPTION_REVERSAL"),
        "redemption_receipts": gained("REDEMPTION"),
        "debited": lost("DEBIT"),
        "forfeited": lost("FORFEIT"),
        "expired": lost("EXPIRY"),
        "holds_voided": lost("VOID_HOLD"),
        "issuance_returns": exact(-delta for delta in deltas if delta < 0),
        "reversal_clawbacks": lost("REDEMPTION_REVERSAL"),
        "transfers_net": moved("TRANSFER"),
        "bucket_movements_net": moved("HOLD", "RELEASE", "MATURITY"),
        "adjustments_net": Decimal(0),
        "closing_balance": outstanding(row for row in rows if row.at <= to),
    }


def totals(rows: list[Row]) -> dict[str, Decimal]:
    """The all-time figures of section 2."""
    of = held_by_holders(rows)

    def change(action: str) -> Decimal:
        return exact(row.amount for row in of if row.action == action)

    issued = exact([change("CREDIT"), *settles(of), change("DEBIT"), change("VOID_HOLD")])
    return {
        "total_issued": issued,
        "total_redeemed": exact([-change("REDEMPTION"), -change("REDEMPTION_REVERSAL")]),
        "total_expired": -change("EXPIRY"),
        "total_forfeited": -change("FORFEIT"),
        "current_balance": outstanding(rows),
    }


def summary(rows: list[Row], from_: datetime | None, to: datetime | None) -> dict[str, Decimal | int]:
    """The figures of section 2."""
    owned: dict[UUID | None, list[Decimal]] = defaultdict(list)
    for row in rows:
        if row.kind == "PARTICIPANT":
            owned[row.entity].append(row.amount)
    found: dict[str, Decimal | int] = {**totals(rows), "participant_count": sum(1 for part in owned.values() if exact(part))}
    if from_ is None or to is None:
        return found
    lines = rollforward(rows, from_, to)
    period = {
        "opening_balance": lines["opening_balance"],
        "period_issued": lines["issued"],
        "period_redeemed": lines["redeemed"],
        "period_expired": lines["expired"],
        "period_forfeited": lines["forfeited"],
        "closing_balance": lines["closing_balance"],
    }
    named = exact([lines["issued"], -lines["redeemed"], -lines["expired"], -lines["forfeited"]])
    rest = exact([lines["closing_balance"], -lines["opening_balance"], -named])
    return found | period | {"other_adjustments_net": rest}
