"""The data of `program.funded` and `program.burned` (webhooks.md 5.12)."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import Amount, MessageModel, Moment


class WalletMessage(MessageModel):
    program_id: UUID
    program_name: str
    asset_id: UUID
    asset_symbol: str
    amount: Amount
    available: Annotated[Amount, Field(description="What is in the wallet afterwards")]
    description: str
    journal_entry_id: UUID
    created_by_api_key_id: UUID
    occurred_at: Moment


class ProgramFunded(WalletMessage):
    """A program's wallet of a PREFUNDED asset was filled."""


class ProgramBurned(WalletMessage):
    """Value was taken out of circulation from a program's wallet."""
