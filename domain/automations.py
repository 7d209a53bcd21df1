"""Automations: what makes SYSTEM events without an API call (automations.md 1, 2; events-rules.md 3.7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, available_timezones

from domain.errors import DomainError
from domain.recurrence import latest_occurrence, next_occurrence, parse_cron
from domain.timestamps import format_timestamp

MAX_CHAIN_DEPTH = 10
CANCELLED = "cancelled"
STILL_RUNNING = "previous run still executing"
# So many failed runs in a row pause an automation.
MOST_FAILURES = 5
CANNOT_TRIGGER = "Automation cannot be triggered (must be active and idle or cron+program)"
NOTHING_TO_CANCEL = "Nothing to cancel"
CANNOT_REFRESH = "Only subscriptions of an active automation can be refreshed"


class NotInThisState(DomainError):
    """An automation that can't be triggered, cancelled or refreshed as it is: a `bad_request` without a field."""

    code = "bad_request"

    def __init__(self, message: str) -> None:
        super().__init__(message, field=None, reason="invalid", expected=None, received=None, fields=[])


class TriggerType(StrEnum):
    """What an automation fires by."""

    CRON = "cron"
    ONE_TIME = "one_time"
    IMMEDIATE = "immediate"
    PARTICIPANT_STATE = "participant_state"


class Scope(StrEnum):
    """One event for the program, or one for each matching participant."""

    PROGRAM = "program"
    PARTICIPANTS = "participants"


class AutomationStatus(StrEnum):
    """ARCHIVED is final."""

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class Source(StrEnum):
    """Who made it."""

    API = "api"
    RULE_ACTION = "rule_action"


class ExecutionStatus(StrEnum):
    """Where a fan-out stands."""

    IDLE = "idle"
    PENDING = "pending"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"


class ScheduleType(StrEnum):
    """What a subscription waits for (automations.md 3.1)."""

    ATTRIBUTE_DATE = "ATTRIBUTE_DATE"
    INTERVAL = "INTERVAL"
    CRON = "CRON"
    THRESHOLD = "THRESHOLD"


UNDER_WAY = (ExecutionStatus.PENDING, ExecutionStatus.EXECUTING)


