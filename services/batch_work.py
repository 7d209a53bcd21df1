"""The work of one batch of events: load, lock, evaluate, flush (events-rules.md 3). See ADR 7 for the order of locks."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from db.repositories import automations, ledger, ledger_flush
from db.repositories import budgets as budget_rows
from db.repositories import processing as rows
from db.session import Connection
from domain.ledger.accounts import NIL, AccountKey, EntityType
from domain.ledger.books import Books
from domain.ledger.missing import MissingAccount, MissingLots, MissingState, MissingWallet
from domain.processing.process import Outcome, process
from domain.processing.variables import reads_balances, reads_groups
from domain.processing.world import Event, Membership, MissingExternalId, MissingHolder, StateOwner, World
from domain.rules.ruleset import RuleSet
from domain.state import EntityState
from runtime.ids import new_id
from services import crossings, outbox
from services.batch_tiers import BatchTiers
from services.crossings import CounterChange
from services.event_traces import NO_TRACES, EventTraces
from services.messages.events import record_batch
from services.rules import load_rule_sets

TICK = timedelta(microseconds=1)
BOX_SECONDS = 0.025
# A rule set of 50 actions can't name more than this many things that weren't loaded.
MOST_LOADS_PER_EVENT = 200


class StartAgain(Exception):
    """Something must be locked that comes earlier in the order of locks: roll back, and lock it from the start."""

    def __init__(self, *, holders: frozenset[UUID] = frozenset(), hot_rows: bool = False) -> None:
        self.holders = holders
        self.hot_rows = hot_rows
        super().__init__("a lock came too late")


@dataclass(frozen=True, slots=True)
class Locks:
    """What a batch locks beyond its events' own holders, having learnt of it the hard way."""

    holders: frozenset[UUID] = frozenset()
    hot_rows: bool = False

    def plus(self, late: StartAgain) -> "Locks":
        """These locks and the ones that came too late."""
        return Locks(self.holders | late.holders, self.hot_rows or late.hot_rows)


def _groups_of(memberships: Mapping[UUID, Sequence[Membership]]) -> set[UUID]:
    return {membership.group_id for found in memberships.values() for membership in found}


