"""A named check of the books: a query that finds the rows that break an invariant, in one organization."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from db.session import Connection
from domain.ledger.accounts import NIL

HOLDERS = "('PARTICIPANT', 'GROUP')"
# a group has an account in each program, a participant one for all of them
PAIR = f"CASE WHEN entity_type = 'GROUP' THEN program_id ELSE '{NIL}'::uuid END"


@dataclass(frozen=True, slots=True)
class Check:
    """`holds` says what is true of sound books."""

    name: str
    holds: str


@dataclass(frozen=True, slots=True)
class QueryCheck(Check):
    """Each row of the query is something that breaks the check.

    The query reads what `_SOURCES` names as if nothing else existed: rows of one organization and, in a window, of what the
    window touches. Its rows have plain column names.
    """

    query: str


@dataclass(frozen=True, slots=True)
class Window:
    """Only what was written from `since` on and before `until`: entries, and the whole of the accounts they touch."""

    since: datetime
    until: datetime


_OWN = "WHERE organization_id = %(organization)s"
# Names of tables mean these rows of them, so that no check can see another organization. entries and postings are those of the
# window; lines are all postings on accounts of holders and wallets that it touches, with the account's pair.
_SOURCES = """
    WITH journal_entries AS NOT MATERIALIZED (SELECT * FROM journal_entries {own} {in_window}),
    postings AS NOT MATERIALIZED (SELECT * FROM postings {own} {of_entries}),
    touched AS (SELECT DISTINCT entity_id, asset_id, {pair} AS pair_program_id FROM postings WHERE account_seq IS NOT NULL),
    lines AS NOT MATERIALIZED (
        SELECT * FROM (SELECT *, {pair} AS pair_program_id FROM public.postings {own} AND account_seq IS NOT NULL) AS p
        {entity_touched}
    ),
    balances AS NOT MATERIALIZED (
        SELECT * FROM (SELECT *, program_id AS pair_program_id FROM balances {own}) AS b {holder_touched}
    ),
    wallets AS NOT MATERIALIZED (SELECT * FROM (SELECT * FROM wallets {own}) AS w {wallet_touched}),
    lots AS NOT MATERIALIZED (SELECT * FROM (SELECT * FROM lots {own}) AS l {holder_touched}),
    holds AS NOT MATERIALIZED (SELECT * FROM (SELECT * FROM holds {own}) AS h {holder_touched}),
    redemption_reversals AS NOT MATERIALIZED (SELECT * FROM redemption_reversals {own}),
    redemptions AS NOT MATERIALIZED (SELECT * FROM redemptions {own} {redemption_touched}),
    rewards AS NOT MATERIALIZED (SELECT * FROM rewards {own} {reward_touched}),
    rule_budgets AS NOT MATERIALIZED (SELECT * FROM rule_budgets {own} {rule_touched}),
    entry_seals AS NOT MATERIALIZED (SELECT * FROM entry_seals {own} {of_entries}),
    unsealed_entries AS NOT MATERIALIZED (SELECT * FROM unsealed_entries {own}),
    idempotency_keys AS NOT MATERIALIZED (SELECT * FROM idempotency_keys {own} {in_window}),
    assets AS NOT MATERIALIZED (SELECT * FROM assets {own})
"""
_TOUCHED = "IN (SELECT entity_id, asset_id, pair_program_id FROM touched)"
_WINDOW = {
    "in_window": "AND created_at >= %(since)s AND created_at < %(until)s",
    "of_entries": "AND entry_id IN (SELECT id FROM journal_entries)",
    "entity_touched": f"WHERE (entity_id, asset_id, pair_program_id) {_TOUCHED}",
    "holder_touched": f"WHERE (holder_id, asset_id, pair_program_id) {_TOUCHED}",
    "wallet_touched": "WHERE (program_id, asset_id) IN (SELECT entity_id, asset_id FROM touched)",
    "redemption_touched": """AND (entry_id IN (SELECT id FROM journal_entries)
        OR id IN (SELECT v.redemption_id FROM redemption_reversals v JOIN journal_entries e ON e.id = v.entry_id))""",
    "reward_touched": """AND id IN (SELECT r.reward_id FROM redemptions r)""",
    "rule_touched": "AND rule_id IN (SELECT rule_id FROM journal_entries)",
}


def _source(restrictions: Mapping[str, str]) -> str:
    names = dict.fromkeys(_WINDOW, "") | dict(restrictions)
    return _SOURCES.format(own=_OWN, pair=PAIR, **names)


_WHOLE_SOURCE, _WINDOW_SOURCE = _source({}), _source(_WINDOW)


def breaches(
    conn: Connection, organization_id: UUID, check: QueryCheck, window: Window | None = None, limit: int = 5
) -> list[dict[str, Any]]:
    """The first rows that break a check in an organization, by column name; without a window in everything it has."""
    statement, parameters = _statement(organization_id, f"SELECT * FROM ({check.query}) AS wrong LIMIT {limit}", window)
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters, prepare=False).fetchall()


def count(conn: Connection, organization_id: UUID, check: QueryCheck, window: Window | None = None) -> int:
    """How many rows break a check in an organization."""
    statement, parameters = _statement(organization_id, f"SELECT count(*) FROM ({check.query}) AS wrong", window)
    row = conn.execute(statement, parameters, prepare=False).fetchone()
    assert row is not None
    return int(row[0])


def _statement(organization_id: UUID, question: str, window: Window | None) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {"organization": organization_id}
    if window is None:
        return _WHOLE_SOURCE + question, parameters
    return _WINDOW_SOURCE + question, parameters | {"since": window.since, "until": window.until}
