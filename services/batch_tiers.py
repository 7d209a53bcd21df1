"""The tiers of a batch of events: read, brought up to date before anything is decided by them, and written at its end."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from uuid import UUID

from db.repositories import processing as rows
from db.repositories import tier_history, tier_states, tiers
from db.repositories.tier_states import NewStanding
from db.session import Connection
from domain.ledger.accounts import EntityType
from domain.processing.world import Holder, World
from domain.state import Counter, EntityState
from domain.tiers.changes import LevelHolder
from domain.tiers.definition import Tier
from domain.tiers.qualification import due_at
from domain.tiers.windows import Holdings, first_marks
from runtime.ids import new_id
from services import tier_steps
from services.tier_sets import load_tiers, standings_of


@dataclass(slots=True)
class BatchTiers:
    """What a batch does with the tiers of its organizations; nothing at all for those that have none.

    `ahead` is the next moment at which time does something to one of its holders: no event of that moment or a later one
    may be processed before that is done.
    """

    conn: Connection
    world: World
    is_dry: bool
    organizations: frozenset[UUID] = frozenset()
    ahead: datetime | None = None
    _active: dict[UUID, tuple[Tier, ...]] = field(default_factory=dict)
    _counters: dict[UUID, Mapping[str, Counter]] = field(default_factory=dict)

    def load(self) -> None:
        """Read the tiers of organizations that have any, and hold them still until the batch is committed."""
        programs = self.world.programs.values()
        self.organizations = frozenset(program.organization_id for program in programs if program.has_tiers)
        if self.organizations:
            if not self.is_dry:
                tiers.hold_still(self.conn, self.organizations)
            self.world.standings.tiers = load_tiers(self.conn, self.organizations)

    def take_in(self, holder_ids: Collection[UUID], now: datetime | None) -> None:
        """Do what is due for locked holders, then read what they have; call it before their counters are read."""
        if not self.organizations:
            return
        if not self.is_dry:
            moment = now or rows.clock(self.conn)
            for organization_id in self.organizations:
                self._expect(tier_steps.bring_up_to_date(self.conn, organization_id, holder_ids, moment).ahead)
        tiers_read = chain.from_iterable(self.world.standings.tiers.values())
        stored = tier_states.load(self.conn, self.organizations, holder_ids)
        self.world.standings.loaded.update(standings_of(tiers_read, stored))

    def know_counters(self, holder_ids: Iterable[UUID], now: datetime | None) -> None:
        """Note the counters that holders have had; of a dry run do what is due in the world only."""
        if not self.organizations:
            return
        ids = [id_ for id_ in holder_ids if id_ in self.world.states]
        if self.is_dry:
            self._foresee(ids, now or rows.clock(self.conn))
        for id_ in ids:
            self._counters[id_] = self.world.states[id_].counters

    def is_due(self, moment: datetime) -> bool:
        """Whether something that time does comes before an event of this moment."""
        expiry = self.world.standings.soonest_expiry
        return (self.ahead is not None and self.ahead <= moment) or (expiry is not None and expiry <= moment)

    def mark(self, changed: Iterable[tuple[UUID, EntityState]], now: datetime) -> None:
        """From now on period ends concern the counters that events created; call it before `write`."""
        for holder_id, state in changed:
            created = state.counters.keys() - self._counters.get(holder_id, state.counters).keys()
            if created:
                self._mark(self.world.holders[holder_id], created, now)

    def write(self) -> None:
        """Store standings and the history of levels."""
        standings = self.world.standings
        if standings.changed:
            changed = ((tier, holder, standings.loaded[key]) for key, (tier, holder) in standings.changed.items())
            tier_states.save(
                self.conn,
                [NewStanding(holder.organization_id, holder.id, tier, has, due_at(tier, has)) for tier, holder, has in changed],
            )
        if standings.changes:
            tier_history.insert(self.conn, standings.changes, [new_id() for _ in standings.changes])

    def _expect(self, moment: datetime | None) -> None:
        if moment is not None and (self.ahead is None or moment < self.ahead):
            self.ahead = moment

    def _foresee(self, holder_ids: Collection[UUID], now: datetime) -> None:
        for organization_id in self.organizations:
            for found in tier_steps.foresee(self.conn, organization_id, holder_ids, now):
                id_, holdings = found.holder.id, found.done.holdings
                state = self.world.states[id_]
                self.world.states[id_] = EntityState(state.tags, holdings.counters, state.attributes)
                self.world.standings.loaded.update({(id_, tier_id): has for tier_id, has in holdings.standings.items()})

    def _mark(self, holder: Holder, created: Collection[str], now: datetime) -> None:
        active = self._active.get(holder.organization_id)
        if active is None:
            active = self._active[holder.organization_id] = tier_steps.active_tiers(self.conn, holder.organization_id)
        standings = {tier.id: self.world.standings.get(holder.id, tier.id) for tier in active}
        marks = first_marks(Holdings(active, standings, self._counters[holder.id]), created, now)
        external_id = holder.external_id if holder.kind is EntityType.PARTICIPANT else None
        whose = LevelHolder(holder.kind, holder.id, holder.organization_id, external_id)
        for tier in active:
            if tier.id in marks:
                self.world.standings.put(whose, tier, marks[tier.id])
