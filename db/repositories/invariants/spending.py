"""Checks of budgets, redemptions, stock and idempotency keys against the journal (invariants 8 and 9)."""

from db.repositories.invariants.check import HOLDERS, QueryCheck

BUDGETS_MATCH = QueryCheck(
    "budgets_match",
    "what is consumed of a budget is what its rule credited since its period began",
    f"""
    SELECT rule_id, asset_id, period_started_at, began, consumed, issued FROM (
        SELECT k.*,
               (SELECT max(started_at) FROM budget_periods p WHERE p.rule_id = k.rule_id AND p.asset_id = k.asset_id) AS began,
               (SELECT coalesce(sum(g.amount), 0) FROM public.journal_entries e JOIN public.postings g ON g.entry_id = e.id
                WHERE e.rule_id = k.rule_id AND e.organization_id = k.organization_id AND e.created_at >= k.period_started_at
                  AND e.action_type IN ('CREDIT', 'SETTLE') AND g.asset_id = k.asset_id AND g.entity_type IN {HOLDERS}
                  AND g.amount > 0) AS issued
        FROM rule_budgets k
    ) AS budget
    WHERE consumed <> issued OR period_started_at IS DISTINCT FROM began
    """,
)
REVERSALS_MATCH = QueryCheck(
    "reversals_match",
    "what was reversed of a redemption is the sum of its reversals, and not more than it",
    """
    SELECT r.id AS redemption_id, r.amount, r.reversed_amount, sum(v.amount) AS reversals, r.quantity, r.reversed_quantity,
           sum(v.quantity) AS reversed_units
    FROM redemptions r LEFT JOIN redemption_reversals v ON v.redemption_id = r.id
    GROUP BY r.id, r.amount, r.reversed_amount, r.quantity, r.reversed_quantity
    HAVING r.reversed_amount <> coalesce(sum(v.amount), 0) OR r.reversed_amount > r.amount
        OR coalesce(r.reversed_quantity, 0) <> coalesce(sum(v.quantity), 0) OR r.reversed_quantity > r.quantity
    """,
)
REDEMPTION_LOTS_MATCH = QueryCheck(
    "redemption_lots_match",
    "what lots gave to a redemption is its amount; what they got back was reversed, and no lot got more than it gave",
    """
    SELECT r.id AS redemption_id, r.amount, r.reversed_amount, sum(o.amount) AS taken, sum(o.restored) AS restored
    FROM redemptions r JOIN assets a ON a.id = r.asset_id LEFT JOIN redemption_lots o ON o.redemption_id = r.id
    GROUP BY r.id, r.amount, r.reversed_amount, a.inventory_mode
    HAVING (a.inventory_mode = 'LOT' AND (sum(o.amount) <> r.amount OR sum(o.restored) <> r.reversed_amount))
        OR (a.inventory_mode = 'LOT') <> (count(o.lot_id) > 0) OR bool_or(o.restored > o.amount)
    """,
)
REDEMPTIONS_POSTED = QueryCheck(
    "redemptions_posted",
    "each redemption and reversal is one entry that says the same of the participant",
    """
    WITH made AS (
        SELECT id, -amount AS amount, 'REDEMPTION' AS action_type, entry_id, participant_id, asset_id FROM redemptions
        UNION ALL
        SELECT v.id, v.amount, 'REDEMPTION_REVERSAL', v.entry_id, r.participant_id, r.asset_id
        FROM redemption_reversals v JOIN redemptions r ON r.id = v.redemption_id
    )
    SELECT m.id AS redemption_id, m.entry_id, m.amount, p.amount AS posted FROM made m
    LEFT JOIN public.journal_entries e ON e.id = m.entry_id AND e.organization_id = %(organization)s
        AND e.action_type = m.action_type
    LEFT JOIN public.postings p ON p.entry_id = e.id AND p.entity_id = m.participant_id AND p.asset_id = m.asset_id
    WHERE p.amount IS DISTINCT FROM m.amount
    UNION ALL
    SELECT NULL, e.id, NULL, NULL FROM journal_entries e LEFT JOIN made m ON m.entry_id = e.id
    WHERE e.action_type IN ('REDEMPTION', 'REDEMPTION_REVERSAL')
    GROUP BY e.id HAVING count(m.id) <> 1
    """,
)
STOCK_MATCHES = QueryCheck(
    "stock_matches",
    "what is counted of a reward, in all and of each participant, is what was redeemed of it minus what was reversed",
    """
    WITH taken AS (
        SELECT reward_id, participant_id, sum(quantity - reversed_quantity) AS units FROM public.redemptions
        WHERE organization_id = %(organization)s AND reward_id IN (SELECT id FROM rewards) AND quantity IS NOT NULL
        GROUP BY reward_id, participant_id
    ), owned AS (
        SELECT reward_id, participant_id, units FROM reward_units WHERE reward_id IN (SELECT id FROM rewards)
    )
    SELECT reward_id, participant_id, coalesce(o.units, 0) AS counted, coalesce(t.units, 0) AS redeemed
    FROM owned o FULL JOIN taken t USING (reward_id, participant_id) WHERE coalesce(o.units, 0) <> coalesce(t.units, 0)
    UNION ALL
    SELECT w.id, NULL, w.redeemed_count, coalesce(sum(t.units), 0) FROM rewards w LEFT JOIN taken t ON t.reward_id = w.id
    GROUP BY w.id, w.redeemed_count HAVING w.redeemed_count <> coalesce(sum(t.units), 0)
    """,
)
KEYS_ONCE = QueryCheck(
    "keys_once",
    "each idempotency key names an entry of its own, made in its program",
    """
    SELECT kind, key, program_id, entry_id FROM (
        SELECT *, (response->>'journal_entry_id')::uuid AS entry_id,
               count(*) OVER (PARTITION BY response->>'journal_entry_id') AS effects
        FROM idempotency_keys WHERE response->>'journal_entry_id' IS NOT NULL
    ) AS k WHERE effects > 1 OR NOT EXISTS (
        SELECT 1 FROM public.journal_entries e WHERE e.id = k.entry_id AND e.organization_id = k.organization_id
            AND e.program_id = k.program_id)
    """,
)

SPENDING = (BUDGETS_MATCH, REVERSALS_MATCH, REDEMPTION_LOTS_MATCH, REDEMPTIONS_POSTED, STOCK_MATCHES, KEYS_ONCE)
