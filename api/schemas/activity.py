"""Requests and responses of what reads accounts: balances, lots, histories, statements."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import (
    Choice,
    EventTimeRange,
    ListQuery,
    Paged,
    QueryModel,
    ReferenceId,
    ResponseModel,
    TimeRange,
    Timestamp,
    Uuid,
)
from domain.ledger.accounts import total
from domain.money import format_amount
from services.activity import (
    AssetTerms,
    BalanceRow,
    Bucket,
    HistoryFilter,
    HistoryRow,
    LotFilter,
    LotRow,
    LotStatus,
    Statement,
    StatementQuery,
)
from services.group_activity import GroupBalanceRow, GroupStatementQuery, Place


class BalanceQuery(QueryModel):
    asset_id: Uuid | None = Field(default=None, description="Exactly this asset's row, zeros if untouched")


class LotQuery(ListQuery):
    asset_id: Uuid = Field(description="A LOT asset")
    program_id: Uuid | None = Field(default=None, description="Lots made in that program")
    status: Choice[LotStatus] | None = None
    expires_before: Timestamp | None = Field(default=None, description="Strictly before; lots without a date don't match")
    expires_after: Timestamp | None = Field(default=None, description="Strictly after; lots without a date don't match")
    reference_id: ReferenceId | None = None

    def to_filter(self) -> LotFilter:
        """The service's filter."""
        return LotFilter(self.program_id, self.status, self.expires_before, self.expires_after, self.reference_id)


class HistoryQuery(EventTimeRange, ListQuery):
    asset_id: Uuid | None = None
    bucket: Choice[Bucket] | None = None

    def to_filter(self) -> HistoryFilter:
        """The service's filter."""
        return HistoryFilter(self.asset_id, self.bucket, self.from_, self.to, self.event_from, self.event_to)


class AccountStatementQuery(TimeRange, ListQuery):
    asset_id: Uuid = Field(description="The statement is of this asset")
    bucket: Choice[Bucket] | None = Field(default=None, description="Limits lines and balances to one bucket")

    def to_query(self, after: tuple[str | None, ...] | None) -> StatementQuery:
        """The service's query; `after` are the cursor's values: the last line's place, and the end of the statement."""
        place, until = (0, None) if after is None else (int(str(after[0])), int(str(after[1])))
        return StatementQuery(self.asset_id, self.bucket, self.from_, self.to, self.limit, place, until)


class GroupBalanceQuery(QueryModel):
    program_id: Uuid | None = Field(default=None, description="Only the pairs of this program")


class GroupHistoryQuery(HistoryQuery):
    program_id: Uuid | None = Field(default=None, description="Only the pairs of this program")

    def to_filter(self) -> HistoryFilter:
        return replace(super().to_filter(), program_id=self.program_id)


class GroupAccountQuery(AccountStatementQuery):
    program_id: Uuid | None = Field(default=None, description="The statement is of this program's pair")

    def to_group_query(self, after: tuple[str | None, ...] | None) -> GroupStatementQuery:
        """The service's query; `after` are the cursor's values: the place of the last line, that of the statement's end."""
        place, until = (None, None) if after is None else (_place(after[:3]), _place(after[3:]))
        return GroupStatementQuery(self.asset_id, self.program_id, self.bucket, self.from_, self.to, self.limit, place, until)


def _place(values: tuple[str | None, ...]) -> Place:
    created_at, entry_id, ordinal = map(str, values)
    return Place(datetime.fromisoformat(created_at), UUID(entry_id), int(ordinal))


class AssetBalanceRead(ResponseModel):
    asset_id: UUID
    symbol: str
    available: Annotated[str, Field(examples=["60.00"], description="May be negative by overdraft")]
    held: Annotated[str, Field(examples=["40.00"])]
    deferred: Annotated[str, Field(examples=["0.00"])]


class GroupBalanceRead(ResponseModel):
    asset_id: UUID
    balance: Annotated[str, Field(examples=["150.00"], description="The sum of the three")]
    available: Annotated[str, Field(examples=["110.00"], description="May be negative by overdraft")]
    held: Annotated[str, Field(examples=["40.00"])]
    deferred: Annotated[str, Field(examples=["0.00"])]


class LotRead(ResponseModel):
    id: UUID
    asset_id: UUID
    program_id: UUID
    amount: Annotated[str, Field(examples=["100"], description="Original amount of this lot")]
    remaining: Annotated[str, Field(examples=["30"])]
    status: LotStatus
    created_at: Annotated[datetime, Field(description="When it was earned")]
    expires_at: datetime | None
    matures_at: datetime | None
    reference_id: str | None
    parent_lot_id: Annotated[UUID | None, Field(description="The lot it was split from")]


class HistoryItem(ResponseModel):
    journal_entry_id: UUID
    action_type: Annotated[str, Field(examples=["CREDIT"])]
    asset_id: UUID
    amount: Annotated[str, Field(examples=["-40.00"], description="Signed")]
    bucket: Bucket
    description: str
    event_id: UUID | None
    event_timestamp: datetime | None
    created_by_api_key_id: UUID | None
    created_at: datetime


