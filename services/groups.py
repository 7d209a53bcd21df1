"""Groups and their members (participants-groups.md, Groups, Members)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import groups as repository
from db.repositories import organizations as clock
from db.repositories.groups import GroupFilter, MemberRow, TotalRow
from db.tables.holders import Group, GroupMember
from domain.errors import AlreadyMember, GroupArchived, LastAdmin, ParticipantInactive, not_found
from runtime.ids import new_id
from services import due
from services.paging import Keyset, Slice

__all__ = ["Group", "GroupFilter", "MemberRow", "TotalRow"]


class GroupStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class Role(StrEnum):
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"


class MemberStatus(StrEnum):
    ACTIVE = "ACTIVE"
    LEFT = "LEFT"


@dataclass(frozen=True, slots=True)
class NewMember:
    """Who is to join, in which role; `field` is where the request named the participant."""

    participant_id: UUID
    role: Role
    field: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group with what it has of each asset, in all buckets and programs."""

    group: Group
    totals: list[TotalRow]


def create_group(
    session: Session, organization_id: UUID, name: str, members: Sequence[NewMember], on_behalf_of: UUID | None
) -> Group:
    """Create a group with its members, all or nothing; NotFound, ParticipantInactive."""
    _require_participants(session, organization_id, members, on_behalf_of)
    repository.lock_holders(session, [member.participant_id for member in members])
    _require_active(repository.statuses(session, organization_id, [member.participant_id for member in members]), members)
    now = clock.now(session)
    group = Group(
        id=new_id(),
        organization_id=organization_id,
        name=name,
        on_behalf_of_participant_id=on_behalf_of,
        created_at=now,
        updated_at=now,
    )
    repository.insert(session, group)
    repository.join(session, _memberships(group, members, on_behalf_of, now))
    return group


def list_groups(session: Session, organization_id: UUID, wanted: GroupFilter, keyset: Keyset) -> Slice[Group]:
    """One page of groups."""
    return repository.page(session, organization_id, wanted, keyset)


def get_group(session: Session, organization_id: UUID, group_id: UUID) -> GroupView:
    """A group with its totals, after what is due for it; NotFound."""
    group = require_group(session, organization_id, group_id)
    due.settle(session, organization_id, group_id)
    return GroupView(group, repository.totals(session, group_id))


def require_group(session: Session, organization_id: UUID, group_id: UUID) -> Group:
    """A group's row; NotFound."""
    group = repository.find(session, organization_id, group_id)
    if group is None:
        raise not_found("group", group_id)
    return group


def rename_group(session: Session, organization_id: UUID, group_id: UUID, name: str | None) -> Group:
    """Change the name, if one is given; NotFound, GroupArchived."""
    group = _locked(session, organization_id, group_id)
    if name is None:
        return group
    require_live(group)
    if name != group.name:
        group.name = name
        group.updated_at = clock.now(session)
        session.flush()
    return group


def archive_group(session: Session, organization_id: UUID, group_id: UUID) -> Group:
    """Archive for good; an ARCHIVED group stays as it is. NotFound."""
    group = _locked(session, organization_id, group_id)
    if group.status != GroupStatus.ARCHIVED:
        group.status = GroupStatus.ARCHIVED
        group.updated_at = group.deleted_at = clock.now(session)
        session.flush()
    return group


def require_live(group: Group) -> None:
    """Refuse every change of an ARCHIVED group."""
    if group.status == GroupStatus.ARCHIVED:
        raise GroupArchived(group_id=str(group.id))


# -------------------------------------------------------------------- members


def list_members(
    session: Session, organization_id: UUID, group_id: UUID, keyset: Keyset, *, is_former_shown: bool
) -> Slice[MemberRow]:
    """One page of members in order of joining; NotFound."""
    require_group(session, organization_id, group_id)
    return repository.members(session, group_id, keyset, is_former_shown=is_former_shown)


