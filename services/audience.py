"""Conditions about participants: who of a page satisfies a filter or guard at this moment (automations.md 2.3)."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from db.repositories import ledger
from db.repositories import processing as rows
from db.session import Connection
from domain.automation_forms import automation_condition
from domain.cel import EvaluationError, evaluate_condition
from domain.ledger.accounts import AccountKey, EntityType
from domain.ledger.books import Books
from domain.ledger.due import post_due
from domain.processing.variables import reads_balances, reads_groups, reads_program_state, snapshot
from domain.processing.world import Event, World
from runtime.ids import NIL, new_id
from services.batch_tiers import BatchTiers


def satisfying(
    conn: Connection, organization_id: UUID, program_id: UUID, participant_ids: Collection[UUID], source: str, now: datetime
) -> set[UUID]:
    """Those for whom a condition is true as they are now; errors and too many steps count as false. Nothing is locked.

    Balances, levels and counters are those that a visitor would see: what is due is taken into account, and left for others to
    write.
    """
    condition = automation_condition(source)
    world = _load(conn, program_id, participant_ids, condition.reads, now)
    found = set()
    for participant_id in participant_ids:
        event = Event(NIL, organization_id, program_id, participant_id, None, {}, now, now)
        try:
            if participant_id in world.holders and evaluate_condition(condition, snapshot(event, condition.reads, world, now)):
                found.add(participant_id)
        except EvaluationError:
            continue
    return found


def _load(conn: Connection, program_id: UUID, ids: Collection[UUID], reads: frozenset[str], now: datetime) -> World:
    """What the condition reads of these participants and their program, in a handful of statements."""
    world = World(Books({}, new_id))
    for program in rows.load_programs(conn, [program_id]):
        world.programs[program.id] = program
    tiers = BatchTiers(conn, world, is_dry=True)
    tiers.load()
    _take_in(tiers, ids, now, with_programs=not reads.isdisjoint({"participant", "participant.program_ids"}))
    if reads_groups(reads):
        world.memberships = rows.memberships(conn, ids)
        groups = {membership.group_id for found in world.memberships.values() for membership in found}
        _take_in(tiers, groups, now, with_programs=False)
    if reads_program_state(reads):
        for id_, (state, _) in rows.load_program_states(conn, [program_id], lock=False).items():
            world.states[id_] = state
    if reads_balances(reads):
        _load_balances(conn, world, program_id, ids, now)
    return world


def _take_in(tiers: BatchTiers, ids: Collection[UUID], now: datetime, *, with_programs: bool) -> None:
    tiers.take_in(ids, now)
    for loaded in rows.load_holders(tiers.conn, list(ids), with_programs=with_programs):
        tiers.world.holders[loaded.holder.id] = loaded.holder
        tiers.world.states[loaded.holder.id] = loaded.state
    tiers.know_counters(ids, now)


def _load_balances(conn: Connection, world: World, program_id: UUID, ids: Collection[UUID], now: datetime) -> None:
    books, asset_ids = world.books, world.programs[program_id].asset_ids
    for terms in rows.load_assets(conn, asset_ids).values():
        books.add_asset(terms)
    keys = [AccountKey(EntityType.PARTICIPANT, id_, asset_id) for id_ in ids for asset_id in asset_ids]
    ledger.load_accounts(conn, books, keys, with_lots=False)
    due = [key for key in keys if (at := books.account(key).next_due_at) is not None and at <= now]
    if due:
        ledger.load_accounts(conn, books, due, with_lots=True)
        for key in due:
            post_due(books, key, now)
