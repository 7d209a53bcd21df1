"""What doesn't hold in an organization's books."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import invariants
from db.repositories.invariants import ALL, Check, Window
from db.session import psycopg_of

__all__ = ["ALL", "Check", "Violation", "Window", "violations"]


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

    In a window only what was written in it is looked at, with all of the accounts, redemptions and budgets that it touched.
    Each check is a statement: who wants all of one moment, while others write, begins with `db.session.freeze`.
    """
    conn = psycopg_of(session)
    return [
        Violation(check, row)
        for check in checks
        for row in invariants.breaches(conn, organization_id, check, window=window, limit=limit)
    ]
