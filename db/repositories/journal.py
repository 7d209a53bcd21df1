"""Journal entries with their postings, as the API shows them (reporting.md, Journal entries)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from db.repositories.keyset import Keyset, Slice, SortColumn
from db.session import Connection, scan_alone
from domain.ledger.accounts import Bucket
from domain.ledger.entries import ActionType


@dataclass(frozen=True, slots=True)
class PostingRow:
    """One posting, with what its asset says about its amount."""

    entry_id: UUID
    id: UUID
    amount: Decimal
    asset_id: UUID
    asset_symbol: str
    scale: int
    bucket: str
    entity_type: str
    entity_id: UUID | None
    created_at: datetime


@dataclass(slots=True)
class EntryRow:
    """One journal entry, with its seal, if it has one, in lower-case hex; its postings in the order written."""

    id: UUID
    action_type: str
    program_id: UUID
    program_name: str
    description: str
    event_id: UUID | None
    rule_id: UUID | None
    created_by_api_key_id: UUID | None
    reference_id: str | None
    sequence_number: int | None
    previous_hash: str | None
    entry_hash: str | None
    created_at: datetime
    postings: list[PostingRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """What a list of entries is narrowed to. `entity_id` to `max_amount` must be met by one and the same posting.

    `entity_id` is a holder, of which `entity_type` says the kind.
    """

    program_id: UUID | None = None
    event_id: UUID | None = None
    rule_id: UUID | None = None
    action_type: str | None = None
    reference_id: str | None = None
    from_: datetime | None = None
    to: datetime | None = None
    entity_id: UUID | None = None
    entity_type: str | None = None
    asset_id: UUID | None = None
    bucket: str | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None


_TIMES = {"from_": "e.created_at >= %(from_)s", "to": "e.created_at <= %(to)s"}
_ENTRY_CONDITIONS = _TIMES | {
    "program_id": "e.program_id = %(program_id)s",
    "event_id": "e.event_id = %(event_id)s",
    "rule_id": "e.rule_id = %(rule_id)s",
    "action_type": "e.action_type = %(action_type)s",
    "reference_id": "e.reference_id = %(reference_id)s",
}
_POSTING_CONDITIONS = {
    "entity_id": "p.entity_id = %(entity_id)s",
    # Of its one kind are all postings of a holder: asked of each, the planner would expect far fewer than there are.
    "entity_type": "EXISTS (SELECT 1 FROM holders h WHERE h.id = %(entity_id)s AND h.kind = %(entity_type)s)",
    "asset_id": "p.asset_id = %(asset_id)s",
    "bucket": "p.bucket = %(bucket)s",
    "min_amount": "p.amount >= %(min_amount)s",
    "max_amount": "p.amount <= %(max_amount)s",
}
# What not every posting of an entry's asset says.
_ABOUT_ONE_POSTING = {"bucket", "min_amount", "max_amount"}
_BY_POSTING = (SortColumn("p.created_at"), SortColumn("p.entry_id", "uuid"))
_COLUMNS = """e.id, e.action_type, e.program_id, g.name AS program_name, e.description, e.event_id, e.rule_id,
    e.created_by_api_key_id, e.reference_id, e.created_at, s.sequence_number, encode(s.previous_hash, 'hex') AS previous_hash,
    encode(s.entry_hash, 'hex') AS entry_hash"""
_JOINED = "JOIN programs g ON g.id = e.program_id LEFT JOIN entry_seals s ON s.entry_id = e.id"


# These have few entries each, by an index of their own; so has each type but the most frequent one.
_SELECTIVE = ("event_id", "rule_id", "reference_id")
_FREQUENT = ActionType.CREDIT


def page(conn: Connection, organization_id: UUID, wanted: EntryFilter, keyset: Keyset) -> Slice[EntryRow]:
    """One page of the organization's entries; the keyset's columns are `e.created_at` and `e.id`."""
    names = _ENTRY_CONDITIONS | _POSTING_CONDITIONS
    given = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    given["organization"] = organization_id
    is_selective = any(name in given for name in _SELECTIVE) or given.get("action_type", _FREQUENT) != _FREQUENT
    if "entity_id" in given or (not is_selective and given.get("bucket", Bucket.AVAILABLE) != Bucket.AVAILABLE):
        select, parameters = _of_postings(given, keyset)
    elif "asset_id" in given and not is_selective:
        select, parameters = _of_asset(conn, given, keyset)
    else:
        select, parameters = _of_entries(given, keyset)
    scan_alone(conn)
    with conn.cursor(row_factory=class_row(EntryRow)) as cursor:
        # Planned for its values each time: a generic plan sorts all that a holder, a rule or a type has.
        rows = cursor.execute(select, parameters | given, prepare=False).fetchall()
    cut = keyset.cut(rows, lambda row: (row.created_at, row.id))
    _add_postings(conn, cut.rows)
    return cut


def _chosen(conditions: dict[str, str], given: dict[str, Any]) -> list[str]:
    return [condition for name, condition in conditions.items() if name in given]


def _asked_of_a_posting(given: dict[str, Any]) -> list[str]:
    return [text.replace("p.", "q.") for text in _chosen(_POSTING_CONDITIONS, given)]


def _met_by_a_posting(given: dict[str, Any]) -> list[str]:
    conditions = _asked_of_a_posting(given)
    if not conditions:
        return []
    if not given.keys() & _ABOUT_ONE_POSTING:
        # True of a posting of every entry, and said so that an asset with few entries can be looked up in `postings_report`.
        conditions.append("q.entity_id IS NOT NULL")
    return [f"EXISTS (SELECT 1 FROM postings q WHERE q.entry_id = e.id AND {' AND '.join(conditions)})"]


def _of_entries(given: dict[str, Any], keyset: Keyset) -> tuple[str, dict[str, Any]]:
    """Entries by what they say themselves."""
    after, parameters = keyset.where_sql()
    conditions = [after, "e.organization_id = %(organization)s", *_chosen(_ENTRY_CONDITIONS, given), *_met_by_a_posting(given)]
    return (
        f"""
        SELECT {_COLUMNS} FROM journal_entries e {_JOINED}
        WHERE {" AND ".join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
        """,
        parameters,
    )


def _of_postings(given: dict[str, Any], keyset: Keyset) -> tuple[str, dict[str, Any]]:
    """Entries by postings of one holder or outside AVAILABLE, which have the times of their entries."""
    keyset = replace(keyset, columns=_BY_POSTING)
    after, parameters = keyset.where_sql()
    conditions = [after, "p.organization_id = %(organization)s"]
    conditions += [*_chosen(_ENTRY_CONDITIONS, given), *_chosen(_POSTING_CONDITIONS, given)]
    conditions += [text.replace("e.", "p.") for text in _chosen(_TIMES, given)]
    return (
        f"""
        SELECT DISTINCT ON (p.created_at, p.entry_id) {_COLUMNS} FROM postings p
        JOIN journal_entries e ON e.id = p.entry_id {_JOINED}
        WHERE {" AND ".join(conditions)} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}
        """,
        parameters,
    )


# To plan a merge of more takes longer than to look up each one's latest.
MOST_MERGED = 32


def _of_asset(conn: Connection, given: dict[str, Any], keyset: Keyset) -> tuple[str, dict[str, Any]]:
    """Entries of one asset: the latest of each program that it is linked to, and of these the latest."""
    by_posting = replace(keyset, columns=_BY_POSTING)
    in_program = "AND l.program_id = %(program_id)s" if "program_id" in given else ""
    of_links = f"l.asset_id = %(asset_id)s AND l.organization_id = %(organization)s {in_program}"
    linked = conn.execute(f"SELECT l.program_id FROM program_assets l WHERE {of_links} LIMIT {MOST_MERGED + 1}", given)
    programs = {f"program_{place}": row[0] for place, row in enumerate(linked)}
    if 0 < len(programs) <= MOST_MERGED:
        # Merged as they come, no more of them are looked at than make up the page.
        latest = " UNION ALL ".join(f"({_of_pair(given, by_posting, f'%({name})s')})" for name in programs)
    else:
        programs = {}
        one = f"{_of_pair(given, by_posting, 'l.program_id')} LIMIT {keyset.fetch}"
        latest = f"SELECT one.* FROM program_assets l CROSS JOIN LATERAL ({one}) AS one WHERE {of_links}"
    return (
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT p.entry_id FROM ({latest}) AS p ORDER BY {by_posting.order_sql()} LIMIT {keyset.fetch}
        ) AS latest JOIN journal_entries e ON e.id = latest.entry_id {_JOINED} ORDER BY {keyset.order_sql()}
        """,
        by_posting.where_sql()[1] | programs,
    )


