"""Actions that make SYSTEM events: for a participant after a delay, for everybody in the program (events-rules.md 6.14, 6.15)."""

from domain.processing import planning
from domain.processing.record import ExecutedAction
from domain.processing.targets import Step, target_holder
from domain.processing.world import StateOwner
from domain.rules.actions import Action, BroadcastAction, ScheduleAction


def schedule(step: Step, action: Action) -> ExecutedAction:
    """SCHEDULE_EVENT."""
    assert isinstance(action, ScheduleAction)
    holder = target_holder(step, action.target)
    step.world.planned.append(planning.schedule(step.event, step.rule, action, holder.id, step.now))
    return ExecutedAction(target_id=holder.id)


def broadcast(step: Step, action: Action) -> ExecutedAction:
    """BROADCAST."""
    assert isinstance(action, BroadcastAction)
    step.world.planned.append(planning.broadcast(step.event, step.rule, action, step.now))
    return ExecutedAction(target_type=StateOwner.PROGRAM.value, target_id=step.event.program_id)
