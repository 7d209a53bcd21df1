"""What must hold in the rows of a quiet database after a run, beside the invariants of the books: each finds what breaks it."""

from chaos.plan import PEOPLE
from chaos.rules import ALWAYS_POSTING
from chaos.world import PER_PERSON, STOCK

_COMPLETED = """
    SELECT e.id, e.program_id, e.participant_id, e.event_data->>'type' AS type, o.status, e.caused_by_event_id, e.automation_id
    FROM events e JOIN event_outcomes o ON o.event_id = e.id"""
_LATE = "openscrip_now() - interval '2 seconds'"

# Pairs of an invariant and its query.
LEDGER = (
    (
        "5 no lot is left that has expired or matured",
        f"""SELECT id, status, remaining, matures_at, expires_at FROM lots WHERE remaining > 0
        AND (status IN ('AVAILABLE', 'DEFERRED') AND expires_at < {_LATE} OR status = 'DEFERRED' AND matures_at < {_LATE})""",
    ),
    (
        "5 nothing is redeemed from a lot after its expiry or before its maturity",
        """SELECT r.id, l.id, r.created_at, l.matures_at, l.expires_at FROM redemption_lots o
        JOIN redemptions r ON r.id = o.redemption_id JOIN lots l ON l.id = o.lot_id
        WHERE r.created_at >= l.expires_at OR r.created_at < l.matures_at""",
    ),
    (
        "6 lots are redeemed in order",
        """SELECT redemption_id, lot_id FROM (
            SELECT o.redemption_id, o.lot_id, (l.created_at, l.id) AS place,
                   lag((l.created_at, l.id)) OVER (PARTITION BY o.redemption_id ORDER BY o.ordinal) AS before
            FROM redemption_lots o JOIN lots l ON l.id = o.lot_id) AS drawn
        WHERE place < before""",
    ),
    (
        "6 no older lot that was never touched is left behind",
        """SELECT r.id, o.lot_id, older.id FROM redemptions r JOIN redemption_lots o ON o.redemption_id = r.id
        JOIN lots drawn ON drawn.id = o.lot_id
        JOIN lots older ON older.holder_id = drawn.holder_id AND older.asset_id = drawn.asset_id
             AND older.pair_program_id = drawn.pair_program_id AND (older.created_at, older.id) < (drawn.created_at, drawn.id)
        WHERE older.status = 'AVAILABLE' AND older.remaining = older.amount AND older.parent_lot_id IS NULL
          AND (older.matures_at IS NULL OR older.matures_at < r.created_at)
          AND NOT EXISTS (SELECT 1 FROM redemption_lots t WHERE t.lot_id = older.id)
          AND NOT EXISTS (SELECT 1 FROM postings p JOIN journal_entries e ON e.id = p.entry_id
              AND e.action_type IN ('HOLD', 'SETTLE')
              WHERE p.entity_id = older.holder_id AND p.asset_id = older.asset_id AND p.created_at >= older.created_at)
          AND NOT EXISTS (SELECT 1 FROM lots part WHERE part.parent_lot_id = older.id)""",
    ),
    (
        "7 a rule posts once for an event",
        "SELECT event_id, rule_id FROM journal_entries WHERE event_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1",
    ),
    (
        "12 no period's budget is overrun",
        """SELECT * FROM (
            SELECT b.rule_id, b.asset_id, b.started_at, b."limit", (
                SELECT coalesce(sum(p.amount), 0) FROM journal_entries e JOIN postings p ON p.entry_id = e.id
                WHERE e.rule_id = b.rule_id AND p.asset_id = b.asset_id AND p.amount > 0
                  AND p.entity_type IN ('PARTICIPANT', 'GROUP') AND e.created_at >= b.started_at
                  AND e.created_at < coalesce(b.ended_at, 'infinity')) AS spent
            FROM (SELECT *, lead(started_at) OVER (PARTITION BY rule_id, asset_id ORDER BY started_at) AS ended_at
                  FROM budget_periods) AS b) AS periods
        WHERE spent > "limit" """,
    ),
    (
        "13 no reward is oversold at any moment, to nobody over the limit",
        f"""SELECT * FROM (
            SELECT reward_id, at, sum(units) OVER (PARTITION BY reward_id ORDER BY at) AS taken,
                   sum(units) OVER (PARTITION BY reward_id, participant_id ORDER BY at) AS own
            FROM (
                SELECT reward_id, participant_id, created_at AS at, quantity AS units FROM redemptions WHERE quantity IS NOT NULL
                UNION ALL
                SELECT r.reward_id, r.participant_id, v.created_at, -v.quantity FROM redemption_reversals v
                JOIN redemptions r ON r.id = v.redemption_id WHERE v.quantity IS NOT NULL) AS moves) AS counted
        JOIN rewards w ON w.id = counted.reward_id AND w.max_total IS NOT NULL
        WHERE taken > {STOCK} OR own > {PER_PERSON}""",
    ),
    (
        "16 no hold outlives its deadline",
        f"SELECT id, remaining, expires_at FROM holds WHERE remaining > 0 AND expires_at < {_LATE}",
    ),
    (
        "17 the history of a tier has no gaps",
        """SELECT * FROM (
            SELECT entity_id, tier_id, changed_at, from_level, to_level,
                   lag(to_level) OVER line AS before, lag(changed_at) OVER line AS earlier FROM tier_history
            WINDOW line AS (PARTITION BY entity_id, tier_id ORDER BY changed_at, id)) AS steps
        WHERE from_level IS DISTINCT FROM before OR changed_at <= earlier""",
    ),
    (
        "17 a level is the last one of its history",
        """SELECT s.holder_id, s.level_key, h.to_level FROM tier_states s LEFT JOIN LATERAL (
            SELECT to_level FROM tier_history h WHERE h.entity_id = s.holder_id AND h.tier_id = s.tier_id
            ORDER BY changed_at DESC, id DESC LIMIT 1) AS h ON true
        WHERE s.level_key IS DISTINCT FROM h.to_level""",
    ),
    (
        "17 a level that expired is gone",
        f"SELECT holder_id, level_key, expires_at FROM tier_states WHERE expires_at < {_LATE}",
    ),
)

