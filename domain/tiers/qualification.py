"""Levels that change by an event or by direct assignment (tiers.md 3.2, 3.3, 4.1)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from domain.tiers.calendar import end_after, lapse_at, lifecycle_expiry
from domain.tiers.definition import Level, RetentionMode, Standing, Tier

BASE = Standing()


def requalified(tier: Tier, standing: Standing, counters: Mapping[str, Decimal], now: datetime) -> Standing:
    """After an event: the level of highest rank that the effective counters qualify for, if higher; else a renewal, if earned.

    It never lowers a level. The same object when nothing changes.
    """
    best = tier.best_for(counters)
    if best is not None and best.rank > tier.rank_of(standing.level):
        return assigned(tier, standing, best, None, now)
    if standing.level is not None and tier.by_key[standing.level].is_qualified(counters):
        return _extended(tier, standing, now)
    return standing


def assigned(tier: Tier, standing: Standing, level: Level, expires_at: datetime | None, now: datetime) -> Standing:
    """A level assigned directly, up or down, with an explicit expiry or none; the same object when nothing changes.

    The level that is held already keeps `acquired_at`; only its explicit expiry is replaced. When that is removed, the
    lifecycle has the level again, as if it was assigned now: meanwhile it had no say.
    """
    expiry = lifecycle_expiry(tier, level.key, now)
    if standing.level != level.key:
        # with a level after base period ends begin to concern the holder, perhaps again: those that passed meanwhile never do
        mark = None if standing.level is None else standing.steps_done_through
        return Standing(level.key, now, expires_at, expiry, mark or now)
    if standing.expires_at == expires_at:
        return standing
    return replace(
        standing, expires_at=expires_at, lifecycle_expires_at=expiry if expires_at is None else standing.lifecycle_expires_at
    )


def removed(standing: Standing) -> Standing:
    """To base; pending expiries are cancelled. The same object at base."""
    return standing if standing.level is None else Standing(steps_done_through=standing.steps_done_through)


def refreshed(tier: Tier, standing: Standing, now: datetime) -> Standing:
    """After activity, which under ACTIVITY_REFRESH moves the expiry, also during grace; the same object otherwise."""
    lifecycle = tier.lifecycle
    if lifecycle is None or lifecycle.mode is not RetentionMode.ACTIVITY_REFRESH or standing.level is None:
        return standing
    return _extended(tier, standing, now)


def renewed(tier: Tier, standing: Standing, number: int) -> Standing:
    """A standing that was stored under the lifecycle of a number, as the present one has it: as if assigned when that began."""
    if number == tier.lifecycle_number or standing.level is None:
        return standing
    began = tier.lifecycle_started_at
    return replace(standing, lifecycle_expires_at=None if began is None else lifecycle_expiry(tier, standing.level, began))


def first_due(tier: Tier) -> datetime | None:
    """Before this moment a new lifecycle does nothing to anybody."""
    began = tier.lifecycle_started_at
    if began is None:
        return None
    fresh = (Standing(level.key, began, None, lifecycle_expiry(tier, level.key, began), began) for level in tier.levels)
    moments = [due_at(tier, standing) for standing in (BASE, *fresh)]
    return min((moment for moment in moments if moment is not None), default=None)


def due_at(tier: Tier, standing: Standing) -> datetime | None:
    """When somebody must look at a standing next: its level may go by itself, or a period ends, which may concern counters."""
    if tier.is_archived:
        return None
    moments = (_goes_at(tier, standing), _period_end(tier, standing))
    return min((moment for moment in moments if moment is not None), default=None)


def _goes_at(tier: Tier, standing: Standing) -> datetime | None:
    """At its explicit expiry, or else when it lapses."""
    if standing.level is None:
        return None
    if standing.expires_at is not None or tier.lifecycle is None:
        return standing.expires_at
    return lapse_at(tier.lifecycle, standing.lifecycle_expires_at)


def _period_end(tier: Tier, standing: Standing) -> datetime | None:
    lifecycle, started_at = tier.lifecycle, tier.lifecycle_started_at
    if lifecycle is None or started_at is None or (standing.level is None and not lifecycle.qualifying):
        return None
    return end_after(lifecycle, max(started_at, standing.steps_done_through or started_at))


def _extended(tier: Tier, standing: Standing, now: datetime) -> Standing:
    expiry, old = lifecycle_expiry(tier, standing.level, now), standing.lifecycle_expires_at
    if expiry is None or (old is not None and expiry <= old):
        return standing
    return replace(standing, lifecycle_expires_at=expiry)
