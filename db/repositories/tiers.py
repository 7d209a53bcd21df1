"""Tiers and their levels; what a process has read of a tier stays right under its version."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from domain.errors import NameConflict
from domain.tiers.resource import LevelRecord, TierRecord, TierStatus

_COLUMNS = (
    "id", "program_id", "key", "display_name", "lifecycle", "lifecycle_started_at", "status", "archived_at", "created_at",
    "updated_at", "lifecycle_number",
)  # fmt: skip
_LEVEL_COLUMNS = (
    "id", "key", "rank", "display_name", "color", "icon_url", "benefits", "qualification", "created_at", "updated_at",
)  # fmt: skip
# The class of the advisory locks that hold an organization's tiers still.
_LOCK_CLASS = 7_310_579


def hold_still(conn: Connection, organization_ids: Iterable[UUID]) -> None:
    """Let nobody change these organizations' tiers until commit; taken after the holders' locks, before hot rows.

    Who changes tiers or levels that holders have goes through `lock_for_change`. Advisory locks are served in turn, so that
    a stream of batches doesn't keep a change waiting for ever.
    """
    for key in sorted({_lock_key(id_) for id_ in organization_ids}):
        conn.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [_LOCK_CLASS, key])


def lock_for_change(conn: Connection, organization_id: UUID) -> None:
    """Keep everybody off the organization's tiers who holds them still."""
    conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, _lock_key(organization_id)])


def _lock_key(organization_id: UUID) -> int:
    return organization_id.int % 2**31


def find(conn: Connection, organization_id: UUID, program_id: UUID, key: str) -> TierRecord | None:
    """A tier of the organization's program, archived or not."""
    found = _select(conn, "t.organization_id = %s AND t.program_id = %s AND t.key = %s", [organization_id, program_id, key])
    return found[0] if found else None


def of_program(conn: Connection, organization_id: UUID, program_id: UUID) -> list[TierRecord]:
    """All tiers of a program, archived ones too, by key."""
    return _select(conn, "t.organization_id = %s AND t.program_id = %s", [organization_id, program_id], 't.key COLLATE "C"')


def by_id(conn: Connection, tier_ids: Collection[UUID]) -> list[TierRecord]:
    """Tiers, whosever they are."""
    return _select(conn, "t.id = ANY(%s::uuid[])", [list(tier_ids)])


def versions(conn: Connection, organization_ids: Collection[UUID]) -> list[tuple[UUID, UUID, int]]:
    """Organization, id and present version of every tier of the organizations."""
    rows = conn.execute(
        "SELECT organization_id, id, version FROM tiers WHERE organization_id = ANY(%s::uuid[])", [list(organization_ids)]
    )
    return [(row[0], row[1], int(row[2])) for row in rows]


def page(conn: Connection, program_id: UUID, keyset: Keyset, *, status: str | None, is_archived_shown: bool) -> Slice[TierRecord]:
    """One page of a program's tiers."""
    after, values = keyset.where_sql()
    conditions, parameters = ["program_id = %(program)s", after], {"program": program_id, **values}
    if status is not None:
        conditions.append("status = %(status)s")
        parameters["status"] = status
    elif not is_archived_shown:
        conditions.append("status <> 'ARCHIVED'")
    statement = f"SELECT id FROM tiers WHERE {' AND '.join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}"
    ids = [row[0] for row in conn.execute(statement, parameters)]
    records = {record.id: record for record in by_id(conn, ids)}
    return keyset.cut([records[id_] for id_ in ids])


def insert(conn: Connection, organization_id: UUID, tier: TierRecord) -> None:
    """Store a new tier with its levels; NameConflict."""
    names = [*_COLUMNS, "organization_id"]
    try:
        conn.execute(
            f"INSERT INTO tiers ({', '.join(names)}) VALUES ({_marks(names)})",
            _values(tier) | {"organization_id": organization_id},
        )
    except UniqueViolation as error:
        if error.diag.constraint_name != "tiers_key":
            raise
        raise NameConflict(field="key", value=tier.key) from None
    _write_levels(conn, tier)


def update(conn: Connection, tier: TierRecord) -> None:
    """Overwrite a tier and its levels, under `lock_for_change`."""
    settings = ", ".join(f"{name} = %({name})s" for name in _COLUMNS if name not in ("id", "program_id", "key", "created_at"))
    conn.execute(f"UPDATE tiers SET {settings}, version = nextval('tier_versions') WHERE id = %(id)s", _values(tier))
    _write_levels(conn, tier)


def _write_levels(conn: Connection, tier: TierRecord) -> None:
    names = [*_LEVEL_COLUMNS, "tier_id"]
    settings = ", ".join(f"{name} = excluded.{name}" for name in _LEVEL_COLUMNS if name not in ("id", "key", "created_at"))
    with conn.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO tier_levels ({', '.join(names)}) VALUES ({_marks(names)}) ON CONFLICT (id) DO UPDATE SET {settings}",
            [_level_values(level) | {"tier_id": tier.id} for level in tier.levels],
        )


def _marks(names: Iterable[str]) -> str:
    return ", ".join(f"%({name})s" for name in names)


def _values(tier: TierRecord) -> dict[str, Any]:
    values = {name: getattr(tier, name) for name in _COLUMNS}
    return values | {"lifecycle": None if tier.lifecycle is None else Jsonb(tier.lifecycle)}


def _level_values(level: LevelRecord) -> dict[str, Any]:
    values = {name: getattr(level, name) for name in _LEVEL_COLUMNS}
    benefits, qualification = level.benefits, level.qualification
    return values | {
        "benefits": None if benefits is None else Json(benefits),
        "qualification": None if qualification is None else Jsonb(qualification),
    }


def _select(conn: Connection, condition: str, values: list[object], order: str = "t.id") -> list[TierRecord]:
    columns = ", ".join(f"t.{name}" for name in _COLUMNS)
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(f"SELECT {columns} FROM tiers t WHERE {condition} ORDER BY {order}", values).fetchall()
        levels = _levels(conn, [row["id"] for row in rows])
    return [TierRecord(**row | {"status": TierStatus(row["status"]), "levels": levels.get(row["id"], ())}) for row in rows]


def _levels(conn: Connection, tier_ids: Collection[UUID]) -> Mapping[UUID, tuple[LevelRecord, ...]]:
    found: dict[UUID, tuple[LevelRecord, ...]] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        names = ", ".join(_LEVEL_COLUMNS)
        statement = f"SELECT tier_id, {names} FROM tier_levels WHERE tier_id = ANY(%s::uuid[]) ORDER BY tier_id, rank, id"
        for row in cursor.execute(statement, [list(tier_ids)]):
            tier_id = row.pop("tier_id")
            found[tier_id] = (*found.get(tier_id, ()), LevelRecord(**row))
    return found