def add_members(
    session: Session, organization_id: UUID, group_id: UUID, members: Sequence[NewMember], on_behalf_of: UUID | None
) -> None:
    """Add members, all or nothing; NotFound, GroupArchived, AlreadyMember with all who are, ParticipantInactive."""
    require_group(session, organization_id, group_id)
    _require_participants(session, organization_id, members, on_behalf_of)
    wanted = [member.participant_id for member in members]
    group = _locked(session, organization_id, group_id, *wanted)
    require_live(group)
    present = repository.active_members(session, group_id, wanted)
    if present:
        raise AlreadyMember(group_id=str(group_id), participant_ids=[str(id_) for id_ in wanted if id_ in present])
    _require_active(repository.statuses(session, organization_id, wanted), members)
    repository.join(session, _memberships(group, members, on_behalf_of, clock.now(session)))


def set_role(
    session: Session, organization_id: UUID, group_id: UUID, participant_id: UUID, role: Role, on_behalf_of: UUID | None
) -> None:
    """Change an ACTIVE member's role; NotFound, GroupArchived, LastAdmin."""
    member = _locked_member(session, organization_id, group_id, participant_id, on_behalf_of)
    if role is not Role.ADMIN:
        _require_other_admin(session, member)
    if role != member.role:
        member.role = role
        member.on_behalf_of_participant_id = on_behalf_of
        session.flush()


def remove_member(session: Session, organization_id: UUID, group_id: UUID, participant_id: UUID) -> None:
    """Let an ACTIVE member leave; NotFound, GroupArchived, LastAdmin."""
    member = _locked_member(session, organization_id, group_id, participant_id, None)
    _require_other_admin(session, member)
    member.status = MemberStatus.LEFT
    member.left_at = clock.now(session)
    member.on_behalf_of_participant_id = None
    session.flush()


def _locked(session: Session, organization_id: UUID, group_id: UUID, *with_holders: UUID) -> Group:
    require_group(session, organization_id, group_id)
    repository.lock_holders(session, {group_id, *with_holders})
    # Read again under the lock: it may have changed while it was waited for.
    return require_group(session, organization_id, group_id)


def _locked_member(
    session: Session, organization_id: UUID, group_id: UUID, participant_id: UUID, on_behalf_of: UUID | None
) -> GroupMember:
    group = _locked(session, organization_id, group_id)
    member = repository.find_active(session, group_id, participant_id)
    if member is None:
        raise not_found("member", participant_id)
    _require_participants(session, organization_id, (), on_behalf_of)
    require_live(group)
    return member


def _require_other_admin(session: Session, member: GroupMember) -> None:
    if member.role == Role.ADMIN and not repository.has_other_admin(session, member.group_id, member.participant_id):
        raise LastAdmin(group_id=str(member.group_id), participant_id=str(member.participant_id))


def _require_participants(
    session: Session, organization_id: UUID, members: Sequence[NewMember], on_behalf_of: UUID | None
) -> None:
    wanted = [(member.participant_id, member.field) for member in members]
    if on_behalf_of is not None:
        wanted.append((on_behalf_of, "on_behalf_of_participant_id"))
    known = repository.statuses(session, organization_id, [id_ for id_, _ in wanted]) if wanted else {}
    for id_, field in wanted:
        if id_ not in known:
            raise not_found("participant", id_, field)


def _require_active(statuses: Mapping[UUID, str], members: Sequence[NewMember]) -> None:
    for member in members:
        status = statuses[member.participant_id]
        if status != "ACTIVE":
            raise ParticipantInactive(participant_id=str(member.participant_id), status=status)


def _memberships(group: Group, members: Sequence[NewMember], on_behalf_of: UUID | None, now: datetime) -> list[GroupMember]:
    return [
        GroupMember(
            group_id=group.id,
            participant_id=member.participant_id,
            organization_id=group.organization_id,
            role=member.role,
            on_behalf_of_participant_id=on_behalf_of,
            joined_at=now,
            position=position,
        )
        for position, member in enumerate(members)
    ]
