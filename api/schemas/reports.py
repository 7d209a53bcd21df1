"""Requests and responses of the reports on all holders' value."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import Given, ListQuery, Paged, QueryBoolean, QueryModel, ResponseModel, Timestamp, Uuid, fault, ordered
from domain.errors import Fault
from domain.ledger.accounts import Bucket
from domain.money import format_amount
from services.reports import AssetRow, LiabilityRow, Line, PairRow, ReportScope, Rollforward, SummaryRow, Window


class WholeWindow(QueryModel):
    """`from` and `to`, both or neither; mix in before ListQuery."""

    from_: Timestamp | None = Field(default=None, alias="from", description="Begins the window; only together with `to`")
    to: Timestamp | None = Field(default=None, description="Ends the window, included; only together with `from`")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        for name, other in (("from", "to"), ("to", "from")):
            if name not in given and other in given:
                yield fault(name, "required", f"Needed together with {other}", expected="timestamp")
        yield from ordered(given, ("from", "to"))

    @property
    def window(self) -> Window | None:
        """The window, if one is asked for."""
        return None if self.from_ is None or self.to is None else Window(self.from_, self.to)


class RequiredWindow(QueryModel):
    """`from` and `to`; mix in before ListQuery."""

    from_: Timestamp = Field(alias="from", description="Begins the window")
    to: Timestamp = Field(description="Ends the window, included")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from ordered(given, ("from", "to"))

    @property
    def window(self) -> Window:
        """The window."""
        return Window(self.from_, self.to)


class EntryScope(QueryModel):
    """Entries of a program, or of an asset, or all; mix in before ListQuery."""

    program_id: Uuid | None = Field(default=None, description="Only this program's entries")
    asset_id: Uuid | None = Field(default=None, description="Only this asset")

    @property
    def scope(self) -> ReportScope:
        """The service's scope."""
        return ReportScope(self.program_id, self.asset_id)


class SummaryQuery(WholeWindow, ListQuery):
    program_id: Uuid | None = Field(default=None, description="Only this program's assets and entries")


class LiabilityQuery(EntryScope, ListQuery):
    as_of: Timestamp | None = Field(default=None, description="Entries recorded until then; now by default")
    by_bucket: QueryBoolean = Field(default=False, description="Three rows for each asset and program")


class RollforwardQuery(RequiredWindow, EntryScope, ListQuery):
    """Both are asked for at once: a window of the scope."""


class SummaryRead(ResponseModel):
    asset_id: UUID
    asset_name: str
    asset_symbol: Annotated[str, Field(examples=["PTS"])]
    total_issued: Annotated[str, Field(examples=["690"], description="All-time, net of debits, voids and returns")]
    total_redeemed: Annotated[str, Field(examples=["100"], description="All-time, net of reversals and of what targets received")]
    total_expired: Annotated[str, Field(examples=["50"])]
    total_forfeited: Annotated[str, Field(examples=["30"])]
    current_balance: Annotated[str, Field(examples=["510"], description="Issued - redeemed - expired - forfeited")]
    participant_count: Annotated[int, Field(examples=[2], description="Participants whose postings don't sum to zero")]
    opening_balance: Annotated[str | None, Field(examples=["0"], description="Only with `from` and `to`")] = None
    period_issued: Annotated[str | None, Field(examples=["700"], description="Gross; only with `from` and `to`")] = None
    period_redeemed: Annotated[str | None, Field(examples=["120"], description="Gross; only with `from` and `to`")] = None
    period_expired: Annotated[str | None, Field(examples=["50"], description="Only with `from` and `to`")] = None
    period_forfeited: Annotated[str | None, Field(examples=["30"], description="Only with `from` and `to`")] = None
    other_adjustments_net: Annotated[
        str | None, Field(examples=["10"], description="Everything else, signed; only with `from` and `to`")
    ] = None
    closing_balance: Annotated[str | None, Field(examples=["510"], description="Only with `from` and `to`")] = None


class PairRead(ResponseModel):
    asset_id: UUID
    asset_name: str
    asset_symbol: Annotated[str, Field(examples=["PTS"])]
    program_id: UUID
    program_name: str
    scale: Annotated[int, Field(examples=[0])]


class LiabilityRead(PairRead):
    bucket: Annotated[Bucket | None, Field(description="Only with `by_bucket=true`")] = None
    balance: Annotated[str, Field(examples=["510"], description="May be negative where value was earned in another program")]


class LiabilityPage(Paged[LiabilityRead]):
    """One page of the liability, all of one moment."""

    as_of: Annotated[datetime, Field(description="As given, or chosen; later pages keep it")]


Added = Annotated[str, Field(examples=["20"], description="Added")]
Taken = Annotated[str, Field(examples=["10"], description="A magnitude that is subtracted")]


class RollforwardRead(PairRead):
    """`closing_balance` is `opening_balance` with all lines added or subtracted, exactly."""

    opening_balance: Annotated[str, Field(examples=["0"], description="Just before `from`")]
    issued: Added
    redeemed: Taken
    redemption_reversals: Added
    redemption_receipts: Added
    debited: Taken
    forfeited: Taken
    expired: Taken
    holds_voided: Taken
    issuance_returns: Taken
    reversal_clawbacks: Taken
    transfers_net: Added
    bucket_movements_net: Added
    adjustments_net: Added
    closing_balance: Annotated[str, Field(examples=["510"], description="At `to`")]


def summary_body(row: SummaryRow) -> dict[str, Any]:
    """One asset of the summary."""
    scale, ever = row.asset.scale, row.ever
    amounts = {
        "total_issued": ever.issued_net,
        "total_redeemed": ever.redeemed_net,
        "total_expired": ever[Line.EXPIRED],
        "total_forfeited": ever[Line.FORFEITED],
        "current_balance": row.balance,
    }
    body = _asset_body(row.asset) | {name: format_amount(amount, scale) for name, amount in amounts.items()}
    body["participant_count"] = row.participants
    return body if row.period is None else body | _period_body(row.period)


def _period_body(period: Rollforward[AssetRow]) -> dict[str, str]:
    lines = period.activity
    amounts = {
        "opening_balance": period.opening,
        "period_issued": lines[Line.ISSUED],
        "period_redeemed": lines[Line.REDEEMED],
        "period_expired": lines[Line.EXPIRED],
        "period_forfeited": lines[Line.FORFEITED],
        "other_adjustments_net": lines.others_net,
        "closing_balance": period.closing,
    }
    return {name: format_amount(amount, period.head.scale) for name, amount in amounts.items()}


def _asset_body(row: AssetRow | PairRow) -> dict[str, Any]:
    return {"asset_id": row.asset_id, "asset_name": row.asset_name, "asset_symbol": row.asset_symbol}


def _pair_body(row: PairRow) -> dict[str, Any]:
    return _asset_body(row) | {"program_id": row.program_id, "program_name": row.program_name, "scale": row.scale}


def liability_body(row: LiabilityRow) -> dict[str, Any]:
    """One asset of one program, or one bucket of it."""
    bucket = {} if row.pair.bucket is None else {"bucket": row.pair.bucket}
    return _pair_body(row.pair) | bucket | {"balance": format_amount(row.balance, row.pair.scale)}


def rollforward_body(row: Rollforward[PairRow]) -> dict[str, Any]:
    """One asset of one program with all lines."""
    amounts = (
        {"opening_balance": row.opening} | {str(line): row.activity[line] for line in Line} | {"closing_balance": row.closing}
    )
    return _pair_body(row.head) | {name: format_amount(amount, row.head.scale) for name, amount in amounts.items()}
