"""Rows of tenants, programs and assets. Tables don't validate: whatever is put here has been checked before."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ARRAY, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlmodel import Field, SQLModel

UTC_TIME = TIMESTAMP(timezone=True)


class Organization(SQLModel, table=True):
    __tablename__ = "organizations"

    id: UUID = Field(primary_key=True)
    name: str
    status: str = "ACTIVE"
    created_at: datetime = Field(sa_type=UTC_TIME)


class ApiKey(SQLModel, table=True):
    __tablename__ = "api_keys"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    name: str
    key_hash: bytes
    key_hint: str
    created_at: datetime = Field(sa_type=UTC_TIME)
    revoked_at: datetime | None = Field(default=None, sa_type=UTC_TIME)


class Program(SQLModel, table=True):
    __tablename__ = "programs"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    name: str
    description: str | None = None
    on_unknown_participant: str = "CREATE"
    redemption_target_type: str = "SYSTEM_REDEMPTION"
    redemption_target_entity_id: UUID | None = None
    status: str = "ACTIVE"
    created_at: datetime = Field(sa_type=UTC_TIME)
    updated_at: datetime = Field(sa_type=UTC_TIME)
    deleted_at: datetime | None = Field(default=None, sa_type=UTC_TIME)


class ProgramState(SQLModel, table=True):
    __tablename__ = "program_states"

    program_id: UUID = Field(primary_key=True)
    organization_id: UUID
    tags: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    counters: dict[str, object] = Field(default_factory=dict, sa_type=JSONB)
    attributes: dict[str, str] = Field(default_factory=dict, sa_type=JSONB)
    version: int = 0


class Asset(SQLModel, table=True):
    __tablename__ = "assets"

    id: UUID = Field(primary_key=True)
    organization_id: UUID
    name: str
    symbol: str
    inventory_mode: str
    issuance_policy: str
    scale: int
    max_transaction_amount: Decimal | None = Field(default=None, sa_type=Numeric(38, 18))
    expiry_notice_days: int | None = None
    status: str = "ACTIVE"
    created_at: datetime = Field(sa_type=UTC_TIME)
    updated_at: datetime = Field(sa_type=UTC_TIME)
    deleted_at: datetime | None = Field(default=None, sa_type=UTC_TIME)


class ProgramAsset(SQLModel, table=True):
    __tablename__ = "program_assets"

    program_id: UUID = Field(primary_key=True)
    asset_id: UUID = Field(primary_key=True)
    organization_id: UUID
    linked_at: datetime = Field(sa_type=UTC_TIME)
