"""Participants and groups by the ids that a request names, and their statuses under their locks."""

from collections.abc import Collection
from uuid import UUID

from db.session import Connection


def by_external_id(conn: Connection, organization_id: UUID, external_ids: Collection[str]) -> dict[str, UUID]:
    """The organization's participants among these external ids."""
    rows = conn.execute(
        "SELECT external_id, id FROM participants WHERE organization_id = %s AND external_id = ANY(%s)",
        [organization_id, list(external_ids)],
    )
    return dict(rows.fetchall())


def participant_statuses(conn: Connection, organization_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """The statuses of the organization's participants among these ids."""
    rows = conn.execute(
        "SELECT id, status FROM participants WHERE organization_id = %s AND id = ANY(%s)", [organization_id, list(ids)]
    )
    return dict(rows.fetchall())


def group_statuses(conn: Connection, organization_id: UUID, ids: Collection[UUID]) -> dict[UUID, str]:
    """The statuses of the organization's groups among these ids."""
    rows = conn.execute("SELECT id, status FROM groups WHERE organization_id = %s AND id = ANY(%s)", [organization_id, list(ids)])
    return dict(rows.fetchall())
