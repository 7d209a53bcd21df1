"""The integrity report: whether an organization's books agree with themselves, at one moment (reporting.md 7)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from db.repositories import integrity as repository
from db.repositories import invariants
from db.repositories import organizations as clock
from db.repositories.integrity import ChainHead
from db.repositories.invariants import QueryCheck
from db.repositories.invariants.accounts import BALANCES_MATCH, LOTS_MATCH, WALLETS_MATCH
from db.repositories.invariants.journal import VALUE_CONSERVATION
from db.repositories.invariants.seals import UNSEALED_ENTRIES
from db.session import Connection, freeze, psycopg_of
from services import chain

__all__ = ["ChainHead", "IntegrityReport", "examine"]

# a check of the report -> those that it is made of
_WHOLE_LEDGER: dict[str, tuple[QueryCheck, ...]] = {
    "value_conservation": (VALUE_CONSERVATION,),
    "balances_match": (BALANCES_MATCH, WALLETS_MATCH),
    "lots_match": (LOTS_MATCH,),
    "unsealed_entries": (UNSEALED_ENTRIES,),
}


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What was found: violations by check, and how much of the chain was verified. `window` is what was asked for."""

    organization_id: UUID
    verified_at: datetime
    window: int
    chain_head: ChainHead | None
    violations: dict[str, int]
    entries_verified: int
    is_anchored: bool


def examine(session: Session, organization_id: UUID, window: int) -> IntegrityReport:
    """Check the latest `window` sealed entries and the whole ledger, in a transaction of its own, which this makes read-only."""
    conn = psycopg_of(session)
    freeze(conn)
    head = repository.chain_head(conn, organization_id)
    after = 0 if head is None else max(0, head.sequence_number - window)
    violations = {"postings_balanced": repository.count_unbalanced(conn, organization_id, after)}
    for name, checks in _WHOLE_LEDGER.items():
        violations[name] = sum(invariants.count(conn, organization_id, check) for check in checks)
    verified, violations["hash_chain"] = _walk(conn, organization_id, after)
    return IntegrityReport(
        organization_id=organization_id,
        verified_at=clock.now(session),
        window=window,
        chain_head=head,
        violations=violations,
        entries_verified=verified,
        is_anchored=after == 0,
    )


def _walk(conn: Connection, organization_id: UUID, after: int) -> tuple[int, int]:
    """How many seals there are after a number, and how many of them are wrong."""
    verified = faults = 0
    for step in chain.walk(conn, organization_id, after):
        verified += 1
        faults += bool(step.fault)
    return verified, faults
