"""Rules, events and worlds for the tests of processing, made in memory."""

from copy import deepcopy
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.ledger.accounts import Account, AccountKey, AssetTerms, EntityType
from domain.ledger.books import Books
from domain.processing.process import Outcome, process
from domain.processing.record import EvaluatedEvent, evaluations
from domain.processing.world import Event, Holder, Program, World
from domain.rules.rule import compile_rule
from domain.rules.ruleset import RuleSet
from domain.state import EntityState
from tests.domain.ledger.books_store import counter
from tests.domain.rules.builders import ASSETS, MILES, MOMENT, PROGRAM, PTS, rule

ORGANIZATION = UUID(int=0x0A)
ANN = UUID(int=0xA1)
BOB = UUID(int=0xB0)
NOW = MOMENT + timedelta(days=1)
NAMES = {ANN: "ann", BOB: "bob"}


def make_rules(*definitions: dict[str, Any]) -> RuleSet:
    """A rule set; rules are numbered 10, 20, 30 unless they say otherwise."""
    compiled = []
    for number, fields in enumerate(definitions, 1):
        usual: dict[str, Any] = {"id": UUID(int=0x1000 + number), "order": 10 * number, "name": f"Rule {number}"}
        snapshot = rule(**{**usual, "condition": "true", **fields}).snapshot()
        compiled.append(compile_rule(snapshot, UUID(int=0x2000 + number)))
    return RuleSet(7, PROGRAM, tuple(compiled))


def make_event(data: dict[str, Any] | None = None, number: int = 1, **fields: Any) -> Event:
    """An event of ann."""
    usual: dict[str, Any] = {
        "id": UUID(int=0xE000 + number),
        "organization_id": ORGANIZATION,
        "program_id": PROGRAM,
        "participant_id": ANN,
        "recipient_id": None,
        "data": data or {},
        "timestamp": MOMENT,
        "created_at": MOMENT,
    }
    return Event(**{**usual, **fields})


def make_world(*holder_ids: UUID, assets: dict[UUID, AssetTerms] | None = None, **fields: Any) -> World:
    """A world with these participants (ann and bob by default), all their accounts loaded and empty."""
    assets = assets or ASSETS
    world = World(Books(assets, counter()))
    world.programs[PROGRAM] = Program(PROGRAM, ORGANIZATION, "P", tuple(assets))
    world.states[PROGRAM] = EntityState()
    for id_ in holder_ids or (ANN, BOB):
        add_holder(world, id_, **fields)
    return world


def add_holder(world: World, id_: UUID, **fields: Any) -> None:
    """Load a participant."""
    usual: dict[str, Any] = {
        "id": id_,
        "organization_id": ORGANIZATION,
        "kind": EntityType.PARTICIPANT,
        "external_id": NAMES.get(id_, f"p{id_.int}"),
        "status": "ACTIVE",
        "created_at": MOMENT,
    }
    holder = Holder(**{**usual, **fields})
    world.holders[id_] = holder
    world.external_ids[ORGANIZATION, holder.external_id] = id_
    world.states[id_] = EntityState()
    for asset_id in world.books.assets:
        world.books.add_account(Account(AccountKey(EntityType.PARTICIPANT, id_, asset_id), lots_loaded=True))


def account(world: World, holder_id: UUID, asset_id: UUID = PTS) -> Account:
    return world.books.account(AccountKey(EntityType.PARTICIPANT, holder_id, asset_id))


def available(world: World, holder_id: UUID, asset_id: UUID = PTS) -> Decimal:
    return account(world, holder_id, asset_id).available


def run(world: World, rules: RuleSet, data: dict[str, Any] | None = None, now: datetime = NOW, **fields: Any) -> Outcome:
    """Process one event."""
    return process(make_event(data, **fields), rules, world, now)


def rows(outcome: Outcome, rules: RuleSet) -> list[dict[str, Any]]:
    """The evaluations of an outcome, as they are read back from its stored record."""
    event = outcome.event
    context = EvaluatedEvent(event.id, event.participant_id, event.program_id, outcome.processed_at)
    return list(evaluations(outcome.record.pack(), rules.rules, context))


def verdicts(outcome: Outcome, rules: RuleSet) -> list[tuple[str, str | None]]:
    """Status and reason of each evaluation."""
    return [(row["status"], row["reason"]) for row in rows(outcome, rules)]


def fingerprint(world: World) -> object:
    """Everything in a world that a failing event must leave alone, in a copy that later changes don't reach."""
    books = world.books
    accounts = {key: [getattr(found, name) for name in Account.__slots__] for key, found in books._accounts.items()}
    effects = (
        books.entries,
        books._wallets,
        set(books.changed_accounts),
        set(books.changed_wallets),
        books.new_lots,
        books.changed_lots,
        books.new_holds,
        books.changed_holds,
    )
    state = (world.states, world.changed_states, world.history, world.planned, world.holders, world.external_ids)
    levels = (world.standings.loaded, list(world.standings.changed), world.standings.changes)
    return deepcopy((accounts, effects, state, levels))


__all__ = [
    "ANN",
    "ASSETS",
    "BOB",
    "MILES",
    "MOMENT",
    "NOW",
    "ORGANIZATION",
    "PROGRAM",
    "PTS",
    "account",
    "add_holder",
    "available",
    "fingerprint",
    "make_event",
    "make_rules",
    "make_world",
    "rows",
    "run",
    "verdicts",
]