_NAMES = ", ".join(f"'{name}'" for name in ALWAYS_POSTING)

EVENTS = (
    (
        "each accepted event has one outcome",
        """SELECT e.id, count(o.event_id) FROM events e LEFT JOIN event_outcomes o ON o.event_id = e.id
        GROUP BY e.id HAVING count(o.event_id) <> 1""",
    ),
    (
        "19 a completed event has the entries that its rules make, a failed one none",
        f"""WITH done AS ({_COMPLETED}), rule AS (
            SELECT id, name, program_id, split_part(name, ' ', 1) AS type FROM rules WHERE name IN ({_NAMES}))
        SELECT d.id, d.type, d.status, r.name FROM done d JOIN rule r ON r.type = d.type AND r.program_id = d.program_id
        WHERE (d.status = 'COMPLETED') <> EXISTS (
            SELECT 1 FROM journal_entries e WHERE e.event_id = d.id AND e.rule_id = r.id)""",
    ),
    (
        "19 a failed event leaves nothing",
        f"""WITH done AS ({_COMPLETED}) SELECT d.id, d.type FROM done d WHERE d.status = 'FAILED' AND (
            EXISTS (SELECT 1 FROM journal_entries e WHERE e.event_id = d.id)
            OR EXISTS (SELECT 1 FROM state_history h WHERE h.event_id = d.id)
            OR EXISTS (SELECT 1 FROM tier_history t WHERE t.event_id = d.id)
            OR EXISTS (SELECT 1 FROM automations a WHERE a.caused_by_event_id = d.id))""",
    ),
    (
        "19 a counter is what its rule added",
        f"""WITH done AS ({_COMPLETED}), expected AS (
            SELECT d.participant_id, count(*) FILTER (WHERE d.type = 'purchase' AND p.name = 'Chaos') AS bought,
                   count(*) FILTER (WHERE d.type = 'heard') AS heard
            FROM done d JOIN programs p ON p.id = d.program_id WHERE d.status = 'COMPLETED' GROUP BY 1)
        SELECT h.id, h.counters, x.bought, x.heard FROM holders h JOIN expected x ON x.participant_id = h.id
        WHERE coalesce((h.counters->>'bought')::numeric, 0) <> x.bought
           OR coalesce((h.counters->>'heard')::numeric, 0) <> x.heard""",
    ),
)

