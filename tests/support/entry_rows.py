"""An organization's journal as its rows have it, with every holder's balance after each entry."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.session import Connection
from domain.money import format_amount

BUCKETS = ("available", "held", "deferred")


@dataclass
class Line:
    """A posting."""

    kind: str
    entity_id: UUID | None
    bucket: str
    amount: Decimal
    after: Decimal | None


@dataclass
class EntryRow:
    """A journal entry with its postings; `balances` by holder, as they were when it was written."""

    id: UUID
    action: str
    program_id: UUID
    description: str
    event_id: UUID | None
    rule_id: UUID | None
    api_key_id: UUID | None
    reference_id: str | None
    created_at: datetime
    asset_id: UUID
    symbol: str
    scale: int
    is_lot: bool
    lines: list[Line] = field(default_factory=list)
    balances: dict[UUID, dict[str, Decimal]] = field(default_factory=dict)

    def shown(self, amount: Decimal) -> str:
        return format_amount(amount, self.scale)

    def gain(self, holder_id: UUID) -> Decimal:
        return sum((line.amount for line in self.lines if line.entity_id == holder_id), Decimal(0))


@dataclass
class Rows:
    entries: dict[UUID, EntryRow]
    lots: dict[UUID, dict[str, Any]]
    holds: dict[UUID, datetime | None]
    names: dict[UUID, str]


def read(conn: Connection, organization_id: UUID) -> Rows:
    """The committed rows, entries in the order in which their accounts were written."""
    entries: dict[UUID, EntryRow] = {}
    running: dict[tuple[object, ...], dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(BUCKETS, Decimal(0)))
    rows = conn.execute(
        """
        SELECT e.id, e.action_type, e.program_id, e.description, e.event_id, e.rule_id, e.created_by_api_key_id, e.reference_id,
               e.created_at, a.id, a.symbol, a.scale, a.inventory_mode = 'LOT',
               p.entity_type, p.entity_id, p.bucket, p.amount, p.balance_after
        FROM journal_entries e JOIN postings p ON p.entry_id = e.id JOIN assets a ON a.id = p.asset_id
        WHERE e.organization_id = %s ORDER BY e.created_at, e.id, p.ordinal
        """,
        [organization_id],
    )
    for *head, kind, entity_id, bucket, amount, after in rows:
        entry = entries.setdefault(head[0], EntryRow(*head))
        entry.lines.append(Line(kind, entity_id, bucket, amount, after))
        if kind in ("PARTICIPANT", "GROUP"):
            account = running[entity_id, entry.asset_id, entry.program_id if kind == "GROUP" else None]
            account[bucket.lower()] += amount
            assert account[bucket.lower()] == after
            entry.balances[entity_id] = account.copy()
    lots = conn.execute(
        "SELECT id, holder_id, expires_at, matures_at, entry_id, created_at FROM lots WHERE organization_id = %s",
        [organization_id],
    )
    names = ("holder_id", "expires_at", "matures_at", "entry_id", "created_at")
    holds = conn.execute("SELECT entry_id, expires_at FROM holds WHERE organization_id = %s", [organization_id])
    people = conn.execute("SELECT id, external_id FROM participants WHERE organization_id = %s", [organization_id])
    return Rows(
        entries,
        {row[0]: dict(zip(names, row[1:], strict=True)) for row in lots},
        dict(holds.fetchall()),
        dict(people.fetchall()),
    )
