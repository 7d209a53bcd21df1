"""What time did to holders' tiers, carried out before anything newer shows, reads or changes them (tiers.md 3.3, 4.3).

Who evaluates, reads or writes counters or levels calls one of these first; the flow of a tier visits everybody else. Every
step and the mark that it was done are written together, under the holder's lock: each is done once.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from uuid import UUID

from sqlmodel import Session

from db.repositories import ledger, tier_states, tiers
from db.repositories import tier_steps as repository
from db.repositories.ledger_terms import database_now
from db.repositories.tier_states import NewStanding
from db.repositories.tier_steps import CounterRow, TierKey
from db.session import Connection, Database, psycopg_of
from domain.ledger.accounts import EntityType
from domain.state import Counter
from domain.tiers.calendar import end_after, period_ends
from domain.tiers.changes import Cause, LevelChange, LevelHolder
from domain.tiers.definition import Lifecycle, Standing, Tier
from domain.tiers.qualification import due_at
from domain.tiers.stored import lifecycle_of
from domain.tiers.windows import Advance, Holdings, advance, first_marks, next_visit
from runtime.ids import new_id
from services import crossings, tier_records, tier_renewals
from services.crossings import CounterChange
from services.tier_sets import load_tiers, standings_of
from services.transactions import transact

__all__ = ["Steps", "TierKey"]

# Holders of one transaction, which are locked while it runs: their events wait so long.
PAGE = 100
# Rows of an archived tier that are cleared at once; nobody waits for them.
STOP_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Steps:
    """What was done: for how many holders, to how many levels and counters; `ahead` is the next moment of any of them."""

    holders: int = 0
    levels: int = 0
    counters: int = 0
    ahead: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A holder with its tiers and counters."""

    holder: LevelHolder
    holdings: Holdings


@dataclass(frozen=True, slots=True)
class Visited:
    """What was due for a holder."""

    holder: LevelHolder
    done: Advance


def _visited(held: Held, now: datetime) -> Visited:
    return Visited(held.holder, advance(held.holdings, now))


def settle(session: Session, organization_id: UUID, holder_id: UUID) -> None:
    """Carry out what is due for a holder; one indexed read when nothing is. Reads of counters and levels begin with it."""
    conn = psycopg_of(session)
    if repository.due_holders(conn, organization_id, [holder_id])[0]:
        settle_all(session, organization_id, [holder_id])


def settle_all(session: Session, organization_id: UUID, holder_ids: Collection[UUID], until: datetime | None = None) -> Steps:
    """Carry out what is due for some holders, locked in id order; with `until` only what is due then, and dated so."""
    conn = psycopg_of(session)
    ledger.lock_holders(conn, holder_ids)
    return bring_up_to_date(conn, organization_id, holder_ids, until or database_now(conn))


def bring_up_to_date(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID], now: datetime) -> Steps:
    """Carry out what is due at a moment for holders that the caller has locked; one indexed read when nothing is."""
    due, ahead = repository.due_holders(conn, organization_id, holder_ids, now)
    if not due:
        return Steps(ahead=ahead)
    tiers.hold_still(conn, [organization_id])
    steps = _write(conn, [_visited(each, now) for each in load(conn, organization_id, due)], now)
    return replace(steps, ahead=repository.due_holders(conn, organization_id, holder_ids, now)[1])


def foresee(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID], now: datetime) -> list[Visited]:
    """What would be done for holders with something due; nothing is written, no lock is taken."""
    due, _ = repository.due_holders(conn, organization_id, holder_ids, now)
    return [_visited(each, now) for each in load(conn, organization_id, due)] if due else []


