"""Rules, their history, and the immutable sets of active rules that events are evaluated with."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from db.repositories.keyset import Keyset, Slice
from db.session import Connection
from db.tables.rules import RuleHistoryRow, RuleRow
from domain.ledger.accounts import AssetTerms
from domain.rules.rule import ChangeType, Rule, RuleStatus


@dataclass(frozen=True, slots=True)
class RuleFilters:
    """What a list of rules is limited to; archived ones come only when asked for, by flag or by status."""

    program_id: UUID | None = None
    status: RuleStatus | None = None
    include_archived: bool = False
    search: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilters:
    """What a rule's history is limited to; both times inclusive."""

    change_type: ChangeType | None = None
    changed_from: datetime | None = None
    changed_to: datetime | None = None


def lock_program(session: Session, organization_id: UUID, program_id: UUID) -> str | None:
    """Serialize changes of a program's rules; its status, or None when the organization has no such program."""
    # leaves alone who only refers to the program, such as a link of an asset
    statement = text("SELECT status FROM programs WHERE id = :id AND organization_id = :organization_id FOR NO KEY UPDATE")
    found = session.execute(statement, {"id": program_id, "organization_id": organization_id}).scalar_one_or_none()
    return None if found is None else str(found)


def active_linked_assets(session: Session, program_id: UUID) -> dict[UUID, AssetTerms]:
    """The active assets linked to a program, by id; their links can't be removed before the end of the transaction."""
    statement = text(
        """
        SELECT a.id, a.symbol, a.scale, a.inventory_mode = 'LOT', a.issuance_policy = 'PREFUNDED',
               a.max_transaction_amount, false, a.organization_id
        FROM program_assets l JOIN assets a ON a.id = l.asset_id
        WHERE l.program_id = :program_id AND a.status = 'ACTIVE' FOR KEY SHARE OF l
        """
    )
    return {row[0]: AssetTerms(*row) for row in session.execute(statement, {"program_id": program_id})}


def find(session: Session, organization_id: UUID, rule_id: UUID) -> Rule | None:
    """A rule of the organization; its budgets are read apart."""
    row = _row(session, organization_id, rule_id)
    return None if row is None else _rule(row)


def insert(session: Session, organization_id: UUID, rule: Rule, history_id: UUID) -> None:
    """Store a new rule whose first version is `history_id`."""
    session.add(RuleRow(organization_id=organization_id, history_id=history_id, id=rule.id, **_values(rule)))
    session.flush()


def update(session: Session, organization_id: UUID, rule: Rule, history_id: UUID) -> None:
    """Overwrite a rule with its new version `history_id`."""
    row = _row(session, organization_id, rule.id)
    assert row is not None
    row.sqlmodel_update({**_values(rule), "history_id": history_id})
    session.flush()


def active_rule_at(session: Session, program_id: UUID, order: int, other_than: UUID | None = None) -> UUID | None:
    """The active rule that occupies an order."""
    statement = select(RuleRow.id).where(
        RuleRow.program_id == program_id, RuleRow.order == order, RuleRow.status == RuleStatus.ACTIVE.value
    )
    if other_than is not None:
        statement = statement.where(RuleRow.id != other_than)
    return session.exec(statement).first()


def highest_order(session: Session, program_id: UUID) -> int | None:
    """The highest order of the program's rules that aren't archived."""
    statement = select(func.max(RuleRow.order)).where(
        RuleRow.program_id == program_id, RuleRow.status != RuleStatus.ARCHIVED.value
    )
    return session.exec(statement).one()


def append_history(session: Session, row: RuleHistoryRow) -> None:
    """Store one version of a rule."""
    session.add(row)
    session.flush()


def append_rule_set(session: Session, organization_id: UUID, program_id: UUID, moment: datetime) -> None:
    """Make the program's present active rules the set in force."""
    statement = text(
        """
        INSERT INTO rule_sets (organization_id, program_id, history_ids, created_at)
        SELECT :organization_id, :program_id, coalesce(array_agg(history_id ORDER BY "order"), '{}'), :moment
        FROM rules WHERE program_id = :program_id AND status = 'ACTIVE'
        """
    )
    session.execute(statement, {"organization_id": organization_id, "program_id": program_id, "moment": moment})


