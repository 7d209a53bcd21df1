"""The levels of a batch's holders: what its events made of them, and what of it an event that fails takes back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.tiers.changes import LevelChange, LevelHolder
from domain.tiers.definition import Standing, Tier
from domain.tiers.qualification import BASE

# Holder and tier.
Key = tuple[UUID, UUID]


@dataclass(slots=True)
class Standings:
    """What the holders of a batch have of tiers; who isn't in `loaded` is at base.

    `tiers` are those of the batch's organizations by program, archived ones too. `changed` has whose standings have to be
    stored; `assigned` which ones a SET_TIER of the present event was for; `soonest_expiry` is the first explicit one that an
    event set.
    """

    tiers: Mapping[UUID, tuple[Tier, ...]] = field(default_factory=dict)
    loaded: dict[Key, Standing] = field(default_factory=dict)
    changed: dict[Key, tuple[Tier, LevelHolder]] = field(default_factory=dict)
    changes: list[LevelChange] = field(default_factory=list)
    assigned: set[Key] = field(default_factory=set)
    soonest_expiry: datetime | None = None
    _undo: dict[Key, tuple[Standing | None, bool]] = field(default_factory=dict)

    def of_program(self, program_id: UUID) -> tuple[Tier, ...]:
        """A program's tiers, archived ones too, by key."""
        return self.tiers.get(program_id, ())

    def get(self, holder_id: UUID, tier_id: UUID) -> Standing:
        """What a holder has of a tier."""
        return self.loaded.get((holder_id, tier_id), BASE)

    def put(self, holder: LevelHolder, tier: Tier, new: Standing) -> None:
        """Replace what a holder has of a tier."""
        key = holder.id, tier.id
        self._undo.setdefault(key, (self.loaded.get(key), key in self.changed))
        self.loaded[key] = new
        self.changed[key] = (tier, holder)
        if new.expires_at is not None and (self.soonest_expiry is None or new.expires_at < self.soonest_expiry):
            self.soonest_expiry = new.expires_at

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Take back what the block changed when it raises."""
        written = len(self.changes)
        self._undo.clear()
        self.assigned.clear()
        try:
            yield
        except BaseException:
            del self.changes[written:]
            for key, (standing, was_changed) in self._undo.items():
                if standing is None:
                    del self.loaded[key]
                else:
                    self.loaded[key] = standing
                if not was_changed:
                    del self.changed[key]
            raise
