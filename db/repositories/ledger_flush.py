"""Writes the effects of a working set in a handful of set-based statements, one pipelined round trip."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor

from db.repositories import arrays
from db.session import Connection
from domain.ledger.accounts import Account, AccountKey, Hold, Lot, Wallet
from domain.ledger.books import Books
from domain.ledger.entries import Entry

Row = tuple[Any, ...]


class StaleBooks(Exception):
    """A row has changed since it was loaded into the working set: roll back, load again, evaluate again."""


# A column's kind: the type its array is cast to. A word is a text that needs no quotes.
_LITERALS: dict[str, Callable[[Iterable[Any]], str]] = {
    "uuid": arrays.uuids,
    "numeric": arrays.numbers,
    "bigint": arrays.numbers,
    "smallint": arrays.numbers,
    "timestamptz": arrays.moments,
    "text": arrays.texts,
    "word": arrays.words,
    "boolean": arrays.flags,
}


@dataclass(frozen=True, slots=True)
class _Write:
    """A statement over arrays, one per column; a constant number of parameters, so that it is prepared once."""

    statement: str
    literals: tuple[Callable[[Iterable[Any]], str], ...]

    def run(self, cursor: Cursor[Any], rows: Sequence[Row]) -> None:
        columns = zip(*rows, strict=True)
        literals = [literal(column) for literal, column in zip(self.literals, columns, strict=True)]
        cursor.execute(self.statement, literals, prepare=True)


def _write(template: str, columns: dict[str, str]) -> _Write:
    casts = ", ".join(f"%s::{'text' if kind == 'word' else kind}[]" for kind in columns.values())
    statement = template.format(columns=", ".join(columns), arrays=f"unnest({casts})")
    return _Write(statement, tuple(_LITERALS[kind] for kind in columns.values()))


def _insert(table: str, columns: dict[str, str], extra: str = "") -> _Write:
    return _write(f"INSERT INTO {table} ({{columns}}) SELECT * FROM {{arrays}} {extra}", columns)


def _update(table: str, key: str, columns: dict[str, str]) -> _Write:
    changes = ", ".join(f"{name} = new.{name}" for name in columns if name != key)
    return _write(f"UPDATE {table} t SET {changes} FROM {{arrays}} AS new ({{columns}}) WHERE t.{key} = new.{key}", columns)


def _upsert(table: str, keys: Sequence[str], columns: dict[str, str]) -> _Write:
    """Insert, or replace a row that is still at the version before the written one."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys and name != "organization_id")
    guard = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes} WHERE {table}.version = excluded.version - 1"
    return _insert(table, columns, guard)


# Entries are unsealed from the moment they exist: one statement says both.
_ENTRIES = _write(
    """
    WITH written AS (
        INSERT INTO journal_entries ({columns}) SELECT * FROM {arrays} RETURNING organization_id, created_at, id
    ) INSERT INTO unsealed_entries (organization_id, created_at, entry_id) SELECT * FROM written
    """,
    {
        "id": "uuid",
        "organization_id": "uuid",
        "program_id": "uuid",
        "action_type": "word",
        "description": "text",
        "event_id": "uuid",
        "event_timestamp": "timestamptz",
        "rule_id": "uuid",
        "created_by_api_key_id": "uuid",
        "reference_id": "text",
        "created_at": "timestamptz",
    },
)
_POSTINGS = _insert(
    "postings",
    {
        "entry_id": "uuid",
        "ordinal": "smallint",
        "id": "uuid",
        "organization_id": "uuid",
        "program_id": "uuid",
        "asset_id": "uuid",
        "entity_type": "word",
        "entity_id": "uuid",
        "bucket": "word",
        "amount": "numeric",
        "account_seq": "bigint",
        "balance_after": "numeric",
        "total_after": "numeric",
        "created_at": "timestamptz",
        "action_type": "word",
    },
)
_OWNED = {"id": "uuid", "organization_id": "uuid", "holder_id": "uuid", "asset_id": "uuid", "pair_program_id": "uuid"}
_LOT_STATE = {"amount": "numeric", "remaining": "numeric", "status": "word", "reference_id": "text", "hold_id": "uuid"}
_NEW_LOTS = _insert(
    "lots",
    _OWNED
    | {"program_id": "uuid", "created_at": "timestamptz", "expires_at": "timestamptz", "matures_at": "timestamptz"}
    | {"parent_lot_id": "uuid", "entry_id": "uuid", "is_announced": "boolean"}
    | _LOT_STATE,
)
_CHANGED_LOTS = _update("lots", "id", {"id": "uuid"} | _LOT_STATE)
_NEW_HOLDS = _insert(
    "holds",
    _OWNED
    | {"program_id": "uuid", "kind": "word", "reference_id": "text", "amount": "numeric", "remaining": "numeric"}
    | {"expires_at": "timestamptz", "created_at": "timestamptz", "entry_id": "uuid"},
)
_CHANGED_HOLDS = _update("holds", "id", {"id": "uuid", "remaining": "numeric"})
_BALANCES = _upsert(
    "balances",
    ("holder_id", "asset_id", "program_id"),
    {"holder_id": "uuid", "asset_id": "uuid", "program_id": "uuid", "organization_id": "uuid"}
    | {"available": "numeric", "held": "numeric", "deferred": "numeric", "account_seq": "bigint"}
    | {"last_entry_at": "timestamptz", "next_due_at": "timestamptz", "version": "bigint"},
)
_WALLETS = _upsert(
    "wallets",
    ("program_id", "asset_id"),
    {"program_id": "uuid", "asset_id": "uuid", "organization_id": "uuid", "available": "numeric"}
    | {"account_seq": "bigint", "last_entry_at": "timestamptz", "version": "bigint"},
)


