"""What holders' postings sum to by type of entry, asset and program, in the periods of a window (reporting.md, 2 and 5)."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from db.repositories.reports import Pair, Sums
from db.session import Connection
from domain.ledger.accounts import NIL, EntityType
from domain.reports.lines import BY_ENTRY, Change


class Period(IntEnum):
    """Where a posting lies by a window; without a window everything is WITHIN."""

    BEFORE = 0
    WITHIN = 1
    AFTER = 2


class Movement(NamedTuple):
    """What entries of one type changed in one direction, in one period."""

    period: Period
    change: Change


def movements_of(
    conn: Connection, wanted: Sums, from_: datetime | None = None, to: datetime | None = None
) -> dict[Pair, list[Movement]]:
    """What holders' postings sum to by period, type of entry, and direction.

    A SETTLE is summed by entry first: whether it is issue or return is told by what it changes in all.
    """
    return _summed(conn, wanted, from_, to, None).moved


def movements_and_participants(
    conn: Connection, wanted: Sums, from_: datetime | None, to: datetime | None
) -> tuple[dict[Pair, list[Movement]], dict[UUID, int]]:
    """The movements, and how many participants' postings don't sum to zero, by asset."""
    if wanted.program_ids is None:
        return movements_of(conn, wanted, from_, to), _participants_by_balance(conn, wanted)
    return _summed(conn, wanted, from_, to, wanted.program_ids)


class _Summed(NamedTuple):
    moved: dict[Pair, list[Movement]]
    participants: dict[UUID, int]


# More would take longer to plan than what they save.
MOST_BRANCHES = 100


def _summed(
    conn: Connection, wanted: Sums, from_: datetime | None, to: datetime | None, of_programs: Sequence[UUID] | None
) -> _Summed:
    """The movements; `of_programs`: and the participants who have something by the entries of these."""
    branches = _Branches(wanted)
    periods = _periods(from_, to)
    pairs = _pairs(conn, wanted)
    if len(pairs) * len(periods) <= MOST_BRANCHES:
        for pair in pairs:
            branches.add_pair(pair, periods)
    else:
        branches.add_all_pairs(periods)
    if of_programs is not None:
        for asset_id in {pair.asset_id for pair in pairs}:
            branches.add_participants(asset_id)
    return branches.sum_up(conn, {"from": from_, "to": to}) if pairs else _Summed({}, {})


def _pairs(conn: Connection, wanted: Sums) -> list[Pair]:
    rows = conn.execute(f"SELECT l.asset_id, l.program_id FROM program_assets l WHERE {wanted.links}", wanted.parameters)
    return [Pair(*row) for row in rows]


class _Branches:
    """One statement's parts, which the server shares out to its processes where they name what they are of.

    It does so only while all have the very same types of columns.
    """

    def __init__(self, wanted: Sums) -> None:
        self._wanted = wanted
        self._texts: list[str] = []
        self._parameters = wanted.parameters

    def add_pair(self, pair: Pair, periods: dict[Period, str]) -> None:
        """One pair's sums, period by period: each is one stretch of the index, and so not asked of each posting."""
        asset, program = self._name(pair.asset_id), self._name(pair.program_id)
        for period, condition in periods.items():
            of_pair = f"p.asset_id = {asset} AND p.program_id = {program} AND {condition}"
            self._texts.append(
                f"SELECT {asset} AS asset_id, {program} AS program_id, {period:d} AS period, {self._sums(of_pair)}"
            )

    def add_all_pairs(self, periods: dict[Period, str]) -> None:
        """The same for however many pairs, one after the other."""
        for period, condition in periods.items():
            of_pair = f"p.asset_id = l.asset_id AND p.program_id = l.program_id AND {condition}"
            self._texts.append(f"""
                SELECT l.asset_id, l.program_id, {period:d} AS period, of_pair.*
                FROM program_assets l CROSS JOIN LATERAL (SELECT {self._sums(of_pair)}) AS of_pair WHERE {self._wanted.links}
            """)

    def add_participants(self, asset_id: UUID) -> None:
        """How many participants have something of an asset by the programs' entries, in a row that has no period."""
        asset = self._name(asset_id)
        self._texts.append(f"""
            SELECT {asset} AS asset_id, NULL::uuid, NULL::int, NULL::text, {asset} AS entry, count(*)::numeric, 0::numeric FROM (
                SELECT p.entity_id FROM postings p
                WHERE p.asset_id = {asset} AND p.program_id = ANY(%(programs)s) AND {self._wanted.of_pair}
                  AND p.entity_type = '{EntityType.PARTICIPANT}'
                GROUP BY p.entity_id HAVING sum(p.amount) <> 0
            ) AS owners
        """)

    def _name(self, value: UUID) -> str:
        name = f"id_{len(self._parameters)}"
        self._parameters[name] = value
        return f"%({name})s::uuid"

    def _sums(self, of_pair: str) -> str:
        # The statistics `postings_settle` tell the planner how few groups there are by the entry.
        by_entry = f"CASE WHEN p.action_type = '{BY_ENTRY}' THEN p.entry_id END"
        return f"""
            p.action_type, {by_entry} AS entry,
            sum(p.amount) AS amount, coalesce(sum(p.amount) FILTER (WHERE p.amount < 0), 0) AS lost
            FROM postings p WHERE {of_pair} AND {self._wanted.of_pair} GROUP BY p.action_type, {by_entry}
        """

    def sum_up(self, conn: Connection, bounds: dict[str, datetime | None]) -> _Summed:
        """Ask the server."""
        rows = conn.execute(
            f"""
            SELECT asset_id, program_id, period, action_type, sum(part) FROM ({" UNION ALL ".join(self._texts)}) AS summed
            CROSS JOIN LATERAL (VALUES (CASE WHEN entry IS NULL THEN amount - lost ELSE amount END),
                                       (CASE WHEN entry IS NULL THEN lost END)) AS parts (part)
            WHERE part <> 0 GROUP BY asset_id, program_id, period, action_type, part > 0
            """,
            self._parameters | bounds,
            prepare=False,
        )
        summed = _Summed(defaultdict(list), {})
        for asset_id, program_id, period, action_type, amount in rows:
            if period is None:
                summed.participants[asset_id] = int(amount)
            else:
                summed.moved[Pair(asset_id, program_id)].append(Movement(Period(period), Change(action_type, amount)))
        return summed


def _periods(from_: datetime | None, to: datetime | None) -> dict[Period, str]:
    """The condition on `postings p` of each period that there is."""
    periods = {Period.BEFORE: "p.created_at < %(from)s"} if from_ is not None else {}
    since = "TRUE" if from_ is None else "p.created_at >= %(from)s"
    if to is None:
        return periods | {Period.WITHIN: since}
    return periods | {Period.WITHIN: f"{since} AND p.created_at <= %(to)s", Period.AFTER: "p.created_at > %(to)s"}


def _participants_by_balance(conn: Connection, wanted: Sums) -> dict[UUID, int]:
    """Over all programs that is told by their balances, which are written with the postings."""
    rows = conn.execute(
        """
        SELECT asset_id, count(*) FROM balances WHERE asset_id = ANY(%(assets)s) AND organization_id = %(organization)s
          AND program_id = %(nil)s AND available + held + deferred <> 0 GROUP BY asset_id
        """,
        wanted.parameters | {"nil": NIL},
    )
    return dict(rows.fetchall())
