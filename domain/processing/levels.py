"""What an event does to levels after its actions: qualification, renewal, activity (tiers.md 3.2, 4.1)."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.processing.world import Event, Holder, StateOwner, World
from domain.tiers.changes import Reason
from domain.tiers.definition import Tier
from domain.tiers.qualification import refreshed, requalified


def settle_levels(event: Event, world: World, now: datetime, *, written: int, groups: Collection[UUID]) -> None:
    """Assign, renew and refresh the levels that the event, whose actions have run, gives.

    `written` is where its rows begin in the world's history; `groups` are those to which an action was applied.
    """
    tiers = [tier for tier in world.standings.of_program(event.program_id) if not tier.is_archived]
    if not tiers:
        return
    for holder_id in dict.fromkeys(_evaluated(event, world, written)):
        _requalify(world.holders[holder_id], tiers, event, world, now)
    own = () if event.participant_id is None else (event.participant_id,)
    _refresh([*own, *sorted(groups)], tiers, event, world, now)


def _evaluated(event: Event, world: World, written: int) -> Iterator[UUID]:
    """The event's participant, and everybody else whose counters it changed."""
    if event.participant_id is not None:
        yield event.participant_id
    for row in world.history[written:]:
        if row.change.state_type == "counter" and row.owner is not StateOwner.PROGRAM:
            yield row.owner_id


def _requalify(holder: Holder, tiers: Iterable[Tier], event: Event, world: World, now: datetime) -> None:
    # for groups too: they are ACTIVE or ARCHIVED
    if holder.status != "ACTIVE":
        return
    counters = world.states[holder.id].counters
    for tier in tiers:
        if (holder.id, tier.id) not in world.standings.assigned:
            values: dict[str, Decimal] = {key: counters[key].effective(now) for key in tier.counters if key in counters}
            new = requalified(tier, world.standings.get(holder.id, tier.id), values, now)
            world.change_standing(holder, tier, new, reason=Reason.QUALIFICATION, at=now, event=event)


def _refresh(holder_ids: Iterable[UUID], tiers: Iterable[Tier], event: Event, world: World, now: datetime) -> None:
    for tier in tiers:
        for holder_id in holder_ids:
            standing = world.standings.get(holder_id, tier.id)
            new = refreshed(tier, standing, now)
            if new is not standing:
                # no level changes here, so there is nothing to give a reason for
                world.change_standing(world.holders[holder_id], tier, new, reason=Reason.QUALIFICATION, at=now, event=event)