def load(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> list[Held]:
    """What the organization's holders among these have of its ACTIVE tiers, and their counters."""
    active = active_tiers(conn, organization_id)
    standings = standings_of(active, tier_states.load(conn, [organization_id], holder_ids))
    joined = repository.enrolments(conn, holder_ids, {tier.program_id for tier in active})
    found = []
    for each in repository.load(conn, organization_id, holder_ids):
        id_ = each.holder.id
        own = {tier.id: standings[id_, tier.id] for tier in active if (id_, tier.id) in standings}
        enrolled_at = joined.get(id_, {}) if each.holder.kind is EntityType.PARTICIPANT else None
        found.append(Held(each.holder, Holdings(active, own, each.counters, enrolled_at)))
    return found


def active_tiers(conn: Connection, organization_id: UUID) -> tuple[Tier, ...]:
    """All tiers of an organization in which something happens by itself."""
    programs = load_tiers(conn, [organization_id])
    return tuple(tier for tier in chain.from_iterable(programs.values()) if not tier.is_archived)


def note_new_counters(
    conn: Connection, organization_id: UUID, holder_id: UUID, before: Mapping[str, Counter], keys: Collection[str], now: datetime
) -> None:
    """Mark a locked holder that is up to date: from now on period ends concern the counters that are created now.

    `before` are its counters without them.
    """
    tiers.hold_still(conn, [organization_id])
    [held] = load(conn, organization_id, [holder_id])
    marks = first_marks(replace(held.holdings, counters=before), keys, now)
    tier_by_id = {tier.id: tier for tier in held.holdings.tiers}
    if marks:
        new = [marked(organization_id, holder_id, tier_by_id[id_], standing) for id_, standing in marks.items()]
        tier_states.save(conn, new)


def marked(organization_id: UUID, holder_id: UUID, tier: Tier, standing: Standing) -> NewStanding:
    """A standing to be stored, with the moment at which it must be looked at."""
    return NewStanding(organization_id, holder_id, tier, standing, due_at(tier, standing))


def _write(conn: Connection, visited: Sequence[Visited], now: datetime) -> Steps:
    changes = [change for each in visited for change in _changes(each, now)]
    rolled = [CounterRow(each.holder, row.tier.program_id, row.change) for each in visited for row in each.done.rolled_over]
    tier_records.save(conn, [standing for each in visited for standing in _standings(each, now)], changes)
    touched = [each for each in visited if each.done.lowerings or each.done.rolled_over]
    if touched:
        repository.write_counters(conn, [(each.holder.id, each.done.holdings.counters) for each in touched], now)
    if rolled:
        repository.write_history(conn, rolled, [new_id() for _ in rolled], now)
        crossings.note(conn, [CounterChange(row.holder.id, row.change, now) for row in rolled])
    return Steps(len(visited), len(changes), len(rolled))


def _changes(visited: Visited, now: datetime) -> Iterator[LevelChange]:
    for low in visited.done.lowerings:
        yield LevelChange(visited.holder, low.tier, low.before, low.after, low.expires_at, Cause(low.reason, now))


def _standings(visited: Visited, now: datetime) -> Iterator[NewStanding]:
    """All that it has a standing of: the moment of the next look is another one even where nothing else is.

    And its first rows of tiers whose period ends have begun to concern it.
    """
    holder, holdings = visited.holder, visited.done.holdings
    for tier in holdings.tiers:
        moment = next_visit(holdings, tier, now)
        if moment is not None or tier.id in holdings.standings:
            yield NewStanding(holder.organization_id, holder.id, tier, holdings.standing(tier), moment)


# ------------------------------------------------------------ without a visitor
def holders_due(
    session: Session, tier_id: UUID, limit: int, without: Collection[UUID], until: datetime | None = None
) -> list[UUID]:
    """The holders for whom something of a tier has been due longest, now or at an earlier moment."""
    return repository.holders_due(psycopg_of(session), tier_id, limit, without, until)


@dataclass(frozen=True, slots=True)
class FoundTier:
    """A tier as its flow sees it."""

    tier: TierKey
    key: str
    is_active: bool


def find_tier(session: Session, tier_id: UUID) -> FoundTier | None:
    """A tier, whosever it is."""
    found = repository.find_tier(psycopg_of(session), tier_id)
    return None if found is None else FoundTier(*found)


def stop(session: Session, tier_id: UUID) -> bool:
    """Clear moments of an archived tier for some of its holders; whether there may be more. Nothing happens at them anyway."""
    return tier_states.stop(psycopg_of(session), tier_id, STOP_PAGE) == STOP_PAGE


@dataclass(frozen=True, slots=True)
class Ahead:
    """The next moment of a tier, and how far it is by the database's clock, below zero when it has passed."""

    at: datetime | None = None
    in_seconds: float | None = None


def next_of(session: Session, tier_id: UUID, without: Collection[UUID]) -> Ahead:
    """When something of a tier is due next, for others than some holders."""
    found = repository.next_of(psycopg_of(session), tier_id, without)
    return Ahead() if found is None else Ahead(*found)


def in_need_of_flow(session: Session, limit: int) -> tuple[list[TierKey], list[TierKey]]:
    """Tiers with something to do now, and some of the others that have moments: others at every call."""
    conn = psycopg_of(session)
    due = repository.tiers_due(conn)
    due += [tier for tier in repository.tiers_renewing(conn) if tier not in due]
    due += repository.tiers_stopping(conn)
    return due, [tier for tier in repository.some_timed(conn, limit) if tier not in due]


def timed(session: Session, limit: int) -> list[TierKey]:
    """Tiers that have moments, at most so many."""
    return repository.some_timed(psycopg_of(session), limit)


def is_anything_due(session: Session, until: datetime) -> bool:
    """Whether something of a tier is due at a moment, which has come, or a new lifecycle hasn't reached everybody."""
    conn = psycopg_of(session)
    return bool(repository.tiers_renewing(conn) or repository.tiers_due(conn, until))


def settle_everybody(database: Database, until: datetime, beat: Callable[[], None]) -> None:
    """Carry out everything that is due at a moment, which has come, and date it so; `beat` is called after each page."""
    for tier in transact(database, lambda session: repository.tiers_renewing(psycopg_of(session))):
        tier_renewals.renew(database, tier.id, _visitor(tier, until), beat)
    while due := transact(database, lambda session: repository.tiers_due(psycopg_of(session), until)):
        for tier in due:
            settle_tier(database, tier, until, beat)


def settle_tier(database: Database, tier: TierKey, until: datetime | None, beat: Callable[[], None]) -> None:
    """Renew the holders of a tier and carry out everything that is due, page by page, each in transactions of its own."""
    visit = _visitor(tier, until)
    tier_renewals.renew(database, tier.id, visit, beat)
    while holder_ids := transact(database, lambda session: holders_due(session, tier.id, PAGE, (), until)):
        transact(database, visit(holder_ids))
        beat()


def _visitor(tier: TierKey, until: datetime | None) -> Callable[[list[UUID]], Callable[[Session], Steps]]:
    """For a page of its holders the work of one transaction."""
    return lambda holder_ids: partial(settle_all, organization_id=tier.organization_id, holder_ids=holder_ids, until=until)


def next_moment(conn: Connection, after: datetime) -> datetime | None:
    """The first moment after another one at which a period of a tier ends, or something of it is due for somebody."""
    found = [end for lifecycle in _periodic(conn) if (end := end_after(lifecycle, after)) is not None]
    first = repository.next_moment(conn, after)
    return min([*found, first] if first is not None else found, default=None)


def count_moments(conn: Connection, until: datetime, limit: int) -> int:
    """How many such moments there are from now on and not after `until`, each period end counted; counting stops at `limit`."""
    found = repository.moments(conn, until, limit)
    now = database_now(conn)
    for lifecycle in _periodic(conn):
        for end in period_ends(lifecycle, now, until):
            if len(found) >= limit:
                return limit
            found.add(end)
    return len(found)


def _periodic(conn: Connection) -> list[Lifecycle]:
    return [lifecycle_of(stored) for stored in repository.lifecycles(conn)]
