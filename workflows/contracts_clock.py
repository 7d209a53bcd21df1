"""What both sides of Temporal agree on about the test clock. Pure data, importable from anywhere."""

from datetime import datetime

from pydantic import BaseModel, Field

from workflows.contracts_fulfillment import FulfillmentInput
from workflows.contracts_hold import HoldInput

CLOCK_WORKFLOW = "ClockWorkflow"
CLOCK_WORKFLOW_ID = "test-clock"


class ClockInput(BaseModel):
    """A move of the test clock, for how many seconds it may go on, and the moment up to which everything is done."""

    target: datetime
    seconds: float = 60.0
    after: datetime | None = None


class ClockReport(BaseModel):
    """Where the clock is after a slice of a move, what it visited on the way, and whether the target is reached.

    `visited` is the last moment that it went to; moments that the running clock has passed since are still to be visited.
    """

    now: datetime
    visited: datetime | None = None
    steps: int = 0
    reached: bool = False
    passed_holds: list[HoldInput] = Field(default_factory=list)
    passed_fulfillments: list[FulfillmentInput] = Field(default_factory=list)


class ClockResult(BaseModel):
    """How a move ended; also the answer of its `status` query."""

    target: datetime
    now: datetime | None = None
    steps: int = 0
    reached: bool = False