DUE = (
    (
        "18 a scheduled event is made once",
        f"""WITH done AS ({_COMPLETED})
        SELECT d.id, (SELECT count(*) FROM events e WHERE e.caused_by_event_id = d.id) FROM done d
        WHERE d.type = 'later' AND (SELECT count(*) FROM events e WHERE e.caused_by_event_id = d.id)
              <> (d.status = 'COMPLETED')::int""",
    ),
    (
        "18 a broadcast reaches everybody once",
        f"""WITH done AS ({_COMPLETED})
        SELECT d.id, count(e.id), count(DISTINCT e.participant_id) FROM done d
        LEFT JOIN events e ON e.caused_by_event_id = d.id WHERE d.type = 'news' AND d.status = 'COMPLETED'
        GROUP BY d.id HAVING count(e.id) <> {PEOPLE} OR count(DISTINCT e.participant_id) <> {PEOPLE}""",
    ),
    (
        "18 a one_time automation fires once",
        """SELECT a.id, a.name, a.status, a.processed_at, count(e.id)
        FROM automations a LEFT JOIN events e ON e.automation_id = a.id
        WHERE a.source = 'api' AND a.trigger_type = 'one_time' GROUP BY a.id HAVING count(e.id) <> 1""",
    ),
    (
        "18 an immediate fan-out reaches everybody once",
        f"""SELECT a.id, a.execution_status, count(e.id) FROM automations a LEFT JOIN events e ON e.automation_id = a.id
        WHERE a.source = 'api' AND a.trigger_type = 'immediate' GROUP BY a.id
        HAVING count(e.id) <> {PEOPLE} OR count(DISTINCT e.participant_id) <> {PEOPLE}""",
    ),
    (
        "18 an automation fires once per moment and participant",
        """SELECT automation_id, participant_id, event_timestamp, count(*) FROM events WHERE automation_id IS NOT NULL
        GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    ),
    (
        "18 a cron automation has fired at its last moment",
        f"SELECT id, name, next_run_at, last_run_at FROM automations WHERE trigger_type = 'cron' AND next_run_at < {_LATE}",
    ),
    (
        "18 a threshold fires once for each participant who crosses it",
        """SELECT h.id, h.counters->>'bought', count(e.id) FROM holders h
        LEFT JOIN events e ON e.participant_id = h.id AND e.event_data->>'type' = 'regular' WHERE h.kind = 'PARTICIPANT'
        GROUP BY h.id HAVING count(e.id) <> (coalesce((h.counters->>'bought')::numeric, 0) >= 3)::int""",
    ),
    (
        "21 a delivery is settled, or waits for another attempt",
        # a cron expression may make messages at any moment
        f"""SELECT id, status, attempt_count, next_attempt_at FROM webhook_deliveries
        WHERE created_at < openscrip_now() - interval '15 seconds'
          AND (status = 'SENDING' OR status = 'PENDING' AND (attempt_count < 2 OR next_attempt_at < {_LATE}))""",
    ),
    (
        "21 each message has a delivery to the endpoint that hears everything",
        """SELECT m.id, m.type FROM webhook_messages m WHERE NOT EXISTS (
            SELECT 1 FROM webhook_deliveries d JOIN webhook_endpoints w ON w.id = d.webhook_endpoint_id AND w.url LIKE '%/all'
            WHERE d.webhook_event_id = m.id) AND m.type NOT LIKE 'webhook%'""",
    ),
    ("21 each delivery has a message", """SELECT d.id FROM webhook_deliveries d WHERE NOT EXISTS (
        SELECT 1 FROM webhook_messages m WHERE m.id = d.webhook_event_id)"""),
)  # fmt: skip

CHECKS = (*LEDGER, *EVENTS, *DUE)
