"""Rewards, and the units of them that participants have.

A redemption uses `lock_stock` and `save_stock` in one transaction, a reversal `lock_reward`, `units_of` and `save_stock`.
The reward is a hot row: its lock is taken after those of all holders and before those of budgets, program state and wallets,
rewards by id among themselves. It guards the units of every participant too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row

from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import like_pattern
from db.session import Connection
from domain.errors import NameConflict
from domain.event_data import encode_event_data
from domain.rewards import Fulfillment, FulfillmentType, RedemptionType, Reward, RewardStatus

_SELECT = """
SELECT id, program_id, asset_id, (SELECT a.scale FROM assets a WHERE a.id = r.asset_id) AS scale, name, description, category,
       redemption_type, unit_cost, max_total, max_per_participant, redeemed_count, status, is_sold_out, available_from,
       available_until, metadata, fulfillment_type, fulfillment_url, fulfillment_timeout, created_at, updated_at
FROM rewards r
"""
_COLUMNS = (
    "id", "program_id", "asset_id", "name", "description", "category", "redemption_type", "unit_cost", "max_total",
    "max_per_participant", "redeemed_count", "status", "is_sold_out", "available_from", "available_until", "created_at",
    "updated_at",
)  # fmt: skip
_FULFILLMENT = ("fulfillment_type", "fulfillment_url", "fulfillment_timeout")
_WRITTEN = (*_COLUMNS, "metadata", *_FULFILLMENT)

# What a redemption is decided by; metadata has no part in it.
DECIDING = (*_COLUMNS, *_FULFILLMENT)


def find(conn: Connection, organization_id: UUID, program_id: UUID, reward_id: UUID) -> Reward | None:
    """A reward of the organization's program."""
    return _find(conn, organization_id, program_id, reward_id, "")


def lock_reward(conn: Connection, organization_id: UUID, program_id: UUID, reward_id: UUID) -> Reward | None:
    """The same, locked: its stock, status and everybody's units stay until commit but for what this transaction does."""
    return _find(conn, organization_id, program_id, reward_id, "FOR UPDATE")


def lock_stock(
    conn: Connection, organization_id: UUID, program_id: UUID, reward_id: UUID, participant_id: UUID
) -> tuple[Reward | None, int, datetime]:
    """Lock a reward; it, the participant's units and the product's clock, all of a moment after the lock was had."""
    with conn.pipeline():
        rows = conn.cursor(row_factory=dict_row)
        rows.execute(
            f"{_SELECT} WHERE id = %s AND program_id = %s AND organization_id = %s FOR UPDATE",
            [reward_id, program_id, organization_id],
            prepare=True,
        )
        # A statement of its own: it sees what was committed while the lock was waited for.
        after = conn.execute(
            """
            SELECT coalesce((SELECT units FROM reward_units WHERE reward_id = %s AND participant_id = %s), 0), openscrip_now()
            """,
            [reward_id, participant_id],
            prepare=True,
        )
    row, counted = rows.fetchone(), after.fetchone()
    assert counted is not None
    return None if row is None else _reward(row), int(counted[0]), counted[1]


def decided(row: dict[str, Any], scale: int) -> Reward:
    """A reward of its DECIDING columns and its asset's scale."""
    return _reward(row | {"scale": scale})


def page(
    conn: Connection, program_id: UUID, keyset: Keyset, *, status: str | None, is_archived_shown: bool, search: str | None
) -> Slice[Reward]:
    """One page of a program's rewards."""
    after, values = keyset.where_sql()
    conditions, parameters = ["program_id = %(program)s", after], {"program": program_id, **values}
    if status is not None:
        conditions.append("status = %(status)s")
        parameters["status"] = status
    elif not is_archived_shown:
        conditions.append("status <> 'ARCHIVED'")
    if search is not None:
        conditions.append(r"name ILIKE %(search)s ESCAPE '\'")
        parameters["search"] = like_pattern(search)
    statement = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}"
    with conn.cursor(row_factory=dict_row) as cursor:
        return keyset.cut([_reward(row) for row in cursor.execute(statement, parameters)])


