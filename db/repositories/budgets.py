"""Budgets of rules: read them, write what a batch issued of them, replace them, and their append-only periods. Set-based."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection
from domain.processing.spending import Spending
from domain.rules.budgets import Budget, LiveBudget, Period, ScheduleType
from domain.rules.rule import Rule


def load(conn: Connection, rule_ids: Collection[UUID], *, lock: bool = False) -> list[LiveBudget]:
    """The budgets of these rules by rule and position; `lock` takes the rows, in the order of rule and asset."""
    rows = conn.execute(
        f"""
        SELECT rule_id, asset_id, "limit", schedule_type, cron_expression, "interval", consumed, period_started_at,
               next_reset_at, version, position
        FROM rule_budgets WHERE rule_id = ANY(%s::uuid[]) ORDER BY rule_id, asset_id {"FOR UPDATE" if lock else ""}
        """,
        [arrays.uuids(rule_ids)],
        prepare=True,
    )
    return [_live(row) for row in sorted(rows, key=lambda row: (row[0], row[-1]))]


def _live(row: tuple[Any, ...]) -> LiveBudget:
    rule_id, asset_id, limit, schedule_type, cron_expression, interval, consumed, started_at, reset_at, version, _ = row
    schedule = None if schedule_type is None else ScheduleType(schedule_type)
    budget = Budget(asset_id, limit, schedule, cron_expression, interval)
    return LiveBudget(rule_id, budget, consumed, started_at, reset_at, version)


# The rows are locked in their order before any is written. What was issued meanwhile by others doesn't matter as long as all
# of it fits: every credit that was admitted would be admitted after theirs, every suppressed one suppressed, because
# consumed only rises in a period.
_SPEND = """
    WITH new AS (
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::numeric[],
                             %s::timestamptz[], %s::numeric[])
            AS line (rule_id, asset_id, version, started_at, reset_at, added, exact_start, exact_consumed)
    ), ours AS MATERIALIZED (
        SELECT b.rule_id, b.asset_id FROM rule_budgets b JOIN new USING (rule_id, asset_id)
        WHERE b.version = new.version AND b.period_started_at <= new.started_at
          AND CASE WHEN b.period_started_at = new.started_at THEN b.consumed ELSE 0 END + new.added <= b."limit"
          AND (new.exact_start IS NULL OR (b.period_started_at = new.exact_start AND b.consumed = new.exact_consumed))
        ORDER BY b.rule_id, b.asset_id FOR UPDATE OF b
    )
    UPDATE rule_budgets b
    SET consumed = CASE WHEN b.period_started_at = new.started_at THEN b.consumed ELSE 0 END + new.added,
        period_started_at = new.started_at, next_reset_at = new.reset_at
    FROM new JOIN ours USING (rule_id, asset_id) WHERE b.rule_id = new.rule_id AND b.asset_id = new.asset_id
"""


def spend(conn: Connection, spendings: Sequence[Spending], organizations: Sequence[UUID]) -> bool:
    """Add what a batch issued, and the periods that it began; False when a budget has moved on so that it can't be added.

    `organizations` are the owners of the spendings, in their order. After False the transaction must be rolled back.
    """
    done = conn.execute(_SPEND, _spend_columns(spendings), prepare=True)
    if done.rowcount != len(spendings):
        return False
    pairs = zip(organizations, spendings, strict=True)
    began = [(owner, period) for owner, spending in pairs for period in spending.began]
    if began:
        append_periods(conn, began)
    return True


def _spend_columns(spendings: Sequence[Spending]) -> list[str]:
    return [
        arrays.uuids(spending.live.rule_id for spending in spendings),
        arrays.uuids(spending.live.budget.asset_id for spending in spendings),
        arrays.numbers(spending.read.version for spending in spendings),
        arrays.moments(spending.live.period_started_at for spending in spendings),
        arrays.moments(spending.live.next_reset_at for spending in spendings),
        arrays.numbers(spending.added for spending in spendings),
        arrays.moments(spending.read.period_started_at if spending.is_exact else None for spending in spendings),
        arrays.numbers(spending.read.consumed if spending.is_exact else None for spending in spendings),
    ]


def append_periods(conn: Connection, periods: Sequence[tuple[UUID, Period]], api_key_id: UUID | None = None) -> None:
    """Record the beginnings of periods, each with its organization; one that another transaction has recorded stays as it is."""
    conn.execute(
        """
        INSERT INTO budget_periods (organization_id, rule_id, asset_id, started_at, cause, "limit", api_key_id)
        SELECT *, %s::uuid FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::timestamptz[], %s::text[], %s::numeric[])
        ON CONFLICT DO NOTHING
        """,
        [
            api_key_id,
            arrays.uuids(organization_id for organization_id, _ in periods),
            arrays.uuids(period.rule_id for _, period in periods),
            arrays.uuids(period.asset_id for _, period in periods),
            arrays.moments(period.started_at for _, period in periods),
            arrays.words(period.cause.value for _, period in periods),
            arrays.numbers(period.limit for _, period in periods),
        ],
    )


def restart(conn: Connection, live: LiveBudget) -> None:
    """Store the new period of a locked budget."""
    conn.execute(
        """
        UPDATE rule_budgets SET consumed = %s, period_started_at = %s, next_reset_at = %s, version = %s
        WHERE rule_id = %s AND asset_id = %s
        """,
        [live.consumed, live.period_started_at, live.next_reset_at, live.version, live.rule_id, live.budget.asset_id],
    )


def write(conn: Connection, organization_id: UUID, rule: Rule, periods: Iterable[Period], api_key_id: UUID | None) -> None:
    """Make `rule.budgets` the rule's budgets, and record the periods that began. Kept rows are changed where they are.

    The caller has locked the rows there are. A batch that waits for one reads it as it is then; it must not miss it.
    """
    kept = arrays.uuids(live.budget.asset_id for live in rule.budgets)
    conn.execute("DELETE FROM rule_budgets WHERE rule_id = %s AND asset_id <> ALL(%s::uuid[])", [rule.id, kept])
    for position, live in enumerate(rule.budgets):
        _upsert(conn, organization_id, rule, position, live)
    began = [(organization_id, period) for period in periods]
    if began:
        append_periods(conn, began, api_key_id)


def _upsert(conn: Connection, organization_id: UUID, rule: Rule, position: int, live: LiveBudget) -> None:
    budget = live.budget
    schedule = (budget.schedule_type, budget.cron_expression, budget.interval)
    conn.execute(
        """
        INSERT INTO rule_budgets (rule_id, asset_id, organization_id, program_id, position, "limit", schedule_type,
                                  cron_expression, "interval", consumed, period_started_at, next_reset_at, version)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (rule_id, asset_id) DO UPDATE SET position = excluded.position, "limit" = excluded."limit",
            schedule_type = excluded.schedule_type, cron_expression = excluded.cron_expression,
            "interval" = excluded."interval", consumed = excluded.consumed,
            period_started_at = excluded.period_started_at, next_reset_at = excluded.next_reset_at, version = excluded.version
        """,
        [
            rule.id,
            budget.asset_id,
            organization_id,
            rule.program_id,
            position,
            budget.limit,
            *schedule,
            live.consumed,
            live.period_started_at,
            live.next_reset_at,
            live.version,
        ],
    )
