"""Checks of the seals (invariant 10). That hashes recompute takes more than a query: `services.invariants` walks the chain."""

from db.repositories.invariants.check import Check, QueryCheck

HASH_CHAIN = Check("hash_chain", "sequence numbers run from 1 without gaps, and each link and hash recomputes")
UNSEALED_ENTRIES = QueryCheck(
    "unsealed_entries",
    "no entry waits for its seal for more than 60 seconds",
    """
    SELECT entry_id, created_at, noted_at FROM unsealed_entries WHERE noted_at < clock_timestamp() - interval '60 seconds'
    ORDER BY noted_at
    """,
)
SEALS_COMPLETE = QueryCheck(
    "seals_complete",
    "each entry is either sealed or on the list of the unsealed, and each seal is of an entry",
    """
    SELECT e.id AS entry_id, s.sequence_number, u.noted_at FROM journal_entries e
    LEFT JOIN entry_seals s ON s.entry_id = e.id LEFT JOIN unsealed_entries u ON u.entry_id = e.id
    WHERE (s.entry_id IS NULL) = (u.entry_id IS NULL)
    UNION ALL
    SELECT s.entry_id, s.sequence_number, NULL FROM entry_seals s LEFT JOIN journal_entries e ON e.id = s.entry_id
    WHERE e.id IS NULL
    """,
)

SEALS = (SEALS_COMPLETE, UNSEALED_ENTRIES, HASH_CHAIN)
