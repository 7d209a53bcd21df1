"""Fulfilments: redemptions that wait to be handed over, their deadlines, and their flows."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.ledger_terms import database_now
from db.session import Connection

_PENDING = "redemptions r WHERE r.fulfillment_status = 'PENDING'"
_KEYS = "SELECT r.id, r.organization_id, r.program_id"


@dataclass(frozen=True, slots=True)
class FulfillmentKey:
    """A redemption with a fulfilment."""

    redemption_id: UUID
    organization_id: UUID
    program_id: UUID


def settle(conn: Connection, redemption_id: UUID, status: str, note: str | None, moment: datetime) -> None:
    """Note the outcome of a redemption that is PENDING, or has just been reversed."""
    conn.execute(
        """
        UPDATE redemptions SET fulfillment_status = %s, fulfillment_note = %s, updated_at = greatest(updated_at, %s)
        WHERE id = %s
        """,
        [status, note, moment, redemption_id],
    )


def is_pending(conn: Connection, redemption_id: UUID) -> bool:
    """Whether the redemption waits to be handed over."""
    row = conn.execute(f"SELECT 1 FROM {_PENDING} AND r.id = %s", [redemption_id]).fetchone()
    return row is not None


def has_passed(conn: Connection, organization_id: UUID, redemption_id: UUID) -> bool:
    """Whether it waits, and its deadline has come."""
    row = conn.execute(
        f"SELECT 1 FROM {_PENDING} AND r.id = %s AND r.organization_id = %s AND r.fulfillment_expires_at <= openscrip_now()",
        [redemption_id, organization_id],
        prepare=True,
    ).fetchone()
    return row is not None


def due_now(conn: Connection, limit: int, without: Collection[UUID]) -> list[FulfillmentKey]:
    """Those whose deadline has come, the first first, but for some."""
    rows = conn.execute(
        f"""
        {_KEYS} FROM {_PENDING} AND r.fulfillment_expires_at <= %s AND r.id <> ALL(%s::uuid[])
        ORDER BY r.fulfillment_expires_at, r.id LIMIT %s
        """,
        [database_now(conn), arrays.uuids(without), limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def ending_soon(conn: Connection, within: timedelta, limit: int) -> list[FulfillmentKey]:
    """Those whose deadline comes soon or has passed, the first first."""
    rows = conn.execute(
        f"{_KEYS} FROM {_PENDING} AND r.fulfillment_expires_at <= %s ORDER BY r.fulfillment_expires_at LIMIT %s",
        [database_now(conn) + within, limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def ended_between(conn: Connection, after: datetime, until: datetime, limit: int) -> list[FulfillmentKey]:
    """Those waiting whose deadline lies after one moment and not after another, the first first."""
    rows = conn.execute(
        f"""
        {_KEYS} FROM {_PENDING} AND r.fulfillment_expires_at > %s AND r.fulfillment_expires_at <= %s
        ORDER BY r.fulfillment_expires_at LIMIT %s
        """,
        [after, until, limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def without_flow(conn: Connection, since: timedelta, limit: int) -> list[FulfillmentKey]:
    """Those whose flow nobody has made sure of, or not for a while, longest first."""
    rows = conn.execute(
        f"""
        {_KEYS} FROM {_PENDING} AND (r.fulfillment_flow_at IS NULL OR r.fulfillment_flow_at <= %s)
        ORDER BY r.fulfillment_flow_at NULLS FIRST LIMIT %s
        """,
        [database_now(conn) - since, limit],
    )
    return [FulfillmentKey(*row) for row in rows]


def note_flows(conn: Connection, redemption_ids: list[UUID]) -> None:
    """Note that these have a flow now. What somebody else is changing is left for the next time."""
    conn.execute(
        """
        UPDATE redemptions SET fulfillment_flow_at = openscrip_now()
        WHERE id IN (SELECT id FROM redemptions WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
        """,
        [arrays.uuids(redemption_ids)],
    )


def forget_flows(conn: Connection) -> None:
    """Note that nobody has made sure of any flow. What somebody else is changing is left."""
    conn.execute(
        f"""
        UPDATE redemptions SET fulfillment_flow_at = NULL
        WHERE id IN (
            SELECT r.id FROM {_PENDING} AND r.fulfillment_flow_at IS NOT NULL ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
        )
        """
    )


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first deadline after a moment; None without one."""
    row: Any = conn.execute(
        f"SELECT min(r.fulfillment_expires_at) FROM {_PENDING} AND r.fulfillment_expires_at > %s", [after]
    ).fetchone()
    moment: datetime | None = row[0]
    return moment


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many different deadlines there are from now on and not after `until`; counting stops at `limit`."""
    row: Any = conn.execute(
        f"""
        SELECT count(*) FROM (
            SELECT DISTINCT r.fulfillment_expires_at FROM {_PENDING}
            AND r.fulfillment_expires_at > openscrip_now() AND r.fulfillment_expires_at <= %s LIMIT %s
        ) AS moments
        """,
        [until, limit],
    ).fetchone()
    return int(row[0])
