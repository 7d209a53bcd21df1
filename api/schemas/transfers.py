"""Request and response of a transfer."""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    AmountStr,
    CreateModel,
    Given,
    IdempotencyKey,
    ResponseModel,
    Text500,
    Uuid,
    exactly_one_of,
    fault,
)
from api.schemas.participants import ExternalId
from domain.errors import Fault
from domain.money import format_amount
from services.transfers import Party, Recipient, Transfer, Transferred

MAX_RECIPIENTS = 100
_IDS = ("external_id", "participant_id", "group_id")
_SOURCES = tuple(f"source_{name}" for name in _IDS)


class RecipientGiven(CreateModel):
    amount: AmountStr
    external_id: ExternalId | None = Field(default=None, description="A participant, by the client's id")
    participant_id: Uuid | None = None
    group_id: Uuid | None = Field(default=None, description="A group: its pair of this program")

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from exactly_one_of(given, *_IDS)


class TransferCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "program_id": "01890000-0000-7000-8000-0000000000a1",
                "asset_id": "01890000-0000-7000-8000-0000000000d1",
                "description": "Pooling for the trip",
                "source_external_id": "user-42",
                "recipients": [{"amount": "10.00", "external_id": "user-43"}],
                "idempotency_key": "transfer-7411",
            }
        }
    )

    program_id: Uuid
    asset_id: Uuid
    description: Text500
    source_external_id: ExternalId | None = Field(default=None, description="Exactly one of the three sources")
    source_participant_id: Uuid | None = None
    source_group_id: Uuid | None = None
    recipients: list[RecipientGiven] = Field(description="1-100; each is a posting of its own")
    idempotency_key: IdempotencyKey | None = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        yield from exactly_one_of(given, *_SOURCES)
        recipients = given.get("recipients")
        if isinstance(recipients, list) and not recipients:
            yield fault("recipients", "too_short", "At least one", expected=f"1 to {MAX_RECIPIENTS} recipients")
        if isinstance(recipients, list) and len(recipients) > MAX_RECIPIENTS:
            yield fault("recipients", "too_long", f"At most {MAX_RECIPIENTS}", expected=f"1 to {MAX_RECIPIENTS} recipients")

    def to_command(self) -> Transfer:
        """The use case's input."""
        return Transfer(
            program_id=self.program_id,
            asset_id=self.asset_id,
            description=self.description,
            source=_party(self, "source_"),
            recipients=tuple(
                Recipient(_party(leg, "", f"recipients[{index}]."), leg.amount, f"recipients[{index}].amount")
                for index, leg in enumerate(self.recipients)
            ),
        )


def _party(model: TransferCreate | RecipientGiven, prefix: str, where: str = "") -> Party:
    name, value = next((name, value) for name in _IDS if (value := getattr(model, prefix + name)) is not None)
    return Party(where + prefix + name, **{name: value})


class TransferRead(ResponseModel):
    journal_entry_id: UUID
    asset_id: UUID
    source_id: Annotated[UUID, Field(description="The participant's or group's id")]
    recipient_count: Annotated[int, Field(description="How many legs it has")]
    total_amount: Annotated[str, Field(examples=["40.00"], description="The sum of the recorded legs")]


def transfer_body(done: Transferred) -> dict[str, Any]:
    """The answer: plain texts, as idempotency keys store it."""
    return {
        "journal_entry_id": str(done.journal_entry_id),
        "asset_id": str(done.asset.id),
        "source_id": str(done.source_id),
        "recipient_count": done.recipient_count,
        "total_amount": format_amount(done.amount, done.asset.scale),
    }
