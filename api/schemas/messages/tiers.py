"""The data of `participant.tier_changed` (webhooks.md 5.11)."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.messages.parts import Moment, Party


class TierChanged(Party):
    """A participant or a group has another level of a tier, or none any more."""

    program_id: UUID
    tier_key: str
    from_level: Annotated[str | None, Field(description="null is base")]
    to_level: Annotated[str | None, Field(description="null is base")]
    from_rank: Annotated[int, Field(description="0 is base")]
    to_rank: Annotated[int, Field(description="0 is base")]
    change: Literal["UPGRADED", "DOWNGRADED", "REMOVED"]
    reason: Literal["QUALIFICATION", "RULE", "API", "EXPIRY", "PERIOD_END", "INACTIVITY"]
    benefits: Annotated[dict[str, Any] | None, Field(description="Of the new level")]
    expires_at: Annotated[Moment | None, Field(description="Of the new level")]
    event_id: UUID | None
    rule_id: Annotated[UUID | None, Field(description="With RULE")]
    changed_by_api_key_id: Annotated[UUID | None, Field(description="With API")]
    occurred_at: Moment
