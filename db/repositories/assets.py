"""Assets, their links to programs, and the wallets that come with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session, col, select

from db.repositories.keyset import Keyset, Slice
from db.repositories.matching import contains
from db.session import psycopg_of
from db.tables.core import Asset, ProgramAsset


class LinkedAsset(NamedTuple):
    """An asset as a program's list has it; the sort values are its link's."""

    asset: Asset
    linked_at: datetime
    asset_id: UUID


def find(session: Session, organization_id: UUID, asset_id: UUID, *, lock: str | None = None) -> Asset | None:
    """An asset of the organization; `lock` is "share" or "update"."""
    statement = select(Asset).where(Asset.id == asset_id, Asset.organization_id == organization_id)
    if lock is not None:
        statement = statement.with_for_update(read=lock == "share").execution_options(populate_existing=True)
    return session.exec(statement).first()


def page(
    session: Session, organization_id: UUID, keyset: Keyset, *, program_id: UUID | None, status: str | None, search: str | None
) -> Slice[Asset]:
    """One page of the organization's assets."""
    statement = select(Asset).where(Asset.organization_id == organization_id)
    if program_id is not None:
        linked = select(ProgramAsset.asset_id).where(
            ProgramAsset.program_id == program_id, ProgramAsset.organization_id == organization_id
        )
        statement = statement.where(col(Asset.id).in_(linked))
    if status is not None:
        statement = statement.where(Asset.status == status)
    if search is not None:
        statement = statement.where(contains(search, Asset.symbol, Asset.name))
    return keyset.cut(session.exec(statement.where(keyset.where()).order_by(keyset.order()).limit(keyset.fetch)).all())


def page_of_program(session: Session, program_id: UUID, keyset: Keyset) -> Slice[LinkedAsset]:
    """One page of the assets linked to a program."""
    statement = (
        select(Asset, ProgramAsset.linked_at, ProgramAsset.asset_id)
        .join(ProgramAsset, col(ProgramAsset.asset_id) == col(Asset.id))
        .where(ProgramAsset.program_id == program_id)
        .where(keyset.where())
        .order_by(keyset.order())
        .limit(keyset.fetch)
    )
    return keyset.cut([LinkedAsset(*row) for row in session.exec(statement).all()])


def programs_of(session: Session, asset_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The programs each asset is linked to, in order of linking."""
    rows = psycopg_of(session).execute(
        "SELECT asset_id, array_agg(program_id ORDER BY linked_at, program_id) FROM program_assets"
        " WHERE asset_id = ANY(%s) GROUP BY asset_id",
        (list(asset_ids),),
    )
    return {row[0]: row[1] for row in rows}


def find_link(session: Session, program_id: UUID, asset_id: UUID, *, is_locked: bool = False) -> ProgramAsset | None:
    """The link of an asset to a program."""
    statement = select(ProgramAsset).where(ProgramAsset.program_id == program_id, ProgramAsset.asset_id == asset_id)
    return session.exec(statement.with_for_update() if is_locked else statement).first()


def insert_wallet(session: Session, organization_id: UUID, program_id: UUID, asset_id: UUID) -> None:
    """An empty wallet of a program for a PREFUNDED asset."""
    psycopg_of(session).execute(
        "INSERT INTO wallets (program_id, asset_id, organization_id) VALUES (%s, %s, %s)",
        (program_id, asset_id, organization_id),
    )


def lock_wallet(session: Session, program_id: UUID, asset_id: UUID) -> None:
    """Lock a program's wallet, if there is one, as every posting on it does."""
    psycopg_of(session).execute(
        "SELECT 1 FROM wallets WHERE program_id = %s AND asset_id = %s FOR UPDATE", (program_id, asset_id)
    )


def delete_link(session: Session, program_id: UUID, asset_id: UUID) -> None:
    """Remove a link and its wallet, which is empty without entries."""
    connection = psycopg_of(session)
    connection.execute("DELETE FROM wallets WHERE program_id = %s AND asset_id = %s", (program_id, asset_id))
    connection.execute("DELETE FROM program_assets WHERE program_id = %s AND asset_id = %s", (program_id, asset_id))


def has_entries(session: Session, program_id: UUID, asset_id: UUID) -> bool:
    """Whether any ledger entry of the program moved the asset."""
    found = psycopg_of(session).execute(
        "SELECT EXISTS (SELECT 1 FROM journal_entries e JOIN postings p ON p.entry_id = e.id"
        " WHERE e.program_id = %s AND p.asset_id = %s)",
        (program_id, asset_id),
    )
    return bool(_single(found.fetchone()))


def is_in_use(session: Session, program_id: UUID, asset_id: UUID) -> bool:
    """Whether a rule of the program that isn't archived names the asset in an action or a budget, or a reward costs it."""
    found = psycopg_of(session).execute(
        "SELECT EXISTS (SELECT 1 FROM rules WHERE program_id = %(program)s AND status <> 'ARCHIVED'"
        " AND (strpos(lower(actions::text), %(asset)s::text) > 0"
        " OR EXISTS (SELECT 1 FROM rule_budgets b WHERE b.rule_id = rules.id AND b.asset_id = %(asset)s::uuid)))"
        " OR EXISTS (SELECT 1 FROM rewards WHERE program_id = %(program)s AND status <> 'ARCHIVED'"
        " AND asset_id = %(asset)s::uuid)",
        {"program": program_id, "asset": str(asset_id)},
    )
    return bool(_single(found.fetchone()))


def _single(row: tuple[object, ...] | None) -> object:
    assert row is not None
    return row[0]
