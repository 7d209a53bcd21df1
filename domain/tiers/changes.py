"""A change of level and its records: tier history, state history, message (tiers.md 3.4, 5.5; webhooks.md 5.11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.ledger.accounts import EntityType
from domain.state import StateChange
from domain.tiers.definition import Tier


class Change(StrEnum):
    """What became of the level; REMOVED is to base."""

    UPGRADED = "UPGRADED"
    DOWNGRADED = "DOWNGRADED"
    REMOVED = "REMOVED"


class Reason(StrEnum):
    """What changed the level; EXPIRY is an explicit one, the last two are lapses of the two modes."""

    QUALIFICATION = "QUALIFICATION"
    RULE = "RULE"
    API = "API"
    EXPIRY = "EXPIRY"
    PERIOD_END = "PERIOD_END"
    INACTIVITY = "INACTIVITY"


@dataclass(frozen=True, slots=True)
class LevelHolder:
    """Whose level it is; `external_id` of participants only."""

    kind: EntityType
    id: UUID
    organization_id: UUID
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """What made a change, and when it was processed: an event, with the rule where one said so, a key, or time alone."""

    reason: Reason
    at: datetime
    event_id: UUID | None = None
    rule_id: UUID | None = None
    api_key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A holder's level of a tier before and after; None is base. `expires_at` is that of the new level."""

    holder: LevelHolder
    tier: Tier
    from_level: str | None
    to_level: str | None
    expires_at: datetime | None
    cause: Cause

    @property
    def from_rank(self) -> int:
        """The rank of the old level; base is 0."""
        return self.tier.rank_of(self.from_level)

    @property
    def to_rank(self) -> int:
        """The rank of the new level; base is 0."""
        return self.tier.rank_of(self.to_level)

    @property
    def change(self) -> Change:
        """Up, down, or to base."""
        if self.to_level is None:
            return Change.REMOVED
        return Change.UPGRADED if self.to_rank > self.from_rank else Change.DOWNGRADED

    @property
    def benefits(self) -> Mapping[str, Any] | None:
        """The benefits of the new level."""
        return None if self.to_level is None else self.tier.by_key[self.to_level].benefits

    def state_change(self) -> StateChange:
        """Its row of the state history."""
        operation = "delete" if self.to_level is None else "set"
        return StateChange("tier", self.tier.key, operation, self.from_level, self.to_level)
