"""What processing reads and writes: holders, programs, assets; outcomes, states, histories. All set-based."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.repositories import arrays
from db.session import Connection, dumps
from domain.ledger.accounts import AssetTerms, EntityType
from domain.processing.process import Outcome
from domain.processing.world import Holder, Membership, Program, RecordedChange
from domain.state import EntityState, counters_from_json, counters_to_json


def clock(conn: Connection) -> datetime:
    """The product's clock; a posting transaction asks once, when it holds its locks."""
    row: Any = conn.execute("SELECT openscrip_now()").fetchone()
    moment: datetime = row[0]
    return moment


# ------------------------------------------------------------------- holders
@dataclass(frozen=True, slots=True)
class LoadedHolder:
    """A locked holder with its state."""

    holder: Holder
    state: EntityState
    is_watched: bool = False
    """Whether a THRESHOLD subscription waits for changes of its counters."""


def lock_holders_at_once(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> set[UUID]:
    """Lock an organization's holders out of order, but only those nobody else has: it never waits, so it can't deadlock."""
    rows = conn.execute(
        "SELECT id FROM holders WHERE id = ANY(%s::uuid[]) AND organization_id = %s ORDER BY id FOR UPDATE SKIP LOCKED",
        [arrays.uuids(holder_ids), organization_id],
    )
    return {row[0] for row in rows}


def existing_holders(conn: Connection, organization_id: UUID, holder_ids: Collection[UUID]) -> set[UUID]:
    """Which of these ids are holders of the organization at all."""
    rows = conn.execute(
        "SELECT id FROM holders WHERE id = ANY(%s::uuid[]) AND organization_id = %s", [arrays.uuids(holder_ids), organization_id]
    )
    return {row[0] for row in rows}


def load_holders(conn: Connection, holder_ids: Collection[UUID], *, with_programs: bool) -> list[LoadedHolder]:
    """The participants and groups among `holder_ids`; the caller has locked them."""
    programs = """ARRAY(SELECT program_id FROM enrollments e WHERE e.participant_id = h.id AND e.status <> 'CLOSED'
        ORDER BY enrolled_at, program_id)"""
    rows = conn.execute(
        f"""
        SELECT h.id, h.organization_id, p.external_id, p.status, p.created_at, h.tags, h.counters, h.attributes,
               {programs if with_programs else "NULL::uuid[]"},
               EXISTS (SELECT 1 FROM automation_subscriptions s
                       WHERE s.participant_id = h.id AND s.is_met IS NOT NULL AND s.status = 'active')
        FROM holders h JOIN participants p USING (id) WHERE h.id = ANY(%s::uuid[])
        """,
        [arrays.uuids(holder_ids)],
    )
    found = [_loaded(row) for row in rows]
    others = set(holder_ids) - {loaded.holder.id for loaded in found}
    return [*found, *_load_groups(conn, others)] if others else found


def _load_groups(conn: Connection, holder_ids: Collection[UUID]) -> list[LoadedHolder]:
    rows = conn.execute(
        """
        SELECT h.id, h.organization_id, g.status, g.created_at, g.name, h.tags, h.counters, h.attributes
        FROM holders h JOIN groups g USING (id) WHERE h.id = ANY(%s::uuid[])
        """,
        [arrays.uuids(holder_ids)],
    )
    return [
        LoadedHolder(Holder(row[0], row[1], EntityType.GROUP, "", row[2], row[3], name=row[4]), _state(row[5], row[6], row[7]))
        for row in rows
    ]


def memberships(conn: Connection, participant_ids: Collection[UUID]) -> dict[UUID, tuple[Membership, ...]]:
    """The ACTIVE groups of participants, oldest membership first."""
    rows = conn.execute(
        """
        SELECT m.participant_id, m.group_id, m.role FROM group_members m JOIN groups g ON g.id = m.group_id
        WHERE m.participant_id = ANY(%s::uuid[]) AND m.status = 'ACTIVE' AND g.status = 'ACTIVE'
        ORDER BY m.participant_id, m.joined_at, m.group_id
        """,
        [arrays.uuids(participant_ids)],
    )
    found: dict[UUID, tuple[Membership, ...]] = {}
    for participant_id, group_id, role in rows:
        found[participant_id] = (*found.get(participant_id, ()), Membership(group_id, role))
    return found


def _loaded(row: tuple[Any, ...]) -> LoadedHolder:
    holder = Holder(row[0], row[1], EntityType.PARTICIPANT, row[2], row[3], row[4], tuple(row[8] or ()))
    return LoadedHolder(holder, _state(row[5], row[6], row[7]), row[9])


def _state(tags: list[str], counters: dict[str, object], attributes: dict[str, str]) -> EntityState:
    return EntityState(frozenset(tags), counters_from_json(counters), attributes)


def active_enrollments(
    conn: Connection, participant_ids: Collection[UUID], program_ids: Collection[UUID]
) -> set[tuple[UUID, UUID]]:
    """Pairs of participant and program with an ACTIVE enrolment."""
    rows = conn.execute(
        "SELECT participant_id, program_id FROM enrollments"
        " WHERE participant_id = ANY(%s::uuid[]) AND program_id = ANY(%s::uuid[]) AND status = 'ACTIVE'",
        [arrays.uuids(participant_ids), arrays.uuids(program_ids)],
    )
    return {(row[0], row[1]) for row in rows}


def programs_once_enrolled(conn: Connection, participant_ids: Collection[UUID], program_id: UUID) -> dict[UUID, tuple[UUID, ...]]:
    """The programs of each participant as they will be when it is enrolled in this one as well."""
    rows = conn.execute(
        """
        SELECT wanted.id, ARRAY(SELECT program_id FROM enrollments e
            WHERE e.participant_id = wanted.id AND (e.status <> 'CLOSED' OR e.program_id = %s) ORDER BY enrolled_at, program_id)
        FROM unnest(%s::uuid[]) AS wanted (id)
        """,
        [program_id, arrays.uuids(participant_ids)],
    )
    return {row[0]: tuple(row[1]) if program_id in row[1] else (*row[1], program_id) for row in rows}


def find_external_ids(conn: Connection, names: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], UUID]:
    """Participants' ids by (organization, external id)."""
    rows = conn.execute(
        """
        SELECT p.organization_id, p.external_id, p.id
        FROM unnest(%s::uuid[], %s::text[]) AS wanted (organization_id, external_id)
        JOIN participants p USING (organization_id, external_id)
        """,
        [arrays.uuids(name[0] for name in names), arrays.texts(name[1] for name in names)],
    )
    return {(row[0], row[1]): row[2] for row in rows}


