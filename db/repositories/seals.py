"""Seals of entries, and the entries that wait for theirs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from db.repositories import arrays
from db.session import Connection
from domain.seals import BEGINNING, EntryText, Link, Seal


@dataclass(frozen=True, slots=True)
class Mark:
    """When all transactions before `xid` are over, entries dated `moment` or earlier have been committed, or never will be."""

    moment: datetime
    xid: int


def mark(conn: Connection) -> Mark:
    """A mark of now. Entries are dated after their transaction's first write, which is what gives it its number.

    The mark takes a number itself: a snapshot doesn't know the numbers of those that began after the last one that is over.
    """
    # two statements: the moment must come before the number
    moment = conn.execute("SELECT openscrip_now()").fetchone()
    xid = conn.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert moment is not None
    assert xid is not None
    return Mark(moment[0], xid[0])


def oldest_running(conn: Connection) -> int:
    """All transactions with a smaller number are over."""
    row = conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def waiting_organizations(conn: Connection) -> list[UUID]:
    """Organizations with unsealed entries; reads one row of each."""
    rows = conn.execute(
        """
        WITH RECURSIVE found AS (
            (SELECT organization_id AS id FROM unsealed_entries ORDER BY organization_id LIMIT 1)
            UNION ALL
            SELECT next.organization_id FROM found, LATERAL (
                SELECT organization_id FROM unsealed_entries u WHERE u.organization_id > found.id
                ORDER BY organization_id LIMIT 1) AS next
        ) SELECT id FROM found
        """
    )
    return [row[0] for row in rows]


def lock_chain(conn: Connection, organization_id: UUID) -> bool:
    """Take an organization's chain until the end of the transaction; False when somebody has it."""
    row = conn.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('entry_seals', 0) # hashtextextended(%s::text, 0))", [organization_id]
    ).fetchone()
    assert row is not None
    return bool(row[0])


def head(conn: Connection, organization_id: UUID) -> Link:
    """The last place of an organization's chain."""
    row = conn.execute(
        """
        SELECT sequence_number, encode(entry_hash, 'hex') FROM entry_seals WHERE organization_id = %s
        ORDER BY sequence_number DESC LIMIT 1
        """,
        [organization_id],
    ).fetchone()
    return BEGINNING if row is None else Link(*row)


def link(conn: Connection, organization_id: UUID, sequence_number: int) -> Link:
    """A place in an organization's chain; where there is no seal, one that nothing links to."""
    row = conn.execute(
        "SELECT encode(entry_hash, 'hex') FROM entry_seals WHERE organization_id = %s AND sequence_number = %s",
        [organization_id, sequence_number],
    ).fetchone()
    return Link(sequence_number, "" if row is None else row[0])


def span(conn: Connection, organization_id: UUID, since: datetime, until: datetime) -> tuple[int, int] | None:
    """The first and the last number of seals of entries dated from `since` on and before `until`; None without one."""
    row = conn.execute(
        """
        SELECT min(s.sequence_number), max(s.sequence_number) FROM journal_entries e JOIN entry_seals s ON s.entry_id = e.id
        WHERE e.organization_id = %s AND e.created_at >= %s AND e.created_at < %s
        """,
        [organization_id, since, until],
    ).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1])


def unsealed(conn: Connection, organization_id: UUID, until: datetime, limit: int) -> dict[str, datetime]:
    """An organization's oldest unsealed entries dated `until` at the latest: their ids, oldest first, with their dates."""
    rows = conn.execute(
        """
        SELECT entry_id::text, created_at FROM unsealed_entries WHERE organization_id = %s AND created_at <= %s
        ORDER BY created_at, entry_id LIMIT %s
        """,
        [organization_id, until, limit],
    )
    return {row[0]: row[1] for row in rows}


def append(conn: Connection, organization_id: UUID, seals: Sequence[tuple[Seal, datetime]]) -> None:
    """Write seals, which follow the head of the locked chain, and take their entries, each with its date, off the list."""
    ids, numbers, previous, hashes = zip(*(seal for seal, _ in seals), strict=True)
    conn.execute(
        """
        WITH new AS MATERIALIZED (
            SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
                AS new (entry_id, sequence_number, previous_hash, entry_hash, created_at)
        ), sealed AS (
            INSERT INTO entry_seals (organization_id, entry_id, sequence_number, previous_hash, entry_hash)
            SELECT %s, entry_id, sequence_number, decode(previous_hash, 'hex'), decode(entry_hash, 'hex') FROM new
        )
        DELETE FROM unsealed_entries u USING new
        WHERE u.organization_id = %s AND u.created_at = new.created_at AND u.entry_id = new.entry_id
        """,
        [
            arrays.words(ids),
            arrays.numbers(numbers),
            arrays.words(previous),
            arrays.words(hashes),
            arrays.moments(created_at for _, created_at in seals),
            organization_id,
            organization_id,
        ],
        prepare=True,
    )


def entries(conn: Connection, organization_id: UUID, ids: Iterable[str]) -> dict[str, EntryText]:
    """Entries of an organization by their ids, in the words that are hashed; ids without an entry are left out.

    Their postings come by the entry, whatever organization they say they are of, and an amount with more decimals than its
    asset has is not rounded.
    """
    wanted = arrays.words(ids)
    with conn.cursor(row_factory=class_row(EntryText)) as cursor:
        rows = cursor.execute(
            """
            SELECT id::text, organization_id::text, program_id::text, action_type, description, event_id::text, rule_id::text,
                   created_by_api_key_id::text, reference_id,
                   to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at, '{}'::text[] AS postings
            FROM journal_entries WHERE organization_id = %s AND id = ANY(%s::uuid[])
            """,
            [organization_id, wanted],
            prepare=True,
        ).fetchall()
    found = {row.id: row for row in rows}
    for entry_id, *texts in conn.execute(
        """
        SELECT p.entry_id::text, p.id::text, p.entity_type, p.entity_id::text, p.asset_id::text, p.bucket,
               CASE WHEN p.amount = round(p.amount, a.scale) THEN round(p.amount, a.scale) ELSE p.amount END::text
        FROM postings p LEFT JOIN assets a ON a.id = p.asset_id
        WHERE p.entry_id = ANY(%s::uuid[]) ORDER BY p.entry_id, p.ordinal
        """,
        [wanted],
        prepare=True,
    ):
        if entry_id in found:
            found[entry_id].postings.append(dict(zip(_POSTING, texts, strict=True)))
    return found


_POSTING = ("id", "entity_type", "entity_id", "asset_id", "bucket", "amount")


def page(conn: Connection, organization_id: UUID, after: int, limit: int) -> list[Seal]:
    """Seals of an organization after a sequence number, in sequence."""
    rows = conn.execute(
        """
        SELECT entry_id::text, sequence_number, encode(previous_hash, 'hex'), encode(entry_hash, 'hex') FROM entry_seals
        WHERE organization_id = %s AND sequence_number > %s ORDER BY sequence_number LIMIT %s
        """,
        [organization_id, after, limit],
    )
    return [Seal(*row) for row in rows]
