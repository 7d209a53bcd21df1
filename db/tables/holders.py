"""Rows of holders: participants, their enrolments, groups, their members, and the state of both."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from db.tables.core import UTC_TIME


class Holder(SQLModel, table=True):
    __tablename__ = "holders"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    kind: str
    tags: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    counters: dict[str, object] = Field(default_factory=dict, sa_type=JSONB)
    attributes: dict[str, str] = Field(default_factory=dict, sa_type=JSONB)
    state_changed_at: datetime | None = Field(default=None, sa_type=UTC_TIME)


class Participant(SQLModel, table=True):
    __tablename__ = "participants"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    external_id: str
    status: str = "ACTIVE"
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    created_at: datetime = Field(sa_type=UTC_TIME)
    updated_at: datetime = Field(sa_type=UTC_TIME)


class Enrollment(SQLModel, table=True):
    __tablename__ = "enrollments"

    participant_id: UUID = Field(primary_key=True)
    program_id: UUID = Field(primary_key=True)
    organization_id: UUID
    status: str = "ACTIVE"
    enrolled_at: datetime = Field(sa_type=UTC_TIME)
    updated_at: datetime = Field(sa_type=UTC_TIME)


class Group(SQLModel, table=True):
    __tablename__ = "groups"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    name: str
    status: str = "ACTIVE"
    on_behalf_of_participant_id: UUID | None = None
    created_at: datetime = Field(sa_type=UTC_TIME)
    updated_at: datetime = Field(sa_type=UTC_TIME)
    deleted_at: datetime | None = Field(default=None, sa_type=UTC_TIME)


class GroupMember(SQLModel, table=True):
    __tablename__ = "group_members"

    group_id: UUID = Field(primary_key=True)
    participant_id: UUID = Field(primary_key=True)
    organization_id: UUID
    role: str
    status: str = "ACTIVE"
    on_behalf_of_participant_id: UUID | None = None
    joined_at: datetime = Field(sa_type=UTC_TIME)
    position: int
    left_at: datetime | None = Field(default=None, sa_type=UTC_TIME)