def list_rules(session: Session, organization_id: UUID, filters: RuleFilters, keyset: Keyset, sort: str) -> Slice[Rule]:
    """A page of the organization's rules, by `sort`, creation and id."""
    statement = select(RuleRow).where(RuleRow.organization_id == organization_id)
    if filters.program_id is not None:
        statement = statement.where(RuleRow.program_id == filters.program_id)
    if filters.status is not None:
        statement = statement.where(RuleRow.status == filters.status.value)
    elif not filters.include_archived:
        statement = statement.where(RuleRow.status != RuleStatus.ARCHIVED.value)
    if filters.search is not None:
        statement = statement.where(col(RuleRow.name).icontains(filters.search, autoescape=True))
    statement = statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)
    rules = [_rule(row) for row in session.exec(statement)]
    return keyset.cut(rules, lambda rule: (*((getattr(rule, sort),) if sort != "created_at" else ()), rule.created_at, rule.id))


def list_history(session: Session, rule_id: UUID, filters: HistoryFilters, keyset: Keyset) -> Slice[RuleHistoryRow]:
    """A page of a rule's versions, newest first."""
    statement = select(RuleHistoryRow).where(RuleHistoryRow.rule_id == rule_id)
    if filters.change_type is not None:
        statement = statement.where(RuleHistoryRow.change_type == filters.change_type.value)
    if filters.changed_from is not None:
        statement = statement.where(RuleHistoryRow.changed_at >= filters.changed_from)
    if filters.changed_to is not None:
        statement = statement.where(RuleHistoryRow.changed_at <= filters.changed_to)
    statement = statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)
    return keyset.cut(session.exec(statement).all(), lambda row: (row.changed_at, row.id))


def current_rule_sets(conn: Connection, program_ids: Collection[UUID]) -> dict[UUID, int]:
    """The set in force of each program that has one."""
    rows = conn.execute(
        """
        SELECT p.id, s.id FROM unnest(%s::uuid[]) AS p (id)
        CROSS JOIN LATERAL (SELECT id FROM rule_sets WHERE program_id = p.id ORDER BY id DESC LIMIT 1) AS s
        """,
        [list(program_ids)],
    )
    return {program_id: int(id_) for program_id, id_ in rows}


def snapshots_of(conn: Connection, rule_set_ids: Collection[int]) -> dict[int, list[tuple[UUID, Mapping[str, Any]]]]:
    """The versions in each set, by order: history id and snapshot."""
    found: dict[int, list[tuple[UUID, Mapping[str, Any]]]] = {id_: [] for id_ in rule_set_ids}
    rows = conn.execute(
        """
        SELECT s.id, h.id, h.snapshot
        FROM rule_sets s CROSS JOIN LATERAL unnest(s.history_ids) WITH ORDINALITY AS member (history_id, position)
        JOIN rule_history h ON h.id = member.history_id
        WHERE s.id = ANY(%s) ORDER BY s.id, member.position
        """,
        [list(rule_set_ids)],
    )
    for id_, history_id, snapshot in rows:
        found[int(id_)].append((history_id, snapshot))
    return found


def _row(session: Session, organization_id: UUID, rule_id: UUID) -> RuleRow | None:
    statement = select(RuleRow).where(RuleRow.id == rule_id, RuleRow.organization_id == organization_id)
    # a row that this session read before the program was locked is read anew
    return session.exec(statement.execution_options(populate_existing=True)).one_or_none()


def _rule(row: RuleRow) -> Rule:
    values = {name: getattr(row, name) for name in Rule.__dataclass_fields__ if name != "budgets"}
    return Rule(**{**values, "actions": tuple(row.actions), "status": RuleStatus(row.status)})


def _values(rule: Rule) -> dict[str, Any]:
    values = {name: getattr(rule, name) for name in Rule.__dataclass_fields__ if name not in ("id", "budgets")}
    return {**values, "actions": [dict(action) for action in rule.actions], "status": rule.status.value}
