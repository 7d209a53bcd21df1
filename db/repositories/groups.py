"""Groups and their members, and what the API shows with them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row
from sqlmodel import Session, col, select

from db.repositories import ledger, parties
from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import contains
from db.session import psycopg_of
from db.tables.holders import Group, GroupMember


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """What a list of groups is narrowed to; an explicit status shows archived ones without `is_archived_shown`."""

    search: str | None = None
    status: str | None = None
    is_archived_shown: bool = False


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A participant's latest membership, as lists show it."""

    participant_id: UUID
    external_id: str
    role: str
    status: str
    joined_at: datetime
    position: int
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class TotalRow:
    """What a group has of an asset, in all buckets and programs."""

    asset_id: UUID
    scale: int
    total: Decimal


def insert(session: Session, group: Group) -> None:
    """Create a group with its holder row."""
    psycopg_of(session).execute(
        "INSERT INTO holders (id, organization_id, kind) VALUES (%s, %s, 'GROUP')", (group.id, group.organization_id)
    )
    session.add(group)
    session.flush()


def find(session: Session, organization_id: UUID, group_id: UUID) -> Group | None:
    """A group of the organization, as it is now."""
    statement = select(Group).where(Group.id == group_id, Group.organization_id == organization_id)
    return session.exec(statement.execution_options(populate_existing=True)).first()


def lock_holders(session: Session, holder_ids: Collection[UUID]) -> None:
    """Lock the rows of holders in id order until the transaction ends."""
    ledger.lock_holders(psycopg_of(session), holder_ids)


def page(session: Session, organization_id: UUID, wanted: GroupFilter, keyset: Keyset) -> Slice[Group]:
    """One page of the organization's groups."""
    statement = select(Group).where(Group.organization_id == organization_id)
    if wanted.status is not None:
        statement = statement.where(Group.status == wanted.status)
    elif not wanted.is_archived_shown:
        statement = statement.where(Group.status != "ARCHIVED")
    if wanted.search is not None:
        statement = statement.where(contains(wanted.search, Group.name))
    return keyset.cut(session.exec(statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)).all())


def statuses(session: Session, organization_id: UUID, participant_ids: Collection[UUID]) -> dict[UUID, str]:
    """The statuses of the organization's participants among these ids."""
    return parties.participant_statuses(psycopg_of(session), organization_id, participant_ids)


def active_among(session: Session, organization_id: UUID, group_ids: Collection[UUID]) -> set[UUID]:
    """Which of these ids are ACTIVE groups of the organization."""
    found = parties.group_statuses(psycopg_of(session), organization_id, group_ids)
    return {id_ for id_, status in found.items() if status == "ACTIVE"}


def totals(session: Session, group_id: UUID) -> list[TotalRow]:
    """A group's totals of every asset it ever had an entry in, by asset id."""
    with psycopg_of(session).cursor(row_factory=class_row(TotalRow)) as cursor:
        return cursor.execute(
            "SELECT b.asset_id, a.scale, sum(b.available + b.held + b.deferred) AS total"
            " FROM balances b JOIN assets a ON a.id = b.asset_id WHERE b.holder_id = %s AND b.account_seq > 0"
            " GROUP BY b.asset_id, a.scale ORDER BY b.asset_id",
            (group_id,),
        ).fetchall()


# -------------------------------------------------------------------- members


def members(session: Session, group_id: UUID, keyset: Keyset, *, is_former_shown: bool) -> Slice[MemberRow]:
    """One page of a group's members."""
    after, values = keyset.where_sql()
    narrowed = "" if is_former_shown else "AND m.status = 'ACTIVE'"
    with psycopg_of(session).cursor(row_factory=class_row(MemberRow)) as cursor:
        cursor.execute(
            "SELECT m.participant_id, p.external_id, m.role, m.status, m.joined_at, m.position, m.left_at"
            " FROM group_members m JOIN participants p ON p.id = m.participant_id"
            f" WHERE m.group_id = %(group_id)s {narrowed} AND {after} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}",
            {**values, "group_id": group_id},
        )
        return keyset.cut(cursor.fetchall())


def active_members(session: Session, group_id: UUID, participant_ids: Collection[UUID]) -> set[UUID]:
    """Which of these participants are ACTIVE members."""
    statement = select(GroupMember.participant_id).where(
        GroupMember.group_id == group_id,
        col(GroupMember.participant_id).in_(participant_ids),
        GroupMember.status == "ACTIVE",
    )
    return set(session.exec(statement))


def join(session: Session, rows: Sequence[GroupMember]) -> None:
    """Add members; one who was a member before has one row still, the new membership."""
    with psycopg_of(session).cursor() as cursor:
        cursor.executemany(
            "INSERT INTO group_members (group_id, participant_id, organization_id, role, on_behalf_of_participant_id, joined_at,"
            " position) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (group_id, participant_id) DO UPDATE"
            " SET role = EXCLUDED.role, status = 'ACTIVE', joined_at = EXCLUDED.joined_at, position = EXCLUDED.position,"
            " on_behalf_of_participant_id = EXCLUDED.on_behalf_of_participant_id, left_at = NULL",
            [
                (
                    row.group_id,
                    row.participant_id,
                    row.organization_id,
                    row.role,
                    row.on_behalf_of_participant_id,
                    row.joined_at,
                    row.position,
                )
                for row in rows
            ],
        )


def find_active(session: Session, group_id: UUID, participant_id: UUID) -> GroupMember | None:
    """An ACTIVE membership, as it is now."""
    statement = select(GroupMember).where(
        GroupMember.group_id == group_id, GroupMember.participant_id == participant_id, GroupMember.status == "ACTIVE"
    )
    return session.exec(statement.execution_options(populate_existing=True)).first()


def has_other_admin(session: Session, group_id: UUID, participant_id: UUID) -> bool:
    """Whether somebody else is an ACTIVE member with the role ADMIN."""
    statement = select(GroupMember.participant_id).where(
        GroupMember.group_id == group_id,
        GroupMember.participant_id != participant_id,
        GroupMember.status == "ACTIVE",
        GroupMember.role == "ADMIN",
    )
    return session.exec(statement.limit(1)).first() is not None
