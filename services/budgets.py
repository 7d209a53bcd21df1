"""Direct operations on budgets of rules (events-rules.md 4.10); crediting is the business of processing."""

from uuid import UUID

from sqlmodel import Session

from db.repositories import budgets as budget_rows
from db.repositories import organizations as clock
from db.repositories import rules as repository
from db.session import psycopg_of
from domain.errors import RuleArchived, not_found
from domain.rules.budgets import LiveBudget, Period, PeriodCause
from domain.rules.rule import RuleStatus


def reset_budget(
    session: Session, organization_id: UUID, rule_id: UUID, asset_id: UUID, api_key_id: UUID | None = None
) -> LiveBudget:
    """Begin a new period of a rule's budget. Raises NotFound for the rule or the budget, RuleArchived."""
    found = repository.find(session, organization_id, rule_id)
    if found is None:
        raise not_found("rule", rule_id)
    repository.lock_program(session, organization_id, found.program_id)
    # only now nobody else can change the rule, and none of its budgets before the clock is read
    rule = repository.find(session, organization_id, rule_id)
    assert rule is not None
    conn = psycopg_of(session)
    stored = {live.budget.asset_id: live for live in budget_rows.load(conn, [rule_id], lock=True)}
    if asset_id not in stored:
        raise not_found("budget", asset_id, "asset_id")
    if rule.status is RuleStatus.ARCHIVED:
        raise RuleArchived(rule_id=str(rule_id))
    fresh = stored[asset_id].reset(clock.now(session))
    budget_rows.restart(conn, fresh)
    budget_rows.append_periods(conn, [(organization_id, Period.of(fresh, PeriodCause.RESET))], api_key_id)
    return fresh
