"""The action that assigns levels (events-rules.md 6.13)."""

from datetime import datetime, timedelta

from domain.ledger.accounts import EntityType
from domain.processing.failure import ActionFailed
from domain.processing.record import ExecutedAction
from domain.processing.targets import Step, target_holder
from domain.processing.world import Holder
from domain.rules.actions import Action, SetTierAction
from domain.rules.forms import Moment
from domain.tiers.changes import Reason
from domain.tiers.qualification import assigned, removed


def set_tier(step: Step, action: Action) -> ExecutedAction:
    """SET_TIER. With an expiry that has passed already the level is assigned and removed again."""
    assert isinstance(action, SetTierAction)
    holder = _enrolled(step, target_holder(step, action.target))
    standings = step.world.standings
    tier = next(tier for tier in standings.of_program(step.event.program_id) if tier.key == action.tier)
    done = ExecutedAction(target_type=holder.kind.value, target_id=holder.id)
    if tier.is_archived:
        return done.suppressed("TIER_ARCHIVED")
    standings.assigned.add((holder.id, tier.id))
    old, expires_at = standings.get(holder.id, tier.id), _moment(action.expires_at, step.now)
    new = assigned(tier, old, tier.by_key[action.level], expires_at, step.now)
    if new is old:
        return done.no_op("ALREADY_SET")
    step.world.change_standing(holder, tier, new, reason=Reason.RULE, at=step.now, event=step.event, rule_id=step.rule.id)
    if expires_at is not None and expires_at <= step.now:
        step.world.change_standing(holder, tier, removed(new), reason=Reason.EXPIRY, at=step.now, event=step.event)
    return done


def _enrolled(step: Step, holder: Holder) -> Holder:
    if holder.kind is EntityType.PARTICIPANT and (holder.id, step.event.program_id) not in step.world.enrolled:
        raise ActionFailed("target_not_found", "the participant isn't enrolled in the program")
    return holder


def _moment(source: Moment | None, now: datetime) -> datetime | None:
    if not isinstance(source, timedelta):
        return source
    try:
        return now + source
    except OverflowError:
        return None
