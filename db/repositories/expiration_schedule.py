"""When open lots expire, summed by the index `lots_schedule` (reporting.md, Expiration schedule)."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.repositories.reports import AssetRow
from db.session import Connection

NEVER, BEFORE, AFTER = -1, -2, -3


class Expiring(NamedTuple):
    """What is left of an asset's lots in one place: a bucket's number from 0, or NEVER, BEFORE, AFTER the window."""

    place: int
    amount: Decimal
    lots: int


def page_of_assets(
    conn: Connection, organization_id: UUID, program_id: UUID | None, asset_id: UUID | None, keyset: Keyset
) -> Slice[AssetRow]:
    """One page of LOT assets that aren't archived and have open lots; `asset_id`: this one, also without."""
    after, parameters = keyset.where_sql()
    if asset_id is not None:
        wanted = "a.id = %(asset)s"
    else:
        made_in = "" if program_id is None else "AND l.program_id = %(program)s"
        wanted = f"""a.inventory_mode = 'LOT' AND a.status <> 'ARCHIVED'
            AND EXISTS (SELECT 1 FROM lots l WHERE l.asset_id = a.id AND l.remaining > 0 {made_in})"""
    with conn.cursor(row_factory=class_row(AssetRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT a.id AS asset_id, a.name AS asset_name, a.symbol AS asset_symbol, a.scale FROM assets a
            WHERE a.organization_id = %(organization)s AND {wanted} AND {after}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | {"organization": organization_id, "program": program_id, "asset": asset_id},
        ).fetchall()
    return keyset.cut(rows, lambda row: (row.asset_symbol, row.asset_id))


def expiring(
    conn: Connection,
    organization_id: UUID,
    asset_ids: Sequence[UUID],
    program_id: UUID | None,
    window: tuple[datetime, datetime],
    starts: Sequence[datetime],
) -> dict[UUID, list[Expiring]]:
    """What is left of assets' lots by place; `starts` are the beginnings of the buckets, the first not after the window's."""
    made_in = "" if program_id is None else "AND l.program_id = %(program)s"
    rows = conn.execute(
        f"""
        SELECT l.asset_id,
               CASE WHEN l.expires_at IS NULL THEN {NEVER} WHEN l.expires_at < %(from)s THEN {BEFORE}
                    WHEN l.expires_at > %(to)s THEN {AFTER} ELSE width_bucket(l.expires_at, %(starts)s::timestamptz[]) - 1 END,
               sum(l.remaining), count(*)
        FROM lots l
        WHERE l.asset_id = ANY(ARRAY(SELECT id FROM assets WHERE id = ANY(%(assets)s) AND organization_id = %(organization)s))
          AND l.remaining > 0 {made_in}
        GROUP BY 1, 2
        """,
        {
            "organization": organization_id,
            "assets": list(asset_ids),
            "program": program_id,
            "from": window[0],
            "to": window[1],
            "starts": list(starts),
        },
        prepare=False,
    )
    found: dict[UUID, list[Expiring]] = defaultdict(list)
    for asset_id, place, amount, lots in rows:
        found[asset_id].append(Expiring(place, amount, lots))
    return found
