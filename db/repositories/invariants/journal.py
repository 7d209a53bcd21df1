"""Checks of entries and postings by themselves (ledger.md, invariants 1, 2, 3, 11)."""

from db.repositories.invariants.check import HOLDERS, QueryCheck

_ACCOUNT = "PARTITION BY entity_id, asset_id, pair_program_id"

POSTINGS_BALANCED = QueryCheck(
    "postings_balanced",
    "each entry sums to zero per asset",
    "SELECT entry_id, asset_id, sum(amount) AS excess FROM postings GROUP BY entry_id, asset_id HAVING sum(amount) <> 0",
)
VALUE_CONSERVATION = QueryCheck(
    "value_conservation",
    "all accounts of an asset sum to zero",
    "SELECT asset_id, sum(amount) AS excess FROM postings GROUP BY asset_id HAVING sum(amount) <> 0",
)
ENTRIES_COMPLETE = QueryCheck(
    "entries_complete",
    "each entry has postings, and each posting an entry of its organization, program, time and type",
    """
    SELECT coalesce(e.id, p.entry_id) AS entry_id, p.id AS posting_id, e.created_at, p.created_at AS posting_created_at
    FROM journal_entries e FULL JOIN postings p ON p.entry_id = e.id
    WHERE p.id IS NULL OR e.id IS NULL OR p.created_at <> e.created_at OR p.program_id <> e.program_id
       OR p.action_type <> e.action_type
    """,
)
AMOUNTS_SCALED = QueryCheck(
    "amounts_scaled",
    "no posting has more decimals than its asset",
    """
    SELECT p.entry_id, p.id AS posting_id, p.amount, a.scale FROM postings p LEFT JOIN assets a ON a.id = p.asset_id
    WHERE a.id IS NULL OR p.amount <> round(p.amount, a.scale)
    """,
)
RUNNING_BALANCES = QueryCheck(
    "running_balances",
    "each posting's running balances and number follow from those before on its account",
    f"""
    SELECT entry_id, id AS posting_id, bucket, balance_after, expected, total_after, expected_total, account_seq, position FROM (
        SELECT entry_id, id, bucket, balance_after, total_after, account_seq,
               sum(amount) OVER ({_ACCOUNT}, bucket ORDER BY account_seq) AS expected,
               sum(amount) OVER ({_ACCOUNT} ORDER BY account_seq) AS expected_total,
               row_number() OVER ({_ACCOUNT} ORDER BY account_seq) AS position
        FROM lines
    ) AS running
    WHERE balance_after <> expected OR total_after <> expected_total OR account_seq <> position
    ORDER BY account_seq
    """,
)
POSTINGS_NUMBERED = QueryCheck(
    "postings_numbered",
    "postings of holders and wallets, and only they, have a number and running balances",
    f"""
    SELECT entry_id, id AS posting_id, entity_type, account_seq, balance_after, total_after FROM postings
    WHERE (account_seq IS NOT NULL) <> (entity_type IN {HOLDERS} OR entity_type = 'PROGRAM')
       OR (account_seq IS NULL) <> (balance_after IS NULL) OR (account_seq IS NULL) <> (total_after IS NULL)
    """,
)
NEVER_NEGATIVE = QueryCheck(
    "never_negative",
    "wallets, HELD and DEFERRED are never below zero",
    """
    SELECT entry_id, id AS posting_id, entity_type, entity_id, bucket, balance_after FROM postings
    WHERE balance_after < 0 AND (entity_type = 'PROGRAM' OR bucket <> 'AVAILABLE')
    """,
)
TIMES_RISE = QueryCheck(
    "times_rise",
    "times rise strictly along each account",
    f"""
    SELECT entry_id, id AS posting_id, created_at, earlier FROM (
        SELECT id, entry_id, created_at, lag(created_at) OVER account AS earlier, lag(entry_id) OVER account AS before
        FROM lines WINDOW account AS ({_ACCOUNT} ORDER BY account_seq)
    ) AS line WHERE entry_id <> before AND created_at <= earlier
    """,
)
MOVES_CONSERVE = QueryCheck(
    "moves_conserve",
    "moves between buckets leave what each holder has; a void, settle or transfer what all have together",
    f"""
    SELECT entry_id, action_type, entity_type, entity_id, change FROM (
        SELECT e.id AS entry_id, e.action_type, p.entity_id, p.entity_type, sum(p.amount) AS change FROM journal_entries e
        JOIN postings p ON p.entry_id = e.id GROUP BY e.id, e.action_type, p.entity_id, p.entity_type
    ) AS sums
    WHERE action_type IN ('HOLD', 'RELEASE', 'MATURITY') AND change <> 0
       OR action_type IN ('VOID_HOLD', 'SETTLE') AND entity_type NOT IN ('PARTICIPANT', 'GROUP', 'PROGRAM', 'SYSTEM_ISSUANCE')
       OR action_type = 'TRANSFER' AND entity_type NOT IN {HOLDERS}
    """,
)

JOURNAL = (
    POSTINGS_BALANCED,
    VALUE_CONSERVATION,
    ENTRIES_COMPLETE,
    AMOUNTS_SCALED,
    POSTINGS_NUMBERED,
    RUNNING_BALANCES,
    NEVER_NEGATIVE,
    TIMES_RISE,
    MOVES_CONSERVE,
)