def _of_pair(given: dict[str, Any], by_posting: Keyset, program: str) -> str:
    """The entries of the asset in one program, in the page's order, by postings that cover everything about them."""
    conditions = [
        by_posting.where_sql()[0],
        f"p.asset_id = %(asset_id)s AND p.program_id = {program} AND p.entity_id IS NOT NULL",
    ]
    # What else may be asked of these entries their postings say, too.
    about_entry = {name: text for name, text in _ENTRY_CONDITIONS.items() if name in (*_TIMES, "action_type")}
    conditions += [text.replace("e.", "p.") for text in _chosen(about_entry, given)]
    if given.keys() & _ABOUT_ONE_POSTING:
        # Looked at entry by entry, as OFFSET makes sure: joined, all there are would be sorted for the few of the page.
        met = " AND ".join(_asked_of_a_posting(given))
        conditions.append(f"EXISTS (SELECT 1 FROM postings q WHERE q.entry_id = p.entry_id AND {met} OFFSET 0)")
    return f"""
        SELECT DISTINCT ON (p.created_at, p.entry_id) p.created_at, p.entry_id FROM postings p
        WHERE {" AND ".join(conditions)} ORDER BY {by_posting.order_sql()}
    """


def of_event(conn: Connection, organization_id: UUID, event_id: UUID) -> list[EntryRow]:
    """All entries that an event made, in ledger order."""
    with conn.cursor(row_factory=class_row(EntryRow)) as cursor:
        rows = cursor.execute(
            f"SELECT {_COLUMNS} FROM journal_entries e {_JOINED}"
            " WHERE e.event_id = %s AND e.organization_id = %s ORDER BY e.created_at, e.id",
            [event_id, organization_id],
        ).fetchall()
    _add_postings(conn, rows)
    return rows


def find(conn: Connection, organization_id: UUID, entry_id: UUID) -> EntryRow | None:
    """One entry of the organization."""
    with conn.cursor(row_factory=class_row(EntryRow)) as cursor:
        row = cursor.execute(
            f"SELECT {_COLUMNS} FROM journal_entries e {_JOINED} WHERE e.id = %s AND e.organization_id = %s",
            [entry_id, organization_id],
        ).fetchone()
    if row is not None:
        _add_postings(conn, [row])
    return row


def _add_postings(conn: Connection, entries: Sequence[EntryRow]) -> None:
    by_id = {entry.id: entry for entry in entries}
    parameters: list[Any] = [list(by_id)]
    with conn.cursor(row_factory=class_row(PostingRow)) as cursor:
        rows = cursor.execute(
            """
            SELECT p.entry_id, p.id, p.amount, p.asset_id, a.symbol AS asset_symbol, a.scale, p.bucket, p.entity_type,
                   p.entity_id, p.created_at
            FROM postings p JOIN assets a ON a.id = p.asset_id WHERE p.entry_id = ANY(%s) ORDER BY p.entry_id, p.ordinal
            """,
            parameters,
        )
        for row in rows:
            by_id[row.entry_id].postings.append(row)
