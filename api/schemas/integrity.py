"""Request and response of the integrity report."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.common import QueryModel, ResponseModel, query_integer
from services.integrity import IntegrityReport


class IntegrityQuery(QueryModel):
    window: Annotated[int, query_integer(1, 10_000)] = Field(
        default=1000, description="How many of the latest sealed entries are verified, 1-10000"
    )


class CheckRead(ResponseModel):
    passed: Annotated[bool, Field(alias="pass")]
    violation_count: int


class ChainCheckRead(CheckRead):
    entries_verified: int
    anchored_at_genesis: Annotated[bool, Field(description="Whether the window reaches number 1")]


class ChecksRead(ResponseModel):
    postings_balanced: Annotated[CheckRead, Field(description="Each entry of the window, and each unsealed one, sums to zero")]
    value_conservation: Annotated[CheckRead, Field(description="Each asset sums to zero over all accounts")]
    balances_match: Annotated[CheckRead, Field(description="Each balance that is kept for speed is the sum of its postings")]
    lots_match: Annotated[CheckRead, Field(description="Remainders of lots agree with balances")]
    unsealed_entries: Annotated[CheckRead, Field(description="No entry has been unsealed for more than 60 seconds")]
    hash_chain: Annotated[ChainCheckRead, Field(description="Hashes and links of the window recompute")]


class ChainHeadRead(ResponseModel):
    hash: Annotated[str, Field(examples=["4894a4177406e579a8c9954ed5fbd4da2f6e18b27ad6fc6dc2635ee0ea922f38"])]
    sequence_number: int
    created_at: datetime | None


class IntegrityRead(ResponseModel):
    organization_id: UUID
    verified_at: datetime
    window: int
    all_passed: bool
    chain_head: ChainHeadRead | None
    checks: ChecksRead


def integrity_body(report: IntegrityReport) -> dict[str, Any]:
    """The report; a failed check is a result like any other."""
    checks: dict[str, dict[str, Any]] = {
        name: {"pass": count == 0, "violation_count": count} for name, count in report.violations.items()
    }
    checks["hash_chain"] |= {"entries_verified": report.entries_verified, "anchored_at_genesis": report.is_anchored}
    head = report.chain_head
    return {
        "organization_id": report.organization_id,
        "verified_at": report.verified_at,
        "window": report.window,
        "all_passed": not any(report.violations.values()),
        "chain_head": head and {"hash": head.hash, "sequence_number": head.sequence_number, "created_at": head.created_at},
        "checks": checks,
    }
