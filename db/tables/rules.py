"""Rules and their append-only history."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

_TIME = DateTime(timezone=True)


class RuleRow(SQLModel, table=True):
    """A rule as it is now; `history_id` names its present version."""

    __tablename__ = "rules"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    program_id: UUID
    name: str
    description: str | None
    condition: str
    actions: list[dict[str, Any]] = Field(sa_type=JSONB)
    order: int
    stop_after_match: bool
    active_from: datetime | None = Field(sa_type=_TIME)
    active_to: datetime | None = Field(sa_type=_TIME)
    status: str
    history_id: UUID
    created_at: datetime = Field(sa_type=_TIME)
    updated_at: datetime = Field(sa_type=_TIME)
    deleted_at: datetime | None = Field(sa_type=_TIME)


class RuleHistoryRow(SQLModel, table=True):
    """One version of a rule and what it changed; never updated."""

    __tablename__ = "rule_history"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    program_id: UUID
    rule_id: UUID
    change_type: str
    changes: dict[str, Any] = Field(sa_type=JSONB)
    snapshot: dict[str, Any] = Field(sa_type=JSONB)
    changed_at: datetime = Field(sa_type=_TIME)
    changed_by_api_key_id: UUID | None
