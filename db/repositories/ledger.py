"""The ledger's rows: lock holders and wallets, load their accounts into the books, and (`flush`) write what was done to them.

One lock order for every transaction (design.md, Events): holders by id first, wallets last. Who evaluates before locking
learns from StaleBooks that a row has changed since it was loaded, and starts again.
"""

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.repositories.ledger_flush import StaleBooks, flush
from db.session import Connection
from domain.ledger.accounts import Account, AccountKey, AssetTerms, Hold, HoldKind, Lot, LotStatus, Wallet
from domain.ledger.books import Books

__all__ = [
    "StaleBooks",
    "find_assets",
    "flush",
    "linked",
    "load_accounts",
    "load_wallets",
    "lock_holders",
    "lock_wallets",
]

Pair = tuple[UUID, UUID]

_WANTED = "unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS wanted (holder_id, asset_id, program_id)"
_BALANCES = f"""
    SELECT holder_id, asset_id, program_id, b.available, b.held, b.deferred, b.account_seq, b.last_entry_at, b.next_due_at,
           b.version
    FROM {_WANTED} JOIN balances b USING (holder_id, asset_id, program_id)"""
# The account's version comes with every row, in the snapshot that read its lots.
_LOTS = f"""
    SELECT b.holder_id, b.asset_id, b.program_id, b.version, l.id, l.program_id, l.amount, l.remaining, l.status, l.created_at,
           l.entry_id, l.expires_at, l.matures_at, l.reference_id, l.parent_lot_id, l.hold_id,
           l.is_announced
    FROM {_WANTED} JOIN balances b USING (holder_id, asset_id, program_id)
    LEFT JOIN lots l ON l.holder_id = b.holder_id AND l.asset_id = b.asset_id AND l.pair_program_id = b.program_id
                     AND l.remaining > 0
    ORDER BY b.holder_id, b.asset_id, b.program_id, l.created_at, l.id"""
_HOLDS = f"""
    SELECT b.holder_id, b.asset_id, b.program_id, b.version, h.id, h.program_id, h.kind, h.amount, h.remaining, h.created_at,
           h.entry_id, h.reference_id, h.expires_at
    FROM {_WANTED} JOIN balances b USING (holder_id, asset_id, program_id)
    LEFT JOIN holds h ON h.holder_id = b.holder_id AND h.asset_id = b.asset_id AND h.pair_program_id = b.program_id
                     AND h.remaining > 0
    ORDER BY b.holder_id, b.asset_id, b.program_id, h.created_at, h.id"""


def lock_holders(conn: Connection, holder_ids: Collection[UUID]) -> set[UUID]:
    """Lock the holders' rows in id order until the transaction ends; returns the ids that exist."""
    statement = "SELECT id FROM holders WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
    rows = conn.execute(statement, [arrays.uuids(holder_ids)], prepare=True)
    return {row[0] for row in rows}


def find_assets(conn: Connection, organization_id: UUID, asset_ids: Collection[UUID]) -> dict[UUID, AssetTerms]:
    """The organization's assets among these ids."""
    rows = conn.execute(
        """
        SELECT id, symbol, scale, inventory_mode = 'LOT', issuance_policy = 'PREFUNDED', max_transaction_amount,
               status = 'ARCHIVED', organization_id
        FROM assets WHERE organization_id = %s AND id = ANY(%s)
        """,
        [organization_id, list(asset_ids)],
        prepare=True,
    )
    return {row[0]: AssetTerms(*row) for row in rows}


def linked(conn: Connection, program_id: UUID, asset_id: UUID) -> bool:
    """Whether the asset is linked to the program."""
    found = conn.execute("SELECT 1 FROM program_assets WHERE program_id = %s AND asset_id = %s", [program_id, asset_id])
    return found.fetchone() is not None


def load_accounts(conn: Connection, books: Books, keys: Iterable[AccountKey], *, with_lots: bool) -> None:
    """Put the accounts in, new ones empty; `with_lots` adds the open lots and hold records, to accounts that are in already too.

    StaleBooks when an account has changed since it was put in.
    """
    wanted = list(dict.fromkeys(keys))
    _load_balances(conn, books, [key for key in wanted if books.find_account(key) is None])
    if with_lots:
        _load_lots(conn, books, [key for key in wanted if not books.account(key).lots_loaded])


