"""The invariants of ledger.md as named checks: verify, reports and reconciliation ask the same questions."""

from db.repositories.invariants.accounts import ACCOUNTS
from db.repositories.invariants.check import Check, QueryCheck, Window, breaches, count
from db.repositories.invariants.journal import JOURNAL
from db.repositories.invariants.seals import HASH_CHAIN, SEALS, UNSEALED_ENTRIES
from db.repositories.invariants.spending import SPENDING

__all__ = ["ALL", "HASH_CHAIN", "UNSEALED_ENTRIES", "Check", "QueryCheck", "Window", "breaches", "count"]

ALL: tuple[Check, ...] = JOURNAL + ACCOUNTS + SPENDING + SEALS
