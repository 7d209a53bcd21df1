"""What both sides of Temporal agree on about automations. Pure data, importable from anywhere."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

AUTOMATION_WORKFLOW = "AutomationWorkflow"
ATTEND_AUTOMATION = "attend_automation"
COMMAND_AUTOMATION = "command_automation"
ATTEND_SUBSCRIPTIONS = "attend_subscriptions"


def automation_workflow_id(automation_id: UUID) -> str:
    """`automation/0190...`: one workflow per automation that was made through the API."""
    return f"automation/{automation_id}"


class AutomationSignal(StrEnum):
    """What a person or a program may ask of an automation's flow; each does what the API does."""

    TRIGGER = "trigger"
    CANCEL = "cancel"
    PAUSE = "pause"
    REFRESH = "refresh"


class AutomationPhase(StrEnum):
    """Where an automation stands. OVER: it has fired, or was archived, and its flow ends."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    OVER = "OVER"


class AutomationInput(BaseModel):
    """Start of an automation's workflow: ids, and the signals that a former run had still to carry out."""

    automation_id: UUID
    organization_id: UUID
    program_id: UUID
    commands: list[AutomationSignal] = Field(default_factory=list)


class AutomationCommand(BaseModel):
    """One signal to be carried out."""

    automation: AutomationInput
    command: AutomationSignal


class AutomationReport(BaseModel):
    """What one call of `attend_automation` did, and where the automation stands then.

    `next_in_seconds` counts from the database's clock to its next moment; `has_pending_run` asks for the flow of a fan-out,
    `has_subscriptions` for a look at those, after which the flow notes whether there is `more` to do at once.
    """

    phase: AutomationPhase
    status: str
    trigger_type: str
    scope: str
    event_name: str
    events: int = 0
    schedule: str | None = None
    next_at: datetime | None = None
    next_in_seconds: float | None = None
    last_run_at: datetime | None = None
    has_pending_run: bool = False
    execution_status: str | None = None
    total: int | None = None
    processed: int | None = None
    failures: int = 0
    last_error: str | None = None
    finished_at: datetime | None = None
    has_subscriptions: bool = False
    more: bool = False


class SubscriptionsReport(BaseModel):
    """What one call of `attend_subscriptions` did: events made, participants that the filter was evaluated for.

    `next_in_seconds` counts from the database's clock to the next date or evaluation; with `more` there is something to do now.
    """

    events: int = 0
    looked_at: int = 0
    more: bool = False
    next_in_seconds: float | None = None
    finished_at: datetime | None = None


class CommandReport(BaseModel):
    """How a signal was answered: `refusal` is the message that the API would have given."""

    command: AutomationSignal
    refusal: str | None = None


class AutomationFlowStatus(BaseModel):
    """Answer of an automation's `status` query, and the result of its workflow."""

    automation_id: UUID
    last: AutomationReport | None = None
    last_command: CommandReport | None = None
