"""The test clock (conventions.md, Test clock)."""

from datetime import datetime

from pydantic import ConfigDict

from api.schemas.common import CreateModel, ResponseModel, Timestamp


class ClockMove(CreateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"now": "2027-01-01T00:00:00Z"}})

    now: Timestamp


class ClockRead(ResponseModel):
    now: datetime
    steps: int
