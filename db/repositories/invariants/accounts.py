"""Checks of what is kept for speed beside the postings: balances, wallets, lots, hold records (invariants 2, 4, 5, 6)."""

from db.repositories.invariants.check import HOLDERS, QueryCheck

_KEY = "holder_id, asset_id, pair_program_id"
_SAME_KEY = "k.holder_id = {0}.holder_id AND k.asset_id = {0}.asset_id AND k.pair_program_id = {0}.pair_program_id"

BALANCES_MATCH = QueryCheck(
    "balances_match",
    "every balance is the sum of its account's postings, and knows the last of them",
    f"""
    SELECT coalesce(k.holder_id, s.holder_id) AS holder_id, coalesce(k.asset_id, s.asset_id) AS asset_id,
           coalesce(k.pair_program_id, s.pair_program_id) AS pair_program_id, k.available, s.available AS posted_available,
           k.held, s.held AS posted_held, k.deferred, s.deferred AS posted_deferred, k.account_seq, s.account_seq AS posted_seq,
           k.last_entry_at, s.last_entry_at AS posted_at
    FROM (
        SELECT entity_id AS holder_id, asset_id, pair_program_id, sum(amount) FILTER (WHERE bucket = 'AVAILABLE') AS available,
               sum(amount) FILTER (WHERE bucket = 'HELD') AS held, sum(amount) FILTER (WHERE bucket = 'DEFERRED') AS deferred,
               max(account_seq) AS account_seq, max(created_at) AS last_entry_at
        FROM lines WHERE entity_type IN {HOLDERS} GROUP BY 1, 2, 3
    ) AS s FULL JOIN balances k ON {_SAME_KEY.format("s")}
    WHERE coalesce(s.available, 0) <> coalesce(k.available, 0) OR coalesce(s.held, 0) <> coalesce(k.held, 0)
       OR coalesce(s.deferred, 0) <> coalesce(k.deferred, 0) OR coalesce(s.account_seq, 0) <> coalesce(k.account_seq, 0)
       OR s.last_entry_at IS DISTINCT FROM k.last_entry_at
    """,
)
WALLETS_MATCH = QueryCheck(
    "wallets_match",
    "every wallet is the sum of its postings, and knows the last of them",
    """
    SELECT coalesce(k.program_id, s.program_id) AS program_id, coalesce(k.asset_id, s.asset_id) AS asset_id,
           k.available, s.available AS posted_available, k.account_seq, s.account_seq AS posted_seq
    FROM (
        SELECT entity_id AS program_id, asset_id, sum(amount) AS available, max(account_seq) AS account_seq,
               max(created_at) AS last_entry_at
        FROM lines WHERE entity_type = 'PROGRAM' GROUP BY 1, 2
    ) AS s FULL JOIN wallets k ON k.program_id = s.program_id AND k.asset_id = s.asset_id
    WHERE coalesce(s.available, 0) <> coalesce(k.available, 0) OR coalesce(s.account_seq, 0) <> coalesce(k.account_seq, 0)
       OR s.last_entry_at IS DISTINCT FROM k.last_entry_at
    """,
)
LOTS_MATCH = QueryCheck(
    "lots_match",
    "the remainders of an account's lots make up its balances; a SIMPLE asset has none",
    f"""
    SELECT coalesce(k.holder_id, b.holder_id) AS holder_id, coalesce(k.asset_id, b.asset_id) AS asset_id,
           coalesce(k.pair_program_id, b.pair_program_id) AS pair_program_id, b.available, k.available AS lots_available,
           b.held, k.held AS lots_held, b.deferred, k.deferred AS lots_deferred
    FROM (
        SELECT b.* FROM balances b JOIN assets a ON a.id = b.asset_id AND a.inventory_mode = 'LOT'
    ) AS b FULL JOIN (
        SELECT {_KEY}, sum(remaining) FILTER (WHERE status = 'AVAILABLE') AS available,
               sum(remaining) FILTER (WHERE status = 'HELD') AS held,
               sum(remaining) FILTER (WHERE status = 'DEFERRED') AS deferred
        FROM lots GROUP BY {_KEY}
    ) AS k ON {_SAME_KEY.format("b")}
    WHERE b.holder_id IS NULL OR greatest(b.available, 0) <> coalesce(k.available, 0) OR b.held <> coalesce(k.held, 0)
       OR b.deferred <> coalesce(k.deferred, 0)
    """,
)
# Lots that were split keep the time of the first, and times rise strictly along an account: so account and time name the entry.
LOTS_CREDITED = QueryCheck(
    "lots_credited",
    "the amounts of lots that one arrival made, splits too, sum to what arrived, and all keep its program and dates",
    f"""
    SELECT coalesce(k.holder_id, s.holder_id) AS holder_id, coalesce(k.asset_id, s.asset_id) AS asset_id,
           coalesce(k.created_at, s.created_at) AS created_at, k.lot_id, k.amount, s.amount AS credited, k.kinds
    FROM (
        SELECT p.entity_id AS holder_id, p.asset_id, p.pair_program_id, p.created_at, p.program_id, sum(p.amount) AS amount
        FROM lines p JOIN assets a ON a.id = p.asset_id AND a.inventory_mode = 'LOT'
        JOIN public.journal_entries e ON e.id = p.entry_id AND e.organization_id = p.organization_id
        WHERE p.entity_type IN {HOLDERS} AND p.amount > 0 AND e.action_type IN ('CREDIT', 'SETTLE', 'TRANSFER', 'REDEMPTION')
        GROUP BY 1, 2, 3, 4, 5
    ) AS s FULL JOIN (
        SELECT {_KEY}, created_at, program_id, min(id::text) AS lot_id, sum(amount) AS amount,
               count(DISTINCT (expires_at, matures_at)) AS kinds
        FROM lots GROUP BY {_KEY}, created_at, program_id
    ) AS k ON {_SAME_KEY.format("s")} AND k.created_at = s.created_at AND k.program_id = s.program_id
    WHERE k.amount IS DISTINCT FROM s.amount OR k.kinds > 1
    """,
)
LOT_REMAINDERS = QueryCheck(
    "lot_remainders",
    "a lot's remainder lies between nothing and its amount, and fits its status",
    """
    SELECT id AS lot_id, remaining, amount, status FROM lots
    WHERE remaining < 0 OR remaining > amount OR (remaining = 0) <> (status IN ('CONSUMED', 'EXPIRED'))
    """,
)
HOLDS_MATCH = QueryCheck(
    "holds_match",
    "the remainders of an account's hold records make up HELD",
    f"""
    SELECT coalesce(b.holder_id, k.holder_id) AS holder_id, coalesce(b.asset_id, k.asset_id) AS asset_id,
           coalesce(b.pair_program_id, k.pair_program_id) AS pair_program_id, b.held, k.held AS holds_held
    FROM balances b FULL JOIN (SELECT {_KEY}, sum(remaining) AS held FROM holds GROUP BY {_KEY}) AS k ON {_SAME_KEY.format("b")}
    WHERE coalesce(b.held, 0) <> coalesce(k.held, 0)
    """,
)
HOLDS_POSTED = QueryCheck(
    "holds_posted",
    "a hold record's amount is what its entry brought into HELD",
    """
    SELECT h.id AS hold_id, h.amount, p.amount AS posted FROM holds h
    LEFT JOIN lines p ON p.entry_id = h.entry_id AND p.entity_id = h.holder_id AND p.bucket = 'HELD'
        AND p.created_at = h.created_at AND p.asset_id = h.asset_id
    WHERE p.amount IS DISTINCT FROM h.amount
    """,
)
HELD_LOTS_MATCH = QueryCheck(
    "held_lots_match",
    "on LOT assets a hold record's remainder is that of the lots it holds",
    """
    SELECT h.id AS hold_id, h.remaining, coalesce(k.remaining, 0) AS lots_remaining
    FROM (SELECT h.* FROM holds h JOIN assets a ON a.id = h.asset_id AND a.inventory_mode = 'LOT') AS h
    FULL JOIN (SELECT hold_id, sum(remaining) AS remaining FROM lots WHERE status = 'HELD' GROUP BY hold_id) AS k
        ON k.hold_id = h.id
    WHERE coalesce(h.remaining, -1) <> coalesce(k.remaining, 0)
    """,
)

ACCOUNTS = (
    BALANCES_MATCH,
    WALLETS_MATCH,
    LOTS_MATCH,
    LOTS_CREDITED,
    LOT_REMAINDERS,
    HOLDS_MATCH,
    HOLDS_POSTED,
    HELD_LOTS_MATCH,
)