def insert(conn: Connection, organization_id: UUID, reward: Reward, sealed_secret: bytes | None) -> None:
    """Store a new reward; NameConflict."""
    columns = [*_WRITTEN, "organization_id", "fulfillment_secret"]
    values = _values(reward) | {"organization_id": organization_id, "fulfillment_secret": sealed_secret}
    marks = ", ".join(f"%({column})s" for column in columns)
    _write(conn, f"INSERT INTO rewards ({', '.join(columns)}) VALUES ({marks})", values)


def update(conn: Connection, reward: Reward, sealed_secret: bytes | None) -> None:
    """Overwrite a locked reward; NameConflict. A webhook keeps the secret it has when there is no new one."""
    settings = [f"{column} = %({column})s" for column in _WRITTEN if column != "id"]
    kept = "CASE WHEN %(fulfillment_type)s = 'webhook' THEN coalesce(%(secret)s, fulfillment_secret) END"
    statement = f"UPDATE rewards SET {', '.join(settings)}, fulfillment_secret = {kept} WHERE id = %(id)s"
    _write(conn, statement, _values(reward) | {"secret": sealed_secret})


def webhook_of(conn: Connection, reward_id: UUID) -> tuple[str, bytes] | None:
    """Where a reward's fulfilment is asked for now, and the sealed secret it is signed with; None without a webhook."""
    return conn.execute(
        "SELECT fulfillment_url, fulfillment_secret FROM rewards WHERE id = %s AND fulfillment_type = 'webhook'", [reward_id]
    ).fetchone()


def units_of(conn: Connection, reward_id: UUID, participant_id: UUID) -> int:
    """What a participant has of a reward: units redeemed minus units reversed."""
    row = conn.execute(
        "SELECT units FROM reward_units WHERE reward_id = %s AND participant_id = %s", [reward_id, participant_id]
    ).fetchone()
    return 0 if row is None else int(row[0])


def save_stock(conn: Connection, reward: Reward, participant_id: UUID, units: int) -> None:
    """Store count and status of a locked reward after a redemption or reversal, and what the participant has of it now."""
    conn.execute(
        "UPDATE rewards SET redeemed_count = %s, status = %s, is_sold_out = %s, updated_at = %s WHERE id = %s",
        [reward.redeemed_count, reward.status, reward.is_sold_out, reward.updated_at, reward.id],
        prepare=True,
    )
    conn.execute(
        "INSERT INTO reward_units (reward_id, participant_id, units) VALUES (%s, %s, %s)"
        " ON CONFLICT (reward_id, participant_id) DO UPDATE SET units = excluded.units",
        [reward.id, participant_id, units],
        prepare=True,
    )


def _find(conn: Connection, organization_id: UUID, program_id: UUID, reward_id: UUID, lock: str) -> Reward | None:
    statement = f"{_SELECT} WHERE id = %s AND program_id = %s AND organization_id = %s {lock}"
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, [reward_id, program_id, organization_id]).fetchone()
    return None if row is None else _reward(row)


def _write(conn: Connection, statement: str, values: Mapping[str, object]) -> None:
    try:
        conn.execute(statement, values)
    except UniqueViolation as error:
        if error.diag.constraint_name != "rewards_open_name":
            raise
        raise NameConflict(field="name", value=values["name"]) from None


def _values(reward: Reward) -> dict[str, object]:
    metadata = encode_event_data(reward.metadata, "metadata")
    assert isinstance(metadata, str)
    fulfillment = reward.fulfillment
    found = {column: getattr(reward, column) for column in _COLUMNS}
    return found | {"metadata": metadata} | dict(zip(_FULFILLMENT, fulfillment.as_dict().values(), strict=True))


def _reward(row: dict[str, Any]) -> Reward:
    type_, url, timeout = (row.pop(column) for column in _FULFILLMENT)
    values = row | {
        "redemption_type": RedemptionType(row["redemption_type"]),
        "status": RewardStatus(row["status"]),
        "fulfillment": Fulfillment(FulfillmentType(type_), url, timeout),
    }
    return Reward(**values)
