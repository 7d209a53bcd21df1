"""What reports sum: holders' postings, straight from the index `postings_report` (reporting.md).

Everything is asked of pairs of an asset and a program of one organization; every entry's asset is linked to its program.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.ledger.accounts import Bucket, subtract, total
from domain.reports.lines import HOLDERS

# Compared one after the other, which costs less than looking in an array: nearly all are of the first kind.
_IS_HOLDER = " OR ".join(f"p.entity_type = '{kind}'" for kind in HOLDERS)
OF_HOLDERS = f"p.entity_id IS NOT NULL AND ({_IS_HOLDER})"


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset as reports name it."""

    asset_id: UUID
    asset_name: str
    asset_symbol: str
    scale: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """An asset in a program, as reports name them; of one bucket where there are rows for each."""

    asset_id: UUID
    asset_name: str
    asset_symbol: str
    program_id: UUID
    program_name: str
    scale: int
    bucket: str | None

    @property
    def pair(self) -> "Pair":
        """Whose figures the row has."""
        return Pair(self.asset_id, self.program_id)

    @property
    def place(self) -> tuple[object, ...]:
        """Where it stands in the order of the rows."""
        last = () if self.bucket is None else (self.bucket,)
        return (self.asset_symbol, self.program_name, self.asset_id, self.program_id, *last)


class Pair(NamedTuple):
    """An asset in a program."""

    asset_id: UUID
    program_id: UUID


@dataclass(frozen=True, slots=True)
class ReportScope:
    """What a report is narrowed to."""

    program_id: UUID | None = None
    asset_id: UUID | None = None


def page_of_assets(conn: Connection, organization_id: UUID, program_id: UUID | None, keyset: Keyset) -> Slice[AssetRow]:
    """One page of the organization's assets, or of those linked to a program."""
    after, parameters = keyset.where_sql()
    linked = "TRUE"
    if program_id is not None:
        linked = "EXISTS (SELECT 1 FROM program_assets l WHERE l.program_id = %(program)s AND l.asset_id = a.id)"
    with conn.cursor(row_factory=class_row(AssetRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT a.id AS asset_id, a.name AS asset_name, a.symbol AS asset_symbol, a.scale FROM assets a
            WHERE a.organization_id = %(organization)s AND {linked} AND {after}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | {"organization": organization_id, "program": program_id},
        ).fetchall()
    return keyset.cut(rows, lambda row: (row.asset_symbol, row.asset_id))


def assets_of(conn: Connection, organization_id: UUID, program_ids: Sequence[UUID]) -> list[UUID]:
    """The assets that are linked to any of these programs."""
    rows = conn.execute(
        "SELECT DISTINCT asset_id FROM program_assets WHERE program_id = ANY(%s) AND organization_id = %s",
        [list(program_ids), organization_id],
    )
    return [row[0] for row in rows]


# Every entry has a posting that isn't on a SYSTEM account.
_HAS_ENTRY = """EXISTS (SELECT 1 FROM postings p WHERE p.asset_id = l.asset_id AND p.program_id = l.program_id
    AND p.entity_id IS NOT NULL AND p.created_at <= %(until)s)"""
_PAIR_COLUMNS = """a.id AS asset_id, a.name AS asset_name, a.symbol AS asset_symbol, g.id AS program_id, g.name AS program_name,
    a.scale"""


_EACH_BUCKET = ", ".join(f"('{bucket}')" for bucket in Bucket)
_BUCKETS = f"CROSS JOIN (VALUES {_EACH_BUCKET}) AS b (bucket)"


def page_of_pairs(
    conn: Connection, organization_id: UUID, scope: ReportScope, until: datetime, keyset: Keyset, *, by_bucket: bool = False
) -> Slice[PairRow]:
    """One page of the assets and programs with an entry at or before `until`; `by_bucket`: of each, three rows."""
    after, parameters = keyset.where_sql()
    narrowed = {"l.program_id = %(program)s": scope.program_id, "l.asset_id = %(asset)s": scope.asset_id}
    conditions = [after, *(condition for condition, value in narrowed.items() if value is not None)]
    given = {"organization": organization_id, "program": scope.program_id, "asset": scope.asset_id, "until": until}
    with conn.cursor(row_factory=class_row(PairRow)) as cursor:
        rows = cursor.execute(
            f"""
            SELECT {_PAIR_COLUMNS}, {"b.bucket" if by_bucket else "NULL AS bucket"} FROM program_assets l
            JOIN assets a ON a.id = l.asset_id JOIN programs g ON g.id = l.program_id {_BUCKETS if by_bucket else ""}
            WHERE a.organization_id = %(organization)s AND g.organization_id = %(organization)s
              AND {" AND ".join(conditions)} AND {_HAS_ENTRY}
            ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
            """,
            parameters | given,
        ).fetchall()
    return keyset.cut(rows, lambda row: row.place)


@dataclass(frozen=True, slots=True)
class Sums:
    """Which postings are summed: of these assets, in these programs or in all, at or before `until`."""

    organization_id: UUID
    asset_ids: Sequence[UUID]
    program_ids: Sequence[UUID] | None = None
    until: datetime | None = None

    @property
    def condition(self) -> str:
        """The condition on `postings p`; assets of others are none of the organization's."""
        conditions = [
            "p.asset_id = ANY(ARRAY(SELECT id FROM assets WHERE id = ANY(%(assets)s) AND organization_id = %(organization)s))",
            self.of_pair,
        ]
        conditions += [] if self.program_ids is None else ["p.program_id = ANY(%(programs)s)"]
        return " AND ".join(conditions)

    @property
    def links(self) -> str:
        """The condition on `program_assets l` whose postings are summed."""
        narrowed = "" if self.program_ids is None else " AND l.program_id = ANY(%(programs)s)"
        return f"l.organization_id = %(organization)s AND l.asset_id = ANY(%(assets)s){narrowed}"

    @property
    def of_pair(self) -> str:
        """The condition on `postings p` of one link."""
        return OF_HOLDERS if self.until is None else f"{OF_HOLDERS} AND p.created_at <= %(until)s"

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the condition."""
        programs = None if self.program_ids is None else list(self.program_ids)
        given = {"organization": self.organization_id, "assets": list(self.asset_ids), "programs": programs, "until": self.until}
        return {name: value for name, value in given.items() if value is not None}


_APART = tuple(bucket for bucket in Bucket if bucket is not Bucket.AVAILABLE)


def outstanding(conn: Connection, wanted: Sums) -> dict[tuple[Pair, str], Decimal]:
    """What holders have of each asset, by program and bucket."""
    # Pair by pair as the index has them: a group for each bucket would have to be looked up for every posting.
    apart = ", ".join(f"coalesce(sum(p.amount) FILTER (WHERE p.bucket = '{bucket}'), 0)" for bucket in _APART)
    rows = conn.execute(
        f"""
        SELECT p.asset_id, p.program_id, sum(p.amount), {apart} FROM postings p WHERE {wanted.condition}
        GROUP BY p.asset_id, p.program_id
        """,
        wanted.parameters,
        prepare=False,
    )
    found: dict[tuple[Pair, str], Decimal] = {}
    for asset_id, program_id, amount, *others in rows:
        pair = Pair(asset_id, program_id)
        found |= {(pair, bucket): other for bucket, other in zip(_APART, others, strict=True)}
        found[pair, Bucket.AVAILABLE] = subtract(amount, total(others))
    return found
