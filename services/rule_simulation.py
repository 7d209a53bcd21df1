"""Trying out one rule on a made-up event and participant of its real program (events-rules.md 4.12); nothing is written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session

from db.repositories import processing as rows
from db.session import Connection, freeze, loads, psycopg_of
from domain.errors import BadRequest, Fault
from domain.ledger.accounts import AssetTerms, Balance
from domain.money import to_scale
from domain.processing.rule_simulation import Case, RuleSimulation, simulate_rule
from domain.rules.rule import Rule, compile_rule
from domain.state import Counter, EntityState
from domain.tiers.definition import Tier
from services.rules import get_rule
from services.tier_sets import load_tiers


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """What a rule is to be tried on, its form checked; balances by symbol. Without a time it happens now."""

    event_data: str
    now: datetime | None = None
    tags: frozenset[str] = frozenset()
    counters: Mapping[str, Decimal] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    tiers: Mapping[str, str] = field(default_factory=dict)
    balances: Mapping[str, Balance] = field(default_factory=dict)


def simulate(session: Session, organization_id: UUID, rule_id: UUID, trial: RuleTrial) -> tuple[Rule, RuleSimulation]:
    """Try a rule in a transaction of its own, which this makes read-only. Raises NotFound, BadRequest."""
    conn = psycopg_of(session)
    freeze(conn)
    rule = get_rule(session, organization_id, rule_id)
    compiled = compile_rule(rule.snapshot(), rule.id)
    [program] = rows.load_programs(conn, [rule.program_id])
    named = {action.asset_id for action in compiled.actions if hasattr(action, "asset_id")}
    assets = rows.load_assets(conn, named.union(program.asset_ids))
    linked = {assets[id_].symbol: assets[id_] for id_ in program.asset_ids}
    tiers = load_tiers(conn, [organization_id]).get(program.id, ()) if program.has_tiers else ()
    faults = [*_tier_faults(trial, tiers), *_balance_faults(trial, linked)]
    if faults:
        raise BadRequest(faults)
    clock = rows.clock(conn)
    case = Case(
        program=program,
        program_state=_program_state(conn, program.id),
        assets=assets,
        event=loads(trial.event_data),
        now=trial.now or clock,
        clock=clock,
        state=EntityState(trial.tags, {key: Counter(value) for key, value in trial.counters.items()}, trial.attributes),
        tiers=tiers,
        levels=trial.tiers,
        balances={linked[symbol].id: _rounded(balance, linked[symbol].scale) for symbol, balance in trial.balances.items()},
    )
    return rule, simulate_rule(compiled, case)


def _program_state(conn: Connection, program_id: UUID) -> EntityState:
    found = rows.load_program_states(conn, [program_id], lock=False).get(program_id)
    return EntityState() if found is None else found[0]


def _rounded(balance: Balance, scale: int) -> Balance:
    return Balance(*(to_scale(amount, scale) for amount in balance))


def _tier_faults(trial: RuleTrial, tiers: Iterable[Tier]) -> Iterator[Fault]:
    levels = {tier.key: tier.by_key for tier in tiers}
    for key, level in trial.tiers.items():
        where = f"participant_state.tiers.{key}"
        if key not in levels:
            yield Fault(where, "invalid", "No such tier in the program", "tier of the program", level)
        elif level not in levels[key]:
            yield Fault(where, "invalid", "No such level in the tier", "level of the tier", level)


def _balance_faults(trial: RuleTrial, linked: Mapping[str, AssetTerms]) -> Iterator[Fault]:
    for symbol in trial.balances:
        if symbol not in linked:
            where = f"participant_state.balances.{symbol}"
            yield Fault(where, "invalid", "No asset with this symbol is linked to the program", "linked asset", symbol)
