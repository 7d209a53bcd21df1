"""The history of level changes: written set-based, read by holder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from db.repositories import arrays
from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.tiers.changes import LevelChange


@dataclass(frozen=True, slots=True)
class TierHistoryRow:
    """One row of the tier history."""

    id: UUID
    program_id: UUID
    tier_key: str
    from_level: str | None
    to_level: str | None
    from_rank: int
    to_rank: int
    change: str
    reason: str
    expires_at: datetime | None
    event_id: UUID | None
    rule_id: UUID | None
    changed_by_api_key_id: UUID | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class TierHistoryFilter:
    """What a tier history is narrowed to; times are inclusive."""

    program_id: UUID | None = None
    tier_key: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


_CONDITIONS = {
    "program_id": "program_id = %(program_id)s",
    "tier_key": "tier_key = %(tier_key)s",
    "from_": "changed_at >= %(from_)s",
    "to": "changed_at <= %(to)s",
}


def insert(conn: Connection, changes: Sequence[LevelChange], ids: Sequence[UUID]) -> None:
    """Append changes of level."""
    conn.execute(
        """
        INSERT INTO tier_history (id, organization_id, program_id, tier_id, entity_type, entity_id, tier_key, from_level,
                                  to_level, from_rank, to_rank, change, reason, expires_at, event_id, rule_id,
                                  changed_by_api_key_id, changed_at)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[],
                             %s::text[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::timestamptz[], %s::uuid[],
                             %s::uuid[], %s::uuid[], %s::timestamptz[])
        """,
        [
            arrays.uuids(ids),
            arrays.uuids(change.holder.organization_id for change in changes),
            arrays.uuids(change.tier.program_id for change in changes),
            arrays.uuids(change.tier.id for change in changes),
            arrays.words(change.holder.kind.value for change in changes),
            arrays.uuids(change.holder.id for change in changes),
            arrays.texts(change.tier.key for change in changes),
            arrays.texts(change.from_level for change in changes),
            arrays.texts(change.to_level for change in changes),
            arrays.numbers(change.from_rank for change in changes),
            arrays.numbers(change.to_rank for change in changes),
            arrays.words(change.change.value for change in changes),
            arrays.words(change.cause.reason.value for change in changes),
            arrays.moments(change.expires_at for change in changes),
            arrays.uuids(change.cause.event_id for change in changes),
            arrays.uuids(change.cause.rule_id for change in changes),
            arrays.uuids(change.cause.api_key_id for change in changes),
            arrays.moments(change.cause.at for change in changes),
        ],
        prepare=True,
    )


def insert_state_rows(conn: Connection, changes: Sequence[LevelChange], ids: Sequence[UUID]) -> None:
    """Append changes of level that no event made to the state history."""
    rows = [change.state_change() for change in changes]
    conn.execute(
        """
        INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, old_value, new_value,
                                   changed_at, changed_by_api_key_id, program_id)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[],
                             %s::text[], %s::timestamptz[], %s::uuid[], %s::uuid[])
        """,
        [
            arrays.uuids(ids),
            arrays.uuids(change.holder.organization_id for change in changes),
            arrays.words(change.holder.kind.value for change in changes),
            arrays.uuids(change.holder.id for change in changes),
            arrays.words(row.state_type for row in rows),
            arrays.texts(row.key for row in rows),
            arrays.words(row.operation for row in rows),
            arrays.texts(row.old_value for row in rows),
            arrays.texts(row.new_value for row in rows),
            arrays.moments(change.cause.at for change in changes),
            arrays.uuids(change.cause.api_key_id for change in changes),
            arrays.uuids(change.tier.program_id for change in changes),
        ],
        prepare=True,
    )


def page(
    conn: Connection, organization_id: UUID, holder_id: UUID, wanted: TierHistoryFilter, keyset: Keyset
) -> Slice[TierHistoryRow]:
    """One page of a holder's changes of level."""
    asked = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    after, values = keyset.where_sql()
    owner = "entity_id = %(entity_id)s AND organization_id = %(organization_id)s"
    conditions = " AND ".join([owner, after, *(_CONDITIONS[name] for name in asked)])
    names = ", ".join(TierHistoryRow.__dataclass_fields__)
    with conn.cursor(row_factory=class_row(TierHistoryRow)) as cursor:
        cursor.execute(
            f"SELECT {names} FROM tier_history WHERE {conditions} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}",
            {**asked, **values, "entity_id": holder_id, "organization_id": organization_id},
        )
        return keyset.cut(cursor.fetchall())
