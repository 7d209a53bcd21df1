"""What SCHEDULE_EVENT and BROADCAST plan: automations whose SYSTEM events come after the commit (events-rules.md 6.14, 6.15)."""

from datetime import datetime, timedelta
from uuid import UUID

from domain.automations import MAX_CHAIN_DEPTH, rule_automation_id, rule_automation_name
from domain.processing.failure import ActionFailed
from domain.processing.world import Event, PlannedEvents
from domain.rules.actions import BroadcastAction, ScheduleAction
from domain.rules.rule import CompiledRule


def schedule(event: Event, rule: CompiledRule, action: ScheduleAction, participant_id: UUID, now: datetime) -> PlannedEvents:
    """One event for the participant, after the action's delay; `chain_depth_exceeded` at the end of a chain."""
    return _plan(event, rule, action, now, action.delay, participant_id)


def broadcast(event: Event, rule: CompiledRule, action: BroadcastAction, now: datetime) -> PlannedEvents:
    """One event for each participant, as soon as this one is committed; `chain_depth_exceeded` as above."""
    return _plan(event, rule, action, now, timedelta(0), None)


def _plan(
    event: Event,
    rule: CompiledRule,
    action: ScheduleAction | BroadcastAction,
    now: datetime,
    delay: timedelta,
    participant_id: UUID | None,
) -> PlannedEvents:
    if event.chain_depth >= MAX_CHAIN_DEPTH:
        raise ActionFailed("chain_depth_exceeded", f"the event is the last of a chain of {MAX_CHAIN_DEPTH}")
    # equal actions of one rule are different ones
    index = next(index for index, candidate in enumerate(rule.actions) if candidate is action)
    return PlannedEvents(
        automation_id=rule_automation_id(event.id, rule.id, index),
        name=rule_automation_name(event.id, rule.id, index),
        cause=event,
        event_name=action.event_name,
        payload=action.payload,
        due_at=now + delay,
        planned_at=now,
        chain_depth=event.chain_depth + 1,
        participant_id=participant_id,
    )