@dataclass(frozen=True, slots=True)
class Automation:
    """An automation as it is stored; which fields mean something depends on trigger and scope."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    name: str
    description: str | None
    trigger_type: TriggerType
    scope: Scope
    status: AutomationStatus
    source: Source
    event_name: str
    payload: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    last_error: str | None = None
    cron_expression: str | None = None
    timezone: str | None = None
    next_run_at: datetime | None = None
    last_run_at: datetime | None = None
    trigger_at: datetime | None = None
    processed_at: datetime | None = None
    error_message: str | None = None
    participant_id: UUID | None = None
    participant_filter: str | None = None
    guard_condition: str | None = None
    filter_hints: list[dict[str, str]] = field(default_factory=list)
    execution_status: ExecutionStatus | None = None
    execution_at: datetime | None = None
    execution_started_at: datetime | None = None
    execution_completed_at: datetime | None = None
    execution_error: str | None = None
    participants_total: int | None = None
    participants_processed: int | None = None
    caused_by_event_id: UUID | None = None
    failures: int = 0
    chain_depth: int = 0
    schedule_type: ScheduleType | None = None
    schedule_config: Mapping[str, Any] | None = None
    schedule_version: int = 0
    active_since: datetime | None = None
    last_evaluated_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """The moment that it waits for: of the next occurrence, or its own while it hasn't fired."""
        if self.status is not AutomationStatus.ACTIVE:
            return None
        if self.trigger_type is TriggerType.CRON:
            return self.next_run_at
        return self.trigger_at if self.processed_at is None else None

    @property
    def is_under_way(self) -> bool:
        """Whether a fan-out is pending or executing."""
        return self.execution_status in UNDER_WAY

    @property
    def can_be_triggered(self) -> bool:
        """Whether `trigger` may fire it now (automations.md 4.6)."""
        if self.status is not AutomationStatus.ACTIVE or self.trigger_type is TriggerType.PARTICIPANT_STATE:
            return False
        if self.scope is Scope.PROGRAM:
            return self.trigger_type is TriggerType.CRON
        return not self.is_under_way

    @property
    def ends_when_cancelled(self) -> bool:
        """Whether it is one that fires once and hasn't begun to, so that cancelling archives it (automations.md 4.7)."""
        if self.trigger_type is TriggerType.IMMEDIATE and self.execution_status is ExecutionStatus.PENDING:
            return True
        return self.trigger_type is TriggerType.ONE_TIME and self.processed_at is None and not self.is_under_way

    def changed(self, changes: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """The columns that a change of these fields makes different; its form and whether it is allowed are checked.

        A changed schedule is computed anew from now, a changed moment arms it again, and to make it active counts failures anew.
        """
        found = {name: value for name, value in changes.items() if getattr(self, name) != value}
        is_rescheduled = not found.keys().isdisjoint({"cron_expression", "timezone", "status"})
        if self.trigger_type is TriggerType.CRON and is_rescheduled:
            found["next_run_at"] = self._next_run(found, now)
        if "trigger_at" in found:
            found |= {"processed_at": None, "error_message": None}
        if self.trigger_type is TriggerType.PARTICIPANT_STATE and not found.keys().isdisjoint({"schedule_config", "timezone"}):
            found["schedule_version"] = self.schedule_version + 1
        if self.trigger_type is TriggerType.PARTICIPANT_STATE and found.get("status") == AutomationStatus.ACTIVE:
            found["active_since"] = now
        if found:
            found["updated_at"] = now
        if changes.get("status") == AutomationStatus.ACTIVE:
            found["failures"] = 0
        return found

    def _next_run(self, changes: Mapping[str, Any], now: datetime) -> datetime | None:
        expression = changes.get("cron_expression", self.cron_expression)
        zone = changes.get("timezone", self.timezone)
        is_active = changes.get("status", self.status) == AutomationStatus.ACTIVE
        return Schedule(expression, zone).after(now) if is_active else None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked cron expression in a time zone."""

    cron_expression: str
    timezone: str

    def after(self, moment: datetime) -> datetime:
        """The first occurrence after a moment."""
        return next_occurrence(parse_cron(self.cron_expression), moment, zone_of(self.timezone))

    def latest(self, planned: datetime, now: datetime) -> datetime:
        """Of the occurrences from the planned one on, the last that isn't after `now`."""
        return max(planned, latest_occurrence(parse_cron(self.cron_expression), now, zone_of(self.timezone)))


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """The names of all IANA time zones."""
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name."""
    return ZoneInfo(name)


@dataclass(frozen=True, slots=True)
class Streak:
    """Failed runs in a row, and whether they have paused the automation."""

    failures: int
    error: str | None = None
    is_over: bool = False

    def after(self, error: str | None) -> "Streak":
        """With one more run, which failed with `error` or was a good one."""
        if error is None:
            return Streak(0, None, self.is_over)
        return Streak(self.failures + 1, error, self.is_over or self.failures + 1 >= MOST_FAILURES)


def rule_automation_id(event_id: UUID, rule_id: UUID, action_index: int) -> UUID:
    """The automation that an action of a rule makes in an event: always the same one, so that it can't be made twice."""
    return uuid5(event_id, f"{rule_id}:{action_index}")


def rule_automation_name(event_id: UUID, rule_id: UUID, action_index: int) -> str:
    """Its name, unique by construction (events-rules.md 6.14)."""
    return f"rule:{rule_id}:{event_id}:{action_index}"


def event_key(automation_id: UUID, occurrence: datetime, participant_id: UUID | None) -> str:
    """The idempotency key of a SYSTEM event: one occurrence makes at most one event for each participant."""
    return f"sys:{automation_id}:{format_timestamp(occurrence)}:{participant_id or 'program'}"


def is_near_enough(trigger_at: datetime, now: datetime) -> bool:
    """Whether a moment lies after now, at most five years ahead."""
    now = now.astimezone(UTC)
    return now < trigger_at <= five_years_after(now)


def five_years_after(moment: datetime) -> datetime:
    """The same date five years later; 1 March for a 29 February that isn't there."""
    try:
        return moment.replace(year=moment.year + 5)
    except ValueError:
        return moment.replace(year=moment.year + 5, month=3, day=1)
