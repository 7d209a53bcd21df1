"""A rule at work, and whom its actions are for (events-rules.md 6.2, 6.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.ledger.accounts import EntityType
from domain.processing import expressions
from domain.processing.failure import ActionFailed
from domain.processing.world import Event, Holder, World
from domain.rules.rule import CompiledRule
from domain.rules.targets import Target, TargetKind


@dataclass(frozen=True, slots=True)
class Step:
    """One matched rule at work: the event, the snapshot's variables, and the world it changes."""

    event: Event
    rule: CompiledRule
    variables: Mapping[str, object]
    world: World
    now: datetime


def target_holder(step: Step, target: Target, *, for_credit: bool = False) -> Holder:
    """The participant or ACTIVE group an action is for (6.2); `target_required`, `target_not_found` or `group_archived`."""
    event = step.event
    if target.kind is TargetKind.GROUP:
        return _target_group(step, target)
    if target.by == "self":
        default = event.recipient_id if for_credit and target.kind is TargetKind.DEFAULT else None
        holder_id = default or event.participant_id
        if holder_id is None:
            raise ActionFailed("target_required", "the event has no participant")
        found = step.world.holder(holder_id, event.organization_id)
    else:
        found = _named_holder(step, target)
    if found is None or found.kind is not EntityType.PARTICIPANT:
        raise ActionFailed("target_not_found", "no such participant")
    return found


def _target_group(step: Step, target: Target) -> Holder:
    assert target.value is not None
    group_id = expressions.uuid(target.value, step.variables, "target.id")
    found = step.world.holder(group_id, step.event.organization_id)
    if found is None or found.kind is not EntityType.GROUP:
        raise ActionFailed("target_not_found", "no such group")
    if found.status == "ARCHIVED":
        raise ActionFailed("group_archived", f"the group {found.name} is archived")
    return found


def _named_holder(step: Step, target: Target) -> Holder | None:
    assert target.value is not None
    field = f"target.{target.by}"
    if target.by != "external_id":
        holder_id = expressions.uuid(target.value, step.variables, field)
        return step.world.holder(holder_id, step.event.organization_id)
    external_id = expressions.string(target.value, step.variables, field)
    if not external_id or len(external_id) > 255 or not expressions.is_storable(external_id):
        return None
    return step.world.holder_by_external_id(external_id, step.event.organization_id)


def require_active(holder: Holder) -> None:
    """ActionFailed `participant_inactive` for a holder that isn't ACTIVE (6.4)."""
    if holder.status != "ACTIVE":
        raise ActionFailed("participant_inactive", f"the participant is {holder.status}")
