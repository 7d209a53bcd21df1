"""The snapshot an event's conditions and expressions see (events-rules.md 5.1); only what the rule set reads is built."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from domain.ledger.accounts import AccountKey
from domain.processing.world import Event, Holder, World
from domain.state import EntityState

_WHOLE_GROUP = frozenset({"group"})


def snapshot(event: Event, reads: frozenset[str], world: World, now: datetime) -> dict[str, object]:
    """The variables of one event. `now` is the time of processing: it decides which counters have lapsed."""
    participant = _find(event.participant_id, event, world)
    recipient = _find(event.recipient_id, event, world)
    groups = _groups(event, world, now) if reads_groups(reads) else []
    return {
        "event": event.data,
        "now": event.timestamp,
        "participant": _holder(participant, "participant", event, reads, world, now),
        "recipient": _holder(recipient, "recipient", event, reads, world, now),
        "program": _program(event, reads, world, now),
        "groups": groups,
        "group": groups[0] if groups else None,
    }


def _find(holder_id: UUID | None, event: Event, world: World) -> Holder | None:
    return None if holder_id is None else world.holder(holder_id, event.organization_id)


def _holder(
    holder: Holder | None, name: str, event: Event, reads: frozenset[str], world: World, now: datetime
) -> dict[str, object] | None:
    if holder is None:
        return None
    view: dict[str, object] = {
        "id": str(holder.id),
        "external_id": holder.external_id,
        "status": holder.status,
        "created_at": holder.created_at,
        "program_ids": [str(id_) for id_ in holder.program_ids],
    }
    view |= _state(world.states[holder.id], name, reads, now)
    if name in reads or f"{name}.tiers" in reads:
        view["tiers"] = _tiers(holder, event, world)
    if name in reads or f"{name}.balances" in reads:
        view["balances"] = _balances(holder, event, world)
    return view


def _state(state: EntityState, name: str, reads: frozenset[str], now: datetime) -> dict[str, object]:
    whole = name in reads
    view: dict[str, object] = {}
    if whole or f"{name}.tags" in reads:
        view["tags"] = sorted(state.tags)
    if whole or f"{name}.counters" in reads:
        view["counters"] = {key: counter.effective(now) for key, counter in state.counters.items()}
    if whole or f"{name}.attributes" in reads:
        view["attributes"] = dict(state.attributes)
    return view


def _tiers(holder: Holder, event: Event, world: World) -> dict[str, object]:
    """The levels that are held of the program's tiers, archived ones too."""
    view: dict[str, object] = {}
    for tier in world.standings.of_program(event.program_id):
        level = tier.by_key.get(world.standings.get(holder.id, tier.id).level or "")
        if level is not None:
            view[tier.key] = {"level": level.key, "rank": Decimal(level.rank), "benefits": level.benefits}
    return view


def _balances(holder: Holder, event: Event, world: World) -> Mapping[str, Mapping[str, Decimal]]:
    rows: dict[str, Mapping[str, Decimal]] = {}
    for asset_id in world.programs[event.program_id].asset_ids:
        account = world.books.account(AccountKey(holder.kind, holder.id, asset_id))
        rows[world.books.assets[asset_id].symbol] = {
            "available": account.available,
            "held": account.held,
            "deferred": account.deferred,
        }
    return rows


def _groups(event: Event, world: World, now: datetime) -> list[dict[str, object]]:
    found = () if event.participant_id is None else world.memberships.get(event.participant_id, ())
    groups = [(membership, world.holders[membership.group_id]) for membership in found]
    return [
        {"id": str(group.id), "name": group.name, "role": membership.role}
        | _state(world.states[group.id], "group", _WHOLE_GROUP, now)
        for membership, group in groups
    ]


def _program(event: Event, reads: frozenset[str], world: World, now: datetime) -> dict[str, object]:
    program = world.programs[event.program_id]
    view: dict[str, object] = {"id": str(program.id), "name": program.name}
    if program.id in world.states:
        view |= _state(world.states[program.id], "program", reads, now)
    return view


def reads_balances(reads: frozenset[str]) -> bool:
    """Whether the rule set looks at anybody's balances."""
    return not reads.isdisjoint({"participant", "participant.balances", "recipient", "recipient.balances"})


def reads_groups(reads: frozenset[str]) -> bool:
    """Whether the rule set looks at the participant's groups."""
    return not reads.isdisjoint({"group", "groups"})


def reads_program_state(reads: frozenset[str]) -> bool:
    """Whether the rule set looks at the program's tags, counters or attributes."""
    return any(name == "program" or name in {"program.tags", "program.counters", "program.attributes"} for name in reads)
