"""The data of `transfer.completed` (webhooks.md 5.8)."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import Amount, MessageModel, Moment, Party


class TransferLeg(Party):
    amount: Amount


class TransferCompleted(MessageModel):
    """Value moved from one holder to others. One message; the holders get no balance messages."""

    program_id: UUID
    asset_id: UUID
    asset_symbol: str
    journal_entry_id: UUID
    created_by_api_key_id: UUID
    source: Party
    recipients: Annotated[list[TransferLeg], Field(description="In the order of the request")]
    recipient_count: int
    total_amount: Amount
    description: str
    occurred_at: Moment
