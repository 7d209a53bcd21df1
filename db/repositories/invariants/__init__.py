"""The invariants of ledger.md as named checks: verify, reports and reconciliation ask the same questions."""

from db.repositories.invariants.accounts import ACCOUNTS
from db.repositories.invariants.check import Check, Window, breaches, count
from db.repositories.invariants.journal import JOURNAL
from db.repositories.invariants.spending import SPENDING

__all__ = ["ALL", "Check", "Window", "breaches", "count"]

ALL: tuple[Check, ...] = JOURNAL + ACCOUNTS + SPENDING
