"""The invariants of ledger.md, each as a query that finds what breaks it."""

from uuid import UUID

from db.session import Database
from domain.ledger.accounts import NIL

ENTITY = "('PARTICIPANT', 'GROUP')"
# an account: a group has one in each program
ACCOUNT = "entity_type, entity_id, asset_id, CASE WHEN entity_type = 'GROUP' THEN program_id END"

# (invariant, what a row means, query); %(organization)s is the tenant.
CHECKS = (
    (
        "1a each entry sums to zero per asset",
        """
        SELECT entry_id, asset_id, sum(amount) FROM postings WHERE organization_id = %(organization)s
        GROUP BY entry_id, asset_id HAVING sum(amount) <> 0
        """,
    ),
    (
        "1b all accounts of an asset sum to zero",
        """
        SELECT asset_id, sum(amount) FROM postings WHERE organization_id = %(organization)s
        GROUP BY asset_id HAVING sum(amount) <> 0
        """,
    ),
    (
        "1c each entry has postings, and each posting an entry of its organization and time",
        """
        SELECT coalesce(e.id, p.entry_id) FROM journal_entries e FULL JOIN postings p ON p.entry_id = e.id
        WHERE coalesce(e.organization_id, p.organization_id) = %(organization)s
          AND (p.id IS NULL OR e.id IS NULL OR p.organization_id <> e.organization_id OR p.created_at <> e.created_at)
        """,
    ),
    (
        "2a every balance is the sum of its postings",
        f"""
        WITH summed AS (
            SELECT entity_id, asset_id, CASE WHEN entity_type = 'GROUP' THEN program_id ELSE %(nil)s END AS program_id,
                   sum(amount) FILTER (WHERE bucket = 'AVAILABLE') AS available,
                   sum(amount) FILTER (WHERE bucket = 'HELD') AS held, sum(amount) FILTER (WHERE bucket = 'DEFERRED') AS deferred,
                   max(account_seq) AS account_seq, max(created_at) AS last_entry_at
            FROM postings WHERE organization_id = %(organization)s AND entity_type IN {ENTITY} GROUP BY 1, 2, 3
        ), kept AS (SELECT * FROM balances WHERE organization_id = %(organization)s)
        SELECT coalesce(entity_id, holder_id), coalesce(s.asset_id, k.asset_id), s.available, k.available
        FROM summed s FULL JOIN kept k
             ON k.holder_id = s.entity_id AND k.asset_id = s.asset_id AND k.program_id = s.program_id
        WHERE coalesce(s.available, 0) <> coalesce(k.available, 0) OR coalesce(s.held, 0) <> coalesce(k.held, 0)
           OR coalesce(s.deferred, 0) <> coalesce(k.deferred, 0) OR coalesce(s.account_seq, 0) <> coalesce(k.account_seq, 0)
           OR s.last_entry_at IS DISTINCT FROM k.last_entry_at
        """,
    ),
    (
        "2b every wallet is the sum of its postings",
        """
        WITH summed AS (
            SELECT entity_id, asset_id, sum(amount) AS available FROM postings
            WHERE organization_id = %(organization)s AND entity_type = 'PROGRAM' GROUP BY entity_id, asset_id
        ), kept AS (SELECT * FROM wallets WHERE organization_id = %(organization)s)
        SELECT coalesce(entity_id, program_id), coalesce(s.asset_id, k.asset_id), s.available, k.available
        FROM summed s FULL JOIN kept k ON k.program_id = s.entity_id AND k.asset_id = s.asset_id
        WHERE coalesce(s.available, 0) <> coalesce(k.available, 0)
        """,
    ),
    (
        "2c no posting has more decimals than its asset",
        """
        SELECT p.id, p.amount FROM postings p JOIN assets a ON a.id = p.asset_id
        WHERE p.organization_id = %(organization)s AND p.amount <> round(p.amount, a.scale)
        """,
    ),
    (
        "2d each posting's running balance follows from the one before",
        f"""
        SELECT id, balance_after, expected FROM (
            SELECT id, bucket, balance_after, total_after, account_seq,
                   sum(amount) OVER (PARTITION BY {ACCOUNT}, bucket ORDER BY account_seq) AS expected,
                   sum(amount) OVER (PARTITION BY {ACCOUNT} ORDER BY account_seq) AS expected_total,
                   row_number() OVER (PARTITION BY {ACCOUNT} ORDER BY account_seq) AS position
            FROM postings WHERE organization_id = %(organization)s AND account_seq IS NOT NULL
        ) AS running
        WHERE balance_after <> expected OR total_after <> expected_total OR account_seq <> position
        """,
    ),
    (
        "3a wallets, HELD and DEFERRED are never negative",
        """
        SELECT id, balance_after FROM postings
        WHERE organization_id = %(organization)s AND balance_after < 0 AND (entity_type = 'PROGRAM' OR bucket <> 'AVAILABLE')
        """,
    ),
    (
        "4 the lots of each bucket make up its balance",
        """
        WITH kept AS (
            SELECT holder_id, asset_id, pair_program_id, sum(remaining) FILTER (WHERE status = 'AVAILABLE') AS available,
                   sum(remaining) FILTER (WHERE status = 'HELD') AS held, sum(remaining) FILTER (WHERE status = 'DEFERRED') AS deferred
            FROM lots WHERE organization_id = %(organization)s GROUP BY holder_id, asset_id, pair_program_id
        )
        SELECT b.holder_id, b.asset_id, b.available, k.available, b.held, k.held, b.deferred, k.deferred
        FROM balances b JOIN assets a ON a.id = b.asset_id AND a.inventory_mode = 'LOT'
        LEFT JOIN kept k ON k.holder_id = b.holder_id AND k.asset_id = b.asset_id AND k.pair_program_id = b.program_id
        WHERE b.organization_id = %(organization)s
          AND (greatest(b.available, 0) <> coalesce(k.available, 0) OR b.held <> coalesce(k.held, 0)
               OR b.deferred <> coalesce(k.deferred, 0))
        """,
    ),
    (
        "5 a lot's remainder lies between nothing and its amount, and fits its status",
        """
        SELECT id, remaining, amount, status FROM lots
        WHERE organization_id = %(organization)s
          AND (remaining < 0 OR remaining > amount OR (remaining = 0) <> (status IN ('CONSUMED', 'EXPIRED')))
        """,
    ),
    (
        "6 the open hold records make up HELD",
        """
        WITH kept AS (
            SELECT holder_id, asset_id, pair_program_id, sum(remaining) AS held FROM holds
            WHERE organization_id = %(organization)s GROUP BY holder_id, asset_id, pair_program_id
        )
        SELECT b.holder_id, b.asset_id, b.held, k.held FROM balances b
        LEFT JOIN kept k ON k.holder_id = b.holder_id AND k.asset_id = b.asset_id AND k.pair_program_id = b.program_id
        WHERE b.organization_id = %(organization)s AND b.held <> coalesce(k.held, 0)
        """,
    ),
    (
        "budgets: what is consumed of a budget is what its rule credited since the period began",
        f"""
        WITH kept AS (
            SELECT b.*, (SELECT max(started_at) FROM budget_periods p WHERE p.rule_id = b.rule_id AND p.asset_id = b.asset_id) AS began
            FROM rule_budgets b WHERE organization_id = %(organization)s
        )
        SELECT k.rule_id, k.asset_id, k.period_started_at, k.began, k.consumed, issued.amount
        FROM kept k CROSS JOIN LATERAL (
            SELECT coalesce(sum(g.amount), 0) AS amount FROM journal_entries e JOIN postings g ON g.entry_id = e.id
            WHERE e.rule_id = k.rule_id AND e.created_at >= k.period_started_at AND e.action_type IN ('CREDIT', 'SETTLE')
              AND g.asset_id = k.asset_id AND g.entity_type IN {ENTITY} AND g.amount > 0
        ) AS issued
        WHERE k.consumed <> issued.amount OR k.period_started_at IS DISTINCT FROM k.began
        """,
    ),
    (
        "8a what was reversed of a redemption is the sum of its reversals, and not more than it",
        """
        SELECT r.id, r.amount, r.reversed_amount, sum(v.amount) FROM redemptions r
        LEFT JOIN redemption_reversals v ON v.redemption_id = r.id
        WHERE r.organization_id = %(organization)s GROUP BY r.id
        HAVING r.reversed_amount <> coalesce(sum(v.amount), 0) OR r.reversed_amount > r.amount
            OR coalesce(r.reversed_quantity, 0) <> coalesce(sum(v.quantity), 0) OR r.reversed_quantity > r.quantity
        """,
    ),
    (
        "8b what lots gave to a redemption is its amount, and what they got back what was reversed, no lot more than it gave",
        """
        SELECT r.id, r.amount, r.reversed_amount, sum(o.amount), sum(o.restored) FROM redemptions r
        JOIN assets a ON a.id = r.asset_id LEFT JOIN redemption_lots o ON o.redemption_id = r.id
        WHERE r.organization_id = %(organization)s GROUP BY r.id, a.inventory_mode
        HAVING (a.inventory_mode = 'LOT' AND (sum(o.amount) <> r.amount OR sum(o.restored) <> r.reversed_amount))
            OR (a.inventory_mode = 'LOT') <> (count(o.lot_id) > 0) OR bool_or(o.restored > o.amount)
        """,
    ),
    (
        "8c each redemption and reversal is one entry that says the same of the participant",
        """
        SELECT id, amount, action_type, posted FROM (
            SELECT r.id, -r.amount AS amount, 'REDEMPTION' AS expected, r.entry_id, r.participant_id FROM redemptions r
            WHERE r.organization_id = %(organization)s
            UNION ALL
            SELECT v.id, v.amount, 'REDEMPTION_REVERSAL', v.entry_id, r.participant_id
            FROM redemption_reversals v JOIN redemptions r ON r.id = v.redemption_id WHERE v.organization_id = %(organization)s
        ) AS made
        FULL JOIN (
            SELECT e.id AS entry_id, e.action_type, p.amount AS posted, p.entity_id AS participant_id
            FROM journal_entries e JOIN postings p ON p.entry_id = e.id AND p.entity_type = 'PARTICIPANT'
            WHERE e.organization_id = %(organization)s AND e.action_type IN ('REDEMPTION', 'REDEMPTION_REVERSAL')
              AND (p.amount < 0) = (e.action_type = 'REDEMPTION')
        ) AS written USING (entry_id, participant_id)
        WHERE amount IS DISTINCT FROM posted OR expected IS DISTINCT FROM action_type
        """,
    ),
    (
        "8d what is counted of a reward, in all and of each participant, is what was redeemed of it minus what was reversed",
        """
        WITH taken AS (
            SELECT reward_id, participant_id, sum(quantity - reversed_quantity) AS units FROM redemptions
            WHERE organization_id = %(organization)s AND quantity IS NOT NULL GROUP BY reward_id, participant_id
        ), owned AS (
            SELECT u.* FROM reward_units u JOIN rewards w ON w.id = u.reward_id WHERE w.organization_id = %(organization)s
        )
        SELECT reward_id, participant_id, coalesce(o.units, 0), coalesce(t.units, 0)
        FROM owned o FULL JOIN taken t USING (reward_id, participant_id) WHERE coalesce(o.units, 0) <> coalesce(t.units, 0)
        UNION ALL
        SELECT w.id, NULL, w.redeemed_count, coalesce(sum(t.units), 0) FROM rewards w LEFT JOIN taken t ON t.reward_id = w.id
        WHERE w.organization_id = %(organization)s GROUP BY w.id HAVING w.redeemed_count <> coalesce(sum(t.units), 0)
        """,
    ),
    (
        "9 each idempotency key names an entry of its own, made in its program",
        """
        SELECT kind, key, response->>'journal_entry_id' FROM (
            SELECT *, count(*) OVER (PARTITION BY response->>'journal_entry_id') AS effects
            FROM idempotency_keys WHERE organization_id = %(organization)s
        ) AS k WHERE response->>'journal_entry_id' IS NOT NULL AND (effects > 1 OR NOT EXISTS (
            SELECT 1 FROM journal_entries e WHERE e.id = (response->>'journal_entry_id')::uuid
                AND e.organization_id = k.organization_id AND e.program_id = k.program_id))
        """,
    ),
    (
        "11 times rise strictly along each account",
        f"""
        SELECT id, created_at, earlier FROM (
            SELECT id, entry_id, created_at, lag(created_at) OVER account AS earlier, lag(entry_id) OVER account AS before
            FROM postings WHERE organization_id = %(organization)s AND account_seq IS NOT NULL
            WINDOW account AS (PARTITION BY {ACCOUNT} ORDER BY account_seq)
        ) AS line WHERE entry_id <> before AND created_at <= earlier
        """,
    ),
    (
        "16 moves between buckets leave what each holder has, and a void, settle or transfer what all have together",
        """
        WITH sums AS (
            SELECT e.id, e.action_type, p.entity_id, p.entity_type, sum(p.amount) AS change FROM journal_entries e
            JOIN postings p ON p.entry_id = e.id WHERE e.organization_id = %(organization)s
            GROUP BY e.id, e.action_type, p.entity_id, p.entity_type
        )
        SELECT * FROM sums WHERE action_type IN ('HOLD', 'RELEASE', 'MATURITY') AND change <> 0
           OR action_type IN ('VOID_HOLD', 'SETTLE') AND entity_type NOT IN ('PARTICIPANT', 'GROUP', 'PROGRAM', 'SYSTEM_ISSUANCE')
           OR action_type = 'TRANSFER' AND entity_type NOT IN ('PARTICIPANT', 'GROUP')
        """,
    ),
)


def broken_invariants(database: Database, organization_id: UUID) -> dict[str, list[tuple[object, ...]]]:
    """What doesn't hold in an organization's books: invariant -> the first rows that break it."""
    broken: dict[str, list[tuple[object, ...]]] = {}
    with database.connection() as conn:
        # all checks of one moment, also while somebody posts
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for name, query in CHECKS:
            rows = conn.execute(query, {"organization": organization_id, "nil": NIL}).fetchmany(5)
            if rows:
                broken[name] = rows
    return broken


def assert_books(database: Database, organization_id: UUID) -> None:
    """The invariants of ledger.md that the rows alone show hold for an organization, and its budgets follow, at one moment."""
    broken = broken_invariants(database, organization_id)
    assert not broken, broken