class GroupHistoryItem(HistoryItem):
    program_id: Annotated[UUID, Field(description="Of the pair")]


class StatementLine(ResponseModel):
    posting_id: UUID
    journal_entry_id: UUID
    action_type: Annotated[str, Field(examples=["HOLD"])]
    amount: Annotated[str, Field(examples=["-40.00"], description="Signed")]
    bucket: Bucket
    running_balance: Annotated[str, Field(examples=["60.00"], description="After the line")]
    description: str
    event_id: UUID | None
    event_timestamp: datetime | None
    created_by_api_key_id: UUID | None
    created_at: datetime


class StatementRead(Paged[StatementLine]):
    asset_id: UUID
    bucket: Annotated[Bucket | None, Field(description="Only when given")] = None
    from_: Annotated[datetime | None, Field(alias="from", description="Only when given")] = None
    to: Annotated[datetime | None, Field(description="Only when given")] = None
    opening_balance: Annotated[str, Field(examples=["0.00"])]
    closing_balance: Annotated[str, Field(examples=["90.00"], description="The same on every page")]


class GroupStatementLine(StatementLine):
    program_id: Annotated[UUID, Field(description="Of the pair")]


class GroupStatementRead(Paged[GroupStatementLine]):
    asset_id: UUID
    program_id: Annotated[UUID | None, Field(description="Only when given")] = None
    bucket: Annotated[Bucket | None, Field(description="Only when given")] = None
    from_: Annotated[datetime | None, Field(alias="from", description="Only when given")] = None
    to: Annotated[datetime | None, Field(description="Only when given")] = None
    opening_balance: Annotated[str, Field(examples=["0.00"])]
    closing_balance: Annotated[str, Field(examples=["110.00"], description="The same on every page")]


def group_balance_body(row: GroupBalanceRow) -> dict[str, Any]:
    """One asset's balance of a group."""
    parts = {"available": row.available, "held": row.held, "deferred": row.deferred}
    amounts = {"balance": total(parts.values()), **parts}
    return {"asset_id": row.asset_id, **{name: format_amount(amount, row.scale) for name, amount in amounts.items()}}


def balance_body(row: BalanceRow) -> dict[str, Any]:
    """One asset's balance."""
    amounts = {"available": row.available, "held": row.held, "deferred": row.deferred}
    texts = {name: format_amount(amount, row.scale) for name, amount in amounts.items()}
    return {"asset_id": row.asset_id, "symbol": row.symbol, **texts}


def lot_body(row: LotRow, asset: AssetTerms) -> dict[str, Any]:
    """A lot as lists show it."""
    return {
        "id": row.id,
        "asset_id": row.asset_id,
        "program_id": row.program_id,
        "amount": format_amount(row.amount, asset.scale),
        "remaining": format_amount(row.remaining, asset.scale),
        "status": row.status,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "matures_at": row.matures_at,
        "reference_id": row.reference_id,
        "parent_lot_id": row.parent_lot_id,
    }


def history_body(row: HistoryRow) -> dict[str, Any]:
    """A posting as histories show it."""
    return {
        "journal_entry_id": row.journal_entry_id,
        "action_type": row.action_type,
        "asset_id": row.asset_id,
        "amount": format_amount(row.amount, row.scale),
        "bucket": row.bucket,
        "description": row.description,
        "event_id": row.event_id,
        "event_timestamp": row.event_timestamp,
        "created_by_api_key_id": row.created_by_api_key_id,
        "created_at": row.created_at,
    }


def group_history_body(row: HistoryRow) -> dict[str, Any]:
    """A posting as histories of groups show it."""
    return history_body(row) | {"program_id": row.program_id}


def group_line_body(row: HistoryRow) -> dict[str, Any]:
    """A posting as statements of groups show it."""
    return line_body(row, of_bucket=False) | {"program_id": row.program_id}


def line_body(row: HistoryRow, *, of_bucket: bool) -> dict[str, Any]:
    """A posting as statements show it, with the balance of its bucket or of all three after it."""
    body = history_body(row)
    del body["asset_id"]
    running = row.balance_after if of_bucket else row.total_after
    return {"posting_id": row.posting_id, **body, "running_balance": format_amount(running, row.scale)}


def statement_head(query: AccountStatementQuery, found: Statement) -> dict[str, Any]:
    """A statement without its lines."""
    program_id = getattr(query, "program_id", None)
    echo = {"program_id": program_id, "bucket": query.bucket, "from": query.from_, "to": query.to}
    return {
        "asset_id": query.asset_id,
        **{name: value for name, value in echo.items() if value is not None},
        "opening_balance": format_amount(found.opening_balance, found.asset.scale),
        "closing_balance": format_amount(found.closing_balance, found.asset.scale),
    }