# ------------------------------------------------------------------ programs
def load_programs(conn: Connection, program_ids: Collection[UUID]) -> list[Program]:
    """Programs with the assets linked to them, in order of linking."""
    rows = conn.execute(
        """
        SELECT p.id, p.organization_id, p.name,
               ARRAY(SELECT asset_id FROM program_assets a WHERE a.program_id = p.id ORDER BY linked_at, asset_id),
               EXISTS (SELECT 1 FROM tiers t WHERE t.organization_id = p.organization_id)
        FROM programs p WHERE p.id = ANY(%s::uuid[])
        """,
        [arrays.uuids(program_ids)],
    )
    return [Program(row[0], row[1], row[2], tuple(row[3]), row[4]) for row in rows]


def load_assets(conn: Connection, asset_ids: Collection[UUID]) -> dict[UUID, AssetTerms]:
    """The terms of these assets, whoever owns them: a lane serves all organizations."""
    rows = conn.execute(
        """
        SELECT id, symbol, scale, inventory_mode = 'LOT', issuance_policy = 'PREFUNDED', max_transaction_amount,
               status = 'ARCHIVED', organization_id
        FROM assets WHERE id = ANY(%s::uuid[])
        """,
        [arrays.uuids(asset_ids)],
    )
    return {row[0]: AssetTerms(*row) for row in rows}


def load_program_states(conn: Connection, program_ids: Collection[UUID], *, lock: bool) -> dict[UUID, tuple[EntityState, int]]:
    """Program states with their versions; `lock` takes the rows, in id order, as hot rows come last."""
    rows = conn.execute(
        f"""
        SELECT program_id, tags, counters, attributes, version FROM program_states
        WHERE program_id = ANY(%s::uuid[]) ORDER BY program_id {"FOR UPDATE" if lock else ""}
        """,
        [arrays.uuids(program_ids)],
    )
    return {row[0]: (_state(row[1], row[2], row[3]), row[4]) for row in rows}


# ------------------------------------------------------------------- writing
def write_holder_states(conn: Connection, states: Sequence[tuple[UUID, EntityState]], now: datetime) -> None:
    """Replace the states of locked holders."""
    conn.execute(
        """
        UPDATE holders h SET tags = new.tags::text[], counters = new.counters::jsonb, attributes = new.attributes::jsonb,
               state_changed_at = %s
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS new (id, tags, counters, attributes)
        WHERE h.id = new.id
        """,
        [now, *_state_columns(states)],
    )