def flush(conn: Connection, books: Books) -> None:
    """Write everything the operations did since the books were made, each row for the organization of its asset.

    Called once per working set, inside the transaction that holds the locks. StaleBooks when an account or wallet has changed
    since it was loaded; the transaction must be rolled back then.
    """
    if not (books.changed_accounts or books.changed_wallets):
        return
    owner = _owners(books)
    accounts = [_balance_row(books.changed_accounts[key], owner) for key in sorted(books.changed_accounts, key=_order)]
    wallets = [_wallet_row(wallet, owner) for _, wallet in sorted(books.changed_wallets.items())]
    with conn.pipeline(), conn.cursor() as guard:
        # Accounts and wallets first: a stale one fails the flush before the journal is written.
        written = [_guarded(conn, write, rows) for write, rows in ((_BALANCES, accounts), (_WALLETS, wallets)) if rows]
        for write, rows in _appends(books, owner):
            if rows:
                write.run(guard, rows)
    if any(cursor.rowcount != count for cursor, count in written):
        raise StaleBooks


def _guarded(conn: Connection, write: _Write, rows: Sequence[Row]) -> tuple[Cursor[Any], int]:
    cursor = conn.cursor()
    write.run(cursor, rows)
    return cursor, len(rows)


def _appends(books: Books, owner: Callable[[UUID], UUID]) -> Iterable[tuple[_Write, list[Row]]]:
    yield _ENTRIES, [_entry_row(entry, owner) for entry in books.entries]
    yield _POSTINGS, [row for entry in books.entries for row in _posting_rows(entry, owner)]
    yield _NEW_HOLDS, [_new_hold_row(key, hold, owner) for key, hold in books.new_holds.values()]
    yield _CHANGED_HOLDS, [(hold.id, hold.remaining) for _, hold in books.changed_holds.values()]
    yield _NEW_LOTS, [_new_lot_row(key, lot, owner) for key, lot in books.new_lots.values()]
    yield _CHANGED_LOTS, [(lot.id, *_lot_state(lot)) for _, lot in books.changed_lots.values()]


def _owners(books: Books) -> Callable[[UUID], UUID]:
    return {asset.id: asset.organization_id for asset in books.assets.values()}.__getitem__


def _order(key: AccountKey) -> Row:
    return key.holder_id, key.asset_id, key.program_id


def _entry_row(entry: Entry, owner: Callable[[UUID], UUID]) -> Row:
    origin = entry.origin
    return (
        entry.id,
        owner(entry.postings[0].asset_id),
        origin.program_id,
        entry.action_type.value,
        origin.description,
        origin.event_id,
        origin.event_timestamp,
        origin.rule_id,
        origin.api_key_id,
        origin.reference_id,
        entry.created_at,
    )


def _posting_rows(entry: Entry, owner: Callable[[UUID], UUID]) -> Iterable[Row]:
    for ordinal, posting in enumerate(entry.postings):
        yield (
            entry.id,
            ordinal,
            posting.id,
            owner(posting.asset_id),
            entry.origin.program_id,
            posting.asset_id,
            posting.entity_type.value,
            posting.entity_id,
            posting.bucket.value,
            posting.amount,
            posting.account_seq,
            posting.balance_after,
            posting.total_after,
            entry.created_at,
            entry.action_type.value,
        )


def _owned(id_: UUID, key: AccountKey, owner: Callable[[UUID], UUID]) -> Row:
    return id_, owner(key.asset_id), key.holder_id, key.asset_id, key.program_id


def _lot_state(lot: Lot) -> Row:
    return lot.amount, lot.remaining, lot.status.value, lot.reference_id, lot.hold_id


def _new_lot_row(key: AccountKey, lot: Lot, owner: Callable[[UUID], UUID]) -> Row:
    dates = (lot.program_id, lot.created_at, lot.expires_at, lot.matures_at)
    return (*_owned(lot.id, key, owner), *dates, lot.parent_lot_id, lot.entry_id, lot.is_announced, *_lot_state(lot))


def _new_hold_row(key: AccountKey, hold: Hold, owner: Callable[[UUID], UUID]) -> Row:
    what = (hold.program_id, hold.kind.value, hold.reference_id, hold.amount, hold.remaining)
    return (*_owned(hold.id, key, owner), *what, hold.expires_at, hold.created_at, hold.entry_id)


def _balance_row(account: Account, owner: Callable[[UUID], UUID]) -> Row:
    account.recompute_due()
    key = account.key
    moments = (account.last_entry_at, account.next_due_at, account.version + 1)
    return (*_order(key), owner(key.asset_id), account.available, account.held, account.deferred, account.account_seq, *moments)


def _wallet_row(wallet: Wallet, owner: Callable[[UUID], UUID]) -> Row:
    state = (wallet.available, wallet.account_seq, wallet.last_entry_at, wallet.version + 1)
    return (wallet.program_id, wallet.asset_id, owner(wallet.asset_id), *state)