def _load_balances(conn: Connection, books: Books, keys: list[AccountKey]) -> None:
    if not keys:
        return
    rows = conn.execute(_BALANCES, _columns(keys), prepare=True)
    found = {(row[0], row[1], row[2]): row[3:] for row in rows}
    for key in keys:
        row = found.get((key.holder_id, key.asset_id, key.program_id))
        books.add_account(Account(key, lots_loaded=True) if row is None else Account(key, *row))


def _load_lots(conn: Connection, books: Books, keys: list[AccountKey]) -> None:
    if not keys:
        return
    columns = _columns(keys)
    with conn.pipeline():
        found = [conn.execute(statement, columns, prepare=True) for statement in (_LOTS, _HOLDS)]
    lots, holds = (_by_account(books, keys, cursor.fetchall()) for cursor in found)
    for key in keys:
        books.account(key).attach((_lot(row) for row in lots[key]), (_hold(row) for row in holds[key]))


def _by_account(books: Books, keys: list[AccountKey], rows: list[tuple[Any, ...]]) -> dict[AccountKey, list[tuple[Any, ...]]]:
    groups = {account: list(group) for account, group in groupby(rows, key=lambda row: row[:3])}
    result = {}
    for key in keys:
        group = groups.get((key.holder_id, key.asset_id, key.program_id), [])
        if not group or group[0][3] != books.account(key).version:
            raise StaleBooks
        result[key] = [row[4:] for row in group if row[4] is not None]
    return result


def _lot(row: tuple[Any, ...]) -> Lot:
    id_, program_id, amount, remaining, status, *rest = row
    return Lot(id_, program_id, amount, remaining, LotStatus(status), *rest)


def _hold(row: tuple[Any, ...]) -> Hold:
    id_, program_id, kind, *rest = row
    return Hold(id_, program_id, HoldKind(kind), *rest)


def _columns(keys: Collection[AccountKey]) -> list[str]:
    return [
        arrays.uuids(key.holder_id for key in keys),
        arrays.uuids(key.asset_id for key in keys),
        arrays.uuids(key.program_id for key in keys),
    ]


def load_wallets(conn: Connection, books: Books, pairs: Iterable[Pair]) -> None:
    """Put the wallets of (program, asset) pairs in, new ones empty; ones that are in already stay as they are."""
    wanted = [pair for pair in dict.fromkeys(pairs) if books.find_wallet(*pair) is None]
    if not wanted:
        return
    rows = conn.execute(
        """
        SELECT program_id, asset_id, w.available, w.account_seq, w.last_entry_at, w.version
        FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (program_id, asset_id) JOIN wallets w USING (program_id, asset_id)
        """,
        [[pair[0] for pair in wanted], [pair[1] for pair in wanted]],
        prepare=True,
    )
    found = {(row[0], row[1]): Wallet(*row) for row in rows}
    for pair in wanted:
        books.add_wallet(found.get(pair) or Wallet(*pair))


def lock_wallets(conn: Connection, pairs: Collection[Pair]) -> dict[Pair, int]:
    """Lock the wallets in id order, after all holders; their versions now. Wallets of linked pairs that have no row get one."""
    columns = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    versions = _lock_wallet_rows(conn, columns)
    if len(versions) < len(set(pairs)):
        conn.execute(
            """
            INSERT INTO wallets (program_id, asset_id, organization_id)
            SELECT program_id, asset_id, organization_id FROM program_assets
            JOIN unnest(%s::uuid[], %s::uuid[]) AS wanted (program_id, asset_id) USING (program_id, asset_id)
            ORDER BY program_id, asset_id ON CONFLICT DO NOTHING
            """,
            columns,
        )
        versions = _lock_wallet_rows(conn, columns)
    return versions


def _lock_wallet_rows(conn: Connection, columns: list[list[UUID]]) -> dict[Pair, int]:
    rows = conn.execute(
        """
        SELECT program_id, asset_id, version FROM wallets
        WHERE (program_id, asset_id) IN (SELECT * FROM unnest(%s::uuid[], %s::uuid[]))
        ORDER BY program_id, asset_id FOR UPDATE
        """,
        columns,
        prepare=True,
    )
    return {(row[0], row[1]): row[2] for row in rows}