def write_program_states(conn: Connection, states: Sequence[tuple[UUID, EntityState]], versions: dict[UUID, int]) -> bool:
    """Replace program states that are still at the version they were read at; False when one has moved on."""
    done = conn.execute(
        """
        UPDATE program_states s SET tags = new.tags::text[], counters = new.counters::jsonb, attributes = new.attributes::jsonb,
               version = s.version + 1
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bigint[]) AS new (id, tags, counters, attributes, version)
        WHERE s.program_id = new.id AND s.version = new.version
        """,
        [*_state_columns(states), arrays.numbers(versions[id_] for id_, _ in states)],
    )
    return done.rowcount == len(states)


def _state_columns(states: Sequence[tuple[UUID, EntityState]]) -> list[str]:
    return [
        arrays.uuids(id_ for id_, _ in states),
        arrays.texts(arrays.texts(sorted(state.tags)) for _, state in states),
        arrays.texts(dumps(counters_to_json(state.counters)) for _, state in states),
        arrays.texts(dumps(dict(state.attributes)) for _, state in states),
    ]


def write_history(conn: Connection, changes: Sequence[RecordedChange], ids: Sequence[UUID]) -> None:
    """Append rows to the state history."""
    columns = [
        arrays.uuids(ids),
        arrays.uuids(change.event.organization_id for change in changes),
        arrays.words(change.owner.value for change in changes),
        arrays.uuids(change.owner_id for change in changes),
        arrays.words(change.change.state_type for change in changes),
        arrays.texts(change.change.key for change in changes),
        arrays.words(change.change.operation for change in changes),
        arrays.texts(change.change.old_value for change in changes),
        arrays.texts(change.change.new_value for change in changes),
        arrays.moments(change.at for change in changes),
        arrays.uuids(change.event.id for change in changes),
        arrays.moments(change.event.timestamp for change in changes),
        arrays.uuids(change.rule_id for change in changes),
        arrays.uuids(change.event.program_id for change in changes),
    ]
    conn.execute(
        """
        INSERT INTO state_history (id, organization_id, entity_type, entity_id, state_type, key, operation, old_value, new_value,
                                   changed_at, event_id, event_timestamp, rule_id, program_id)
        SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[],
                             %s::text[], %s::timestamptz[], %s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[])
        """,
        columns,
        prepare=True,
    )


def write_outcomes(conn: Connection, outcomes: Sequence[Outcome]) -> None:
    """Store what became of events, and which rules matched them."""
    conn.execute(
        """
        INSERT INTO event_outcomes (event_id, created_at, organization_id, program_id, participant_id, status, error_code,
                                    error_message, processed_at, rule_set_id, evaluations)
        SELECT event_id, created_at, organization_id, program_id, participant_id, status, error_code, error_message, processed_at,
               rule_set_id, evaluations::json
        FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[],
                    %s::text[], %s::timestamptz[], %s::bigint[], %s::text[])
            AS new (event_id, created_at, organization_id, program_id, participant_id, status, error_code, error_message,
                    processed_at, rule_set_id, evaluations)
        """,
        _outcome_columns(outcomes),
        prepare=True,
    )
    matches = [(rule_id, outcome.event) for outcome in outcomes for rule_id in outcome.matched_rule_ids]
    if matches:
        conn.execute(
            "INSERT INTO rule_matches SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[])",
            [
                arrays.uuids(rule_id for rule_id, _ in matches),
                arrays.moments(event.created_at for _, event in matches),
                arrays.uuids(event.id for _, event in matches),
            ],
            prepare=True,
        )


def _outcome_columns(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        arrays.uuids(outcome.event.id for outcome in outcomes),
        arrays.moments(outcome.event.created_at for outcome in outcomes),
        arrays.uuids(outcome.event.organization_id for outcome in outcomes),
        arrays.uuids(outcome.event.program_id for outcome in outcomes),
        arrays.uuids(outcome.event.participant_id for outcome in outcomes),
        arrays.words(outcome.status for outcome in outcomes),
        arrays.texts(outcome.error_code for outcome in outcomes),
        arrays.texts(outcome.error_message for outcome in outcomes),
        arrays.moments(outcome.processed_at for outcome in outcomes),
        arrays.numbers(outcome.rule_set_id or None for outcome in outcomes),
        arrays.texts(dumps(outcome.record.pack()) for outcome in outcomes),
    ]


def ensure_partitions(conn: Connection) -> None:
    """Make the partitions of this month and the next two, where they are missing."""
    conn.execute("SELECT ensure_partitions(openscrip_now())")
