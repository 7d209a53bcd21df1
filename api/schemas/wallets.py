"""Requests and responses of programs' wallets."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import AmountStr, CreateModel, IdempotencyKey, ListQuery, OptionalText500, ResponseModel, Uuid
from domain.money import ZERO, format_amount
from services.assets import IssuancePolicy
from services.wallets import WalletChange, WalletChanged, WalletRow


class WalletOperation(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"amount": "1000.00", "description": "Spring budget", "idempotency_key": "budget-2026-04"}}
    )

    amount: AmountStr
    description: OptionalText500 = Field(default=None, description="`Program funded` or `Program burned` without it")
    idempotency_key: IdempotencyKey | None = None

    def to_command(self, program_id: UUID, asset_id: UUID) -> WalletChange:
        """The use case's input."""
        return WalletChange(program_id, asset_id, self.amount, self.description)


class ProgramBalanceQuery(ListQuery):
    asset_id: Uuid | None = None


class WalletChangeRead(ResponseModel):
    available: Annotated[str, Field(examples=["1000.00"], description="The wallet after it")]
    journal_entry_id: UUID
    message: Annotated[str, Field(examples=["Program funded successfully"])]


class WalletRead(ResponseModel):
    asset_id: UUID
    available: Annotated[str, Field(examples=["1000.00"])]
    held: Annotated[str, Field(examples=["0.00"], description="Always zero")]
    deferred: Annotated[str, Field(examples=["0.00"], description="Always zero")]
    issuance_policy: IssuancePolicy


def change_body(done: WalletChanged, message: str) -> dict[str, Any]:
    """The answer to a fund or burn: plain texts, as idempotency keys store it."""
    return {
        "available": format_amount(done.available, done.asset.scale),
        "journal_entry_id": str(done.journal_entry_id),
        "message": message,
    }


def wallet_body(row: WalletRow) -> dict[str, Any]:
    """A wallet in a program's list."""
    zero = format_amount(ZERO, row.scale)
    return {
        "asset_id": row.asset_id,
        "available": format_amount(row.available, row.scale),
        "held": zero,
        "deferred": zero,
        "issuance_policy": IssuancePolicy.PREFUNDED,
    }
