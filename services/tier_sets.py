"""The tiers of organizations as rules and windows see them, kept by each process under the versions they were read at."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from db.repositories import tiers as repository
from db.repositories.tier_states import Key, Stored
from db.session import Connection
from domain.tiers.definition import Standing, Tier
from domain.tiers.qualification import renewed

MAX_CACHED_LEVELS = 20_000

Tiers = Mapping[UUID, tuple[Tier, ...]]


class _KnownTiers:
    """Tiers by id, each with the version it was read at; the least recently used ones are forgotten."""

    def __init__(self, most_levels: int) -> None:
        self._most_levels = most_levels
        self._levels = 0
        self._tiers: OrderedDict[UUID, tuple[int, Tier]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, tier_id: UUID, version: int) -> Tier | None:
        """A tier as it was at a version."""
        with self._lock:
            known = self._tiers.get(tier_id)
            if known is None or known[0] != version:
                return None
            self._tiers.move_to_end(tier_id)
            return known[1]

    def keep(self, version: int, tier: Tier) -> None:
        """Remember a tier."""
        with self._lock:
            old = self._tiers.pop(tier.id, None)
            self._levels += len(tier.levels) - (0 if old is None else len(old[1].levels))
            self._tiers[tier.id] = (version, tier)
            while self._levels > self._most_levels and len(self._tiers) > 1:
                self._levels -= len(self._tiers.popitem(last=False)[1][1].levels)


_known = _KnownTiers(MAX_CACHED_LEVELS)


def load_tiers(conn: Connection, organization_ids: Collection[UUID]) -> Tiers:
    """All tiers of the organizations by program, archived ones too, each program's by key.

    Who decides by them and writes what holders have, has called `hold_still` first. Others load standings first: levels are
    never deleted, so what somebody has is then found.
    """
    found: list[Tier] = []
    missing: dict[UUID, int] = {}
    for _, tier_id, version in repository.versions(conn, organization_ids):
        tier = _known.find(tier_id, version)
        if tier is None:
            missing[tier_id] = version
        else:
            found.append(tier)
    for record in repository.by_id(conn, missing) if missing else ():
        tier = record.definition()
        # read after its version: what changed in between is found out by the next one who asks
        _known.keep(missing[tier.id], tier)
        found.append(tier)
    programs: dict[UUID, tuple[Tier, ...]] = {}
    for tier in sorted(found, key=lambda tier: tier.key):
        programs[tier.program_id] = (*programs.get(tier.program_id, ()), tier)
    return programs


def standings_of(tiers: Iterable[Tier], stored: Mapping[Key, Stored]) -> dict[Key, Standing]:
    """What holders have of these tiers, each by its present lifecycle, whichever one it was stored under."""
    known = {tier.id: tier for tier in tiers}
    return {
        key: renewed(known[key[1]], found.standing, found.lifecycle_number) for key, found in stored.items() if key[1] in known
    }
