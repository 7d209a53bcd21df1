"""What doesn't hold in an organization's books."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import invariants, seals
from db.repositories.invariants import ALL, HASH_CHAIN, UNSEALED_ENTRIES, Check, QueryCheck, Window
from db.repositories.invariants.accounts import BALANCES_MATCH, WALLETS_MATCH
from db.session import Connection, psycopg_of
from services import chain

__all__ = [
    "ALL",
    "BALANCES_MATCH",
    "HASH_CHAIN",
    "UNSEALED_ENTRIES",
    "WALLETS_MATCH",
    "Check",
    "Violation",
    "Window",
    "violations",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks a check: its columns name what is wrong, and what it says beside what it should say."""

    check: Check
    row: dict[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.row.items() if value is not None)
        return f"{self.check.name}: {shown}"


def violations(
    session: Session, organization_id: UUID, checks: Iterable[Check] = ALL, *, window: Window | None = None, limit: int = 5
) -> list[Violation]:
    """The first rows, at most `limit` of each check, that break one of the checks in an organization; none in sound books.

    In a window only what was written in it is looked at, with all of the accounts, redemptions and budgets that it touched, and
    the part of the chain that its entries lie in. Each check is a statement or more: who wants all of one moment, while others
    write, begins with `db.session.freeze`.
    """
    conn = psycopg_of(session)
    return [
        Violation(check, row)
        for check in checks
        for row in (
            invariants.breaches(conn, organization_id, check, window=window, limit=limit)
            if isinstance(check, QueryCheck)
            else islice(_broken_seals(conn, organization_id, window), limit)
        )
    ]


def _broken_seals(conn: Connection, organization_id: UUID, window: Window | None) -> Iterator[dict[str, Any]]:
    span = None if window is None else seals.span(conn, organization_id, window.since, window.until)
    if window is not None and span is None:
        return
    first, last = span or (1, None)
    for step in chain.walk(conn, organization_id, first - 1, last):
        if step.fault:
            yield {
                "sequence_number": step.seal.sequence_number,
                "entry_id": step.seal.entry_id,
                "fault": step.fault,
                "entry_hash": step.seal.entry_hash,
            }