@dataclass(slots=True)
class Work:
    """One batch: its events, the world they run in, and the locks it holds.

    A dry one takes no lock and is never flushed; a transaction with one snapshot lends it a state that stands still.
    """

    conn: Connection
    events: Sequence[Event]
    locks: Locks
    is_dry: bool = False
    traces: EventTraces = NO_TRACES
    rule_sets: dict[UUID, RuleSet] = field(default_factory=dict)
    books: Books = field(init=False)
    world: World = field(init=False)
    program_versions: dict[UUID, int] = field(default_factory=dict)
    locked: set[UUID] = field(default_factory=set)
    watched: set[UUID] = field(default_factory=set)
    has_crossings: bool = False
    """Whether a counter crossed a threshold that somebody watches, so that something is due after the commit."""
    entry_ends: list[int] = field(default_factory=list)
    """How many entries the books had after each event."""
    tiers: BatchTiers = field(init=False)
    moment: datetime | None = None

    def __post_init__(self) -> None:
        self.books = Books({}, new_id)
        self.world = World(self.books)
        self.tiers = BatchTiers(self.conn, self.world, self.is_dry)
        self._load_programs()
        self._lock_and_load_holders()

    # ------------------------------------------------------------- loading
    def _load_programs(self) -> None:
        program_ids = {event.program_id for event in self.events}
        self.rule_sets = load_rule_sets(self.conn, program_ids)
        for program in rows.load_programs(self.conn, program_ids):
            self.world.programs[program.id] = program
        asset_ids = {id_ for program in self.world.programs.values() for id_ in program.asset_ids}
        asset_ids |= {id_ for rules in self.rule_sets.values() for id_ in rules.asset_ids}
        for terms in rows.load_assets(self.conn, asset_ids).values():
            self.books.add_asset(terms)

    def _lock_and_load_holders(self) -> None:
        wanted = set(self.locks.holders)
        for event in self.events:
            wanted.update(id_ for id_ in (event.participant_id, event.recipient_id) if id_ is not None)
        members = self._members()
        wanted.update(_groups_of(rows.memberships(self.conn, members)) if members else ())
        if not self.is_dry:
            ledger.lock_holders(self.conn, wanted)
        self.tiers.load()
        self._take_in(wanted)
        if members:
            self._load_memberships(members)
        self._load_hot_rows()
        keys = {key for event in self.events for key in self._keys_of(event)}
        needs_lots = any(rules.needs_lots for rules in self.rule_sets.values())
        ledger.load_accounts(self.conn, self.books, keys, with_lots=needs_lots)

    def _members(self) -> set[UUID]:
        """The participants whose groups a rule set reads."""
        events = [event for event in self.events if reads_groups(self.rule_sets[event.program_id].reads)]
        return {event.participant_id for event in events if event.participant_id is not None}

    def _load_memberships(self, members: Collection[UUID]) -> None:
        """Read again under the locks, which keep groups and members as they are; StartAgain for a group joined meanwhile."""
        self.world.memberships = rows.memberships(self.conn, members)
        late = _groups_of(self.world.memberships) - self.locked
        if late:
            raise StartAgain(holders=frozenset(late))

    def _take_in(self, holder_ids: Collection[UUID]) -> None:
        self.locked.update(holder_ids)
        self.tiers.take_in(holder_ids, self.moment)
        if any(rules.assigns_levels for rules in self.rule_sets.values()):
            self.world.enrolled |= rows.active_enrollments(self.conn, holder_ids, self.world.programs.keys())
        with_programs = any(self._reads(name) for name in ("participant", "recipient"))
        found = rows.load_holders(self.conn, holder_ids, with_programs=with_programs)
        for loaded in found:
            self.world.holders[loaded.holder.id] = loaded.holder
            self.world.states[loaded.holder.id] = loaded.state
            if loaded.is_watched:
                self.watched.add(loaded.holder.id)
        self.world.absent.update(set(holder_ids) - {loaded.holder.id for loaded in found})
        self.tiers.know_counters(holder_ids, self.moment)

    def _reads(self, name: str) -> bool:
        wanted = {name, f"{name}.program_ids"}
        return any(not wanted.isdisjoint(rules.reads) for rules in self.rule_sets.values())

    def _load_hot_rows(self) -> None:
        """Budgets, program states, wallets; locked when an optimistic attempt has found them changed, or would surely."""
        lock = self._locks_hot_rows()
        self._load_budgets(lock=lock)
        states = rows.load_program_states(self.conn, self.world.programs.keys(), lock=lock)
        for program_id, (state, version) in states.items():
            self.world.states[program_id] = state
            self.program_versions[program_id] = version
        pairs = {
            (program.id, asset_id)
            for program in self.world.programs.values()
            for asset_id in program.asset_ids
            if self.books.assets[asset_id].is_prefunded
        }
        if pairs and lock:
            ledger.lock_wallets(self.conn, pairs)
        if pairs:
            ledger.load_wallets(self.conn, self.books, pairs)

    def _locks_hot_rows(self) -> bool:
        """Every credit of a PREFUNDED asset moves its wallet on, so that of batches that hope for the best only one is right."""
        rules = self.rule_sets.values()
        is_drawn = any(
            self.books.assets[id_].is_prefunded for found in rules for id_ in found.asset_ids if id_ in self.books.assets
        )
        return not self.is_dry and (is_drawn or self.locks.hot_rows)

    def _load_budgets(self, *, lock: bool) -> None:
        """StartAgain for a budget that was taken away since the rules were read: without it they issue without a limit."""
        wanted = {key for rules in self.rule_sets.values() for key in rules.budgets}
        if wanted:
            loaded = budget_rows.load(self.conn, {rule_id for rule_id, _ in wanted}, lock=lock)
            if wanted - {(live.rule_id, live.budget.asset_id) for live in loaded}:
                raise StartAgain
            self.world.budgets.add(loaded)

    def _keys_of(self, event: Event) -> Iterable[AccountKey]:
        rules = self.rule_sets[event.program_id]
        asset_ids = rules.asset_ids
        if reads_balances(rules.reads):
            asset_ids = asset_ids.union(self.world.programs[event.program_id].asset_ids)
        for holder_id in (event.participant_id, event.recipient_id):
            if holder_id is not None:
                for asset_id in asset_ids:
                    yield AccountKey(EntityType.PARTICIPANT, holder_id, asset_id, NIL)

    # ---------------------------------------------------------- evaluating
    def evaluate(self) -> list[Outcome]:
        """Process the events in order, each seeing what its predecessors did, until all are done or the time box is full."""
        now = self.moment = rows.clock(self.conn)
        if self.tiers.is_due(now):
            # it came while the batch was loaded; nothing has happened in the world yet
            self._take_in(set(self.locked))
        # this thread's own work counts, not waiting: a busy machine must not make batches smaller, which would make it busier
        deadline = time.thread_time() + BOX_SECONDS
        outcomes: list[Outcome] = []
        for position, event in enumerate(self.events):
            self.moment = now + position * TICK
            if position and self.tiers.is_due(self.moment):
                break
            outcomes.append(self._process(event, self.moment))
            self.entry_ends.append(len(self.books.entries))
            if time.thread_time() > deadline:
                break
        return outcomes

    def _process(self, event: Event, now: datetime) -> Outcome:
        rules = self.rule_sets[event.program_id]
        for _ in range(MOST_LOADS_PER_EVENT):
            try:
                return process(event, rules, self.world, now)
            except MissingState as missing:
                self._load_missing(missing, event)
        raise RuntimeError("an event keeps naming what isn't loaded")

    def _load_missing(self, missing: MissingState, event: Event) -> None:
        if isinstance(missing, MissingHolder):
            self._lock_late(event.organization_id, missing.holder_id)
        elif isinstance(missing, MissingExternalId):
            name = (missing.organization_id, missing.external_id)
            found = rows.find_external_ids(self.conn, [name])
            self.world.external_ids.update(found)
            self.world.absent.update({name} - found.keys())
        elif isinstance(missing, MissingAccount):
            needs_lots = self.rule_sets[event.program_id].needs_lots
            ledger.load_accounts(self.conn, self.books, {missing.key}, with_lots=needs_lots)
        elif isinstance(missing, MissingLots):
            ledger.load_accounts(self.conn, self.books, {missing.key}, with_lots=True)
        elif isinstance(missing, MissingWallet):
            ledger.load_wallets(self.conn, self.books, {(missing.program_id, missing.asset_id)})
        else:
            raise missing

    def _lock_late(self, organization_id: UUID, holder_id: UUID) -> None:
        """Lock a target that only the evaluation named. Waiting for it would break the order of locks, so nobody waits.

        Another organization's holder is absent, and not locked either: nobody can make a foreign batch wait.
        """
        find = rows.existing_holders if self.is_dry else rows.lock_holders_at_once
        if find(self.conn, organization_id, {holder_id}):
            self._take_in({holder_id})
        elif rows.existing_holders(self.conn, organization_id, {holder_id}):
            raise StartAgain(holders=frozenset({holder_id}))
        else:
            self.world.absent.add((organization_id, holder_id))

    # ------------------------------------------------------------ flushing
    def flush(self, outcomes: Sequence[Outcome]) -> None:
        """Write all effects; hot rows last. Raises StartAgain when one has changed since it was read."""
        world = self.world
        holders = self._changed(StateOwner.PARTICIPANT, StateOwner.GROUP)
        self.tiers.mark(holders, outcomes[-1].processed_at)
        with self.conn.pipeline():
            rows.write_outcomes(self.conn, outcomes)
            audience = outbox.look_up(self.conn, {outcome.event.organization_id for outcome in outcomes})
            if world.history:
                rows.write_history(self.conn, world.history, [new_id() for _ in world.history])
            if world.planned:
                automations.insert_planned(self.conn, world.planned)
            if holders:
                rows.write_holder_states(self.conn, holders, outcomes[-1].processed_at)
            self.tiers.write()
        if self.watched:
            self.has_crossings = crossings.note(self.conn, self._watched_changes())
        told = (self.entry_ends, self.rule_sets, self.books, world.standings.changes, self.traces)
        record_batch(self.conn, audience(), outcomes, *told)
        spendings = world.budgets.changed
        owners = [self._owner_of(spending.live.budget.asset_id) for spending in spendings]
        if spendings and not budget_rows.spend(self.conn, spendings, owners):
            raise StartAgain(hot_rows=True)
        programs = self._changed(StateOwner.PROGRAM)
        if programs and not rows.write_program_states(self.conn, programs, self.program_versions):
            raise StartAgain(hot_rows=True)
        try:
            ledger_flush.flush(self.conn, self.books)
        except ledger_flush.StaleBooks as stale:
            raise StartAgain(hot_rows=True) from stale

    def _watched_changes(self) -> Iterable[CounterChange]:
        """What became of counters that somebody watches, each event being one change."""
        for row in self.world.history:
            if row.owner is StateOwner.PARTICIPANT and row.owner_id in self.watched:
                yield CounterChange(row.owner_id, row.change, row.at, row.event.id)

    def _owner_of(self, asset_id: UUID) -> UUID:
        owner = self.books.assets[asset_id].organization_id
        assert owner is not None
        return owner

    def _changed(self, *owners: StateOwner) -> list[tuple[UUID, EntityState]]:
        changed = self.world.changed_states.items()
        return [(id_, self.world.states[id_]) for id_ in sorted(id_ for id_, owner in changed if owner in owners)]
