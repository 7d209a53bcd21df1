"""A tier as its owner defined it, and what a change makes of it (tiers.md 1, 2)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any
from uuid import UUID

from domain.errors import BadRequest, Fault, LevelConflict
from domain.event_data import is_same_json
from domain.tiers.definition import Level, Tier
from domain.tiers.stored import Json, lifecycle_of, qualification_of

MAX_LEVELS = 50
# Fields of a level that requests name as the record does.
_LEVEL_FIELDS = ("rank", "display_name", "color", "icon_url", "benefits", "qualification")


class TierStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True)
class LevelRecord:
    """A level of a tier; `benefits` and `qualification` are JSON, thresholds in it texts."""

    id: UUID
    key: str
    rank: int
    created_at: datetime
    updated_at: datetime
    display_name: str | None = None
    color: str | None = None
    icon_url: str | None = None
    benefits: Json | None = None
    qualification: Json | None = None

    def definition(self) -> Level:
        """The level as rules and windows see it."""
        qualification = None if self.qualification is None else qualification_of(self.qualification)
        return Level(self.key, self.rank, qualification, self.benefits)


@dataclass(frozen=True, slots=True)
class TierRecord:
    """A tier with its levels by ascending rank; `lifecycle` is JSON with all defaults, in force since `lifecycle_started_at`."""

    id: UUID
    program_id: UUID
    key: str
    levels: tuple[LevelRecord, ...]
    created_at: datetime
    updated_at: datetime
    display_name: str | None = None
    lifecycle: Json | None = None
    lifecycle_started_at: datetime | None = None
    status: TierStatus = TierStatus.ACTIVE
    archived_at: datetime | None = None
    lifecycle_number: int = 0

    def definition(self) -> Tier:
        """The tier as rules and windows see it."""
        return Tier(
            id=self.id,
            program_id=self.program_id,
            key=self.key,
            levels=tuple(level.definition() for level in self.levels),
            lifecycle=None if self.lifecycle is None else lifecycle_of(self.lifecycle),
            lifecycle_started_at=self.lifecycle_started_at,
            is_archived=self.status is TierStatus.ARCHIVED,
            lifecycle_number=self.lifecycle_number,
        )


def new_levels(sent: Sequence[Mapping[str, Any]], now: datetime, new_id: Callable[[], UUID]) -> tuple[LevelRecord, ...]:
    """The levels of a new tier, by ascending rank; `sent` has been checked."""
    return _ranked(LevelRecord(new_id(), level["key"], level["rank"], now, now, **_optional(level)) for level in sent)


def changed(old: TierRecord, changes: Mapping[str, Any], now: datetime, new_id: Callable[[], UUID]) -> TierRecord:
    """The tier with the fields given, their form checked; the same object when no value differs.

    `lifecycle` and a level's `qualification`: null leaves them as they are, an empty object clears them. Raises BadRequest
    for what the present levels exclude; ranks may collide, see `require_ranks`.
    """
    values: dict[str, Any] = {}
    if "display_name" in changes:
        values["display_name"] = changes["display_name"]
    if "levels" in changes:
        values["levels"] = _with_levels(old.levels, changes["levels"], now, new_id)
    lifecycle = changes.get("lifecycle")
    if lifecycle is not None and (lifecycle or None) != old.lifecycle:
        values |= {"lifecycle": lifecycle or None, "lifecycle_started_at": now if lifecycle else None}
        values["lifecycle_number"] = old.lifecycle_number + 1
    faults = list(min_level_faults(lifecycle, {level.key for level in values.get("levels", old.levels)}))
    if faults:
        raise BadRequest(faults)
    new = replace(old, **values)
    # a level that changed is another object, even where it compares equal
    is_same = new == old and all(level is known for level, known in zip(new.levels, old.levels, strict=True))
    return old if is_same else replace(new, updated_at=now)


def require_ranks(levels: Sequence[LevelRecord]) -> None:
    """Raise LevelConflict when two levels share a rank."""
    for lower, higher in pairwise(levels):
        if lower.rank == higher.rank:
            raise LevelConflict(key=higher.key, rank=higher.rank)


def min_level_faults(lifecycle: Json | None, keys: set[str]) -> Iterator[Fault]:
    """What is wrong with the `min_level` of a new lifecycle of a tier with these levels."""
    min_level = lifecycle["downgrade_policy"]["min_level"] if lifecycle else None
    if min_level is not None and min_level not in keys:
        yield Fault("lifecycle.downgrade_policy.min_level", "invalid", "No level of the tier", "level of the tier", min_level)


def _with_levels(
    old: Sequence[LevelRecord], sent: Sequence[Mapping[str, Any]], now: datetime, new_id: Callable[[], UUID]
) -> tuple[LevelRecord, ...]:
    levels = {level.key: level for level in old}
    faults = []
    for index, given in enumerate(sent):
        known = levels.get(given["key"])
        if known is not None:
            levels[known.key] = _changed_level(known, given, now)
        elif "rank" not in given:
            faults.append(Fault(f"levels[{index}].rank", "required", "A new level needs a rank", "integer"))
        else:
            levels[given["key"]] = LevelRecord(new_id(), given["key"], given["rank"], now, now, **_optional(given))
    if len(levels) > MAX_LEVELS:
        faults.append(Fault("levels", "too_long", f"At most {MAX_LEVELS} levels in a tier", f"1 to {MAX_LEVELS} levels"))
    if faults:
        raise BadRequest(faults)
    return _ranked(levels.values())


def _changed_level(old: LevelRecord, given: Mapping[str, Any], now: datetime) -> LevelRecord:
    sent = {name: given[name] for name in _LEVEL_FIELDS if name in given}
    if sent.get("qualification", ...) is None:
        del sent["qualification"]
    elif "qualification" in sent:
        sent["qualification"] = sent["qualification"] or None
    new = replace(old, **sent)
    is_same = new == old and is_same_json(new.benefits, old.benefits)
    return old if is_same else replace(new, updated_at=now)


def _optional(given: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: given[name] for name in _LEVEL_FIELDS if name != "rank" and name in given}
    return found | {"qualification": found.get("qualification") or None}


def _ranked(levels: Any) -> tuple[LevelRecord, ...]:
    return tuple(sorted(levels, key=lambda level: (level.rank, level.created_at, level.id)))
