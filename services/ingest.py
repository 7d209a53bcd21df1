"""Accepting events (events-rules.md 2.1): checked, stored and queued, many submissions in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from db.repositories import ingest as rows
from db.session import Connection
from domain.errors import DomainError, ProgramInactive, not_found
from domain.lanes import lane_of
from domain.messages.participants import Newcomer
from runtime.ids import new_id
from services import outbox
from services.messages.participants import record_newcomers

TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Submission:
    """One event as a client sent it, its form checked; exactly one of `external_id` and `participant_id` is set."""

    organization_id: UUID
    program_id: UUID
    idempotency_key: str
    event_timestamp: datetime
    event_data: str
    external_id: str | None = None
    participant_id: UUID | None = None
    recipient_id: UUID | None = None
    recipient_external_id: str | None = None
    trace_parent: str | None = None
    id: UUID = field(init=False)
    """The event's id: its identity is program and key."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", uuid5(self.program_id, self.idempotency_key))


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that is stored; `replayed` when it was before, `lane` is set for a new one."""

    event: rows.KnownEvent
    replayed: bool
    lane: int | None = None


Result = Accepted | DomainError


def accept(conn: Connection, submissions: Sequence[Submission], lanes: int) -> list[Result]:
    """Accept each submission or say why not, in order; nothing of a refused one is stored.

    Creates unknown participants where the program allows it, and enrols subjects and recipients. The caller commits, and
    wakes the lanes of what is new.
    """
    named = look_up(conn, submissions)
    verdicts = [_check(submission, named) for submission in submissions]
    sound = [submission for submission, verdict in zip(submissions, verdicts, strict=True) if verdict is None]
    stored = _store(conn, sound, named, lanes) if sound else {}
    results: list[Result] = []
    answered: set[UUID] = set()
    for submission, verdict in zip(submissions, verdicts, strict=True):
        results.append(verdict or _first_or_replay(stored[submission.id], answered))
    return results


def _first_or_replay(accepted: Accepted, answered: set[UUID]) -> Accepted:
    """The second item with one key in one group is a replay of the first."""
    if accepted.event.id in answered:
        return Accepted(accepted.event, replayed=True)
    answered.add(accepted.event.id)
    return accepted


def look_up(conn: Connection, submissions: Sequence[Submission]) -> rows.Named:
    """Everything that the submissions name."""
    external_ids = {
        (submission.organization_id, name)
        for submission in submissions
        for name in (submission.external_id, submission.recipient_external_id)
        if name is not None
    }
    participant_ids = {
        id_ for submission in submissions for id_ in (submission.participant_id, submission.recipient_id) if id_ is not None
    }
    return rows.look_up(
        conn,
        program_ids={submission.program_id for submission in submissions},
        event_ids={submission.id for submission in submissions},
        participant_ids=participant_ids,
        external_ids=external_ids,
    )


def _check(submission: Submission, named: rows.Named) -> Result | None:
    """The first fault, or the original event of a known key, or None for a sound new event."""
    known = named.events.get(submission.id)
    if known is not None and known.organization_id == submission.organization_id:
        return Accepted(known, replayed=True)
    return refusal_of(submission, named)


def refusal_of(submission: Submission, named: rows.Named) -> DomainError | None:
    """Why a new event can't be taken: something it names isn't there, or its program isn't ACTIVE."""
    organization_id = submission.organization_id
    program = named.programs.get(submission.program_id)
    if program is None or program.organization_id != organization_id:
        return not_found("program", submission.program_id, "program_id")
    for name, id_ in (("participant_id", submission.participant_id), ("recipient_id", submission.recipient_id)):
        if id_ is not None and ((found := named.by_id.get(id_)) is None or found.organization_id != organization_id):
            return not_found("participant", id_, name)
    if program.on_unknown_participant == "REJECT":
        names = (("external_id", submission.external_id), ("recipient_external_id", submission.recipient_external_id))
        for name, external_id in names:
            if external_id is not None and (organization_id, external_id) not in named.by_external_id:
                return not_found("participant", external_id, name)
    if program.status != "ACTIVE":
        return ProgramInactive(program_id=str(program.id), status=program.status)
    return None


def _store(conn: Connection, sound: Sequence[Submission], named: rows.Named, lanes: int) -> dict[UUID, Accepted]:
    people = _people(conn, sound, named)
    events: dict[UUID, rows.NewEvent] = {}
    enrolments: set[tuple[UUID, UUID, UUID]] = set()
    for submission in sound:
        if submission.id in events:
            continue
        event = _new_event(submission, people, named, len(events), lanes)
        events[event.id] = event
        involved = {id_ for id_ in (event.participant_id, event.recipient_id) if id_ is not None}
        enrolments |= {(participant_id, event.program_id, event.organization_id) for participant_id in involved}
    rows.enroll(conn, sorted(enrolments), named.now)
    fresh = rows.insert_events(conn, list(events.values()))
    taken = rows.known_events(conn, events.keys() - fresh) if len(fresh) < len(events) else {}
    return {
        id_: Accepted(_as_known(event), replayed=False, lane=event.lane) if id_ in fresh else Accepted(taken[id_], replayed=True)
        for id_, event in events.items()
    }


def _people(conn: Connection, sound: Sequence[Submission], named: rows.Named) -> dict[tuple[UUID, str], rows.ParticipantRow]:
    wanted = {
        (submission.organization_id, name)
        for submission in sound
        for name in (submission.external_id, submission.recipient_external_id)
        if name is not None
    }
    unknown = sorted(wanted - named.by_external_id.keys())
    if not unknown:
        return named.by_external_id
    ids = {new_id(): pair for pair in unknown}
    with conn.pipeline():
        answer = outbox.look_up(conn, {organization_id for organization_id, _ in unknown})
        found = rows.create_participants(conn, [(id_, *pair) for id_, pair in ids.items()], named.now)
    if audience := answer():
        created = {pair for pair, person in found.items() if person.id in ids}
        record_newcomers(conn, audience, _newcomers(sound, {pair: found[pair] for pair in created}, named.now))
    return named.by_external_id | found


def _newcomers(
    sound: Sequence[Submission], created: dict[tuple[UUID, str], rows.ParticipantRow], now: datetime
) -> list[Newcomer]:
    """Each of them with the first event that names it."""
    newcomers = []
    for submission in sound:
        for name in (submission.external_id, submission.recipient_external_id):
            person = created.pop((submission.organization_id, name), None) if name is not None else None
            if person is not None:
                where = (now, submission.program_id, submission.id)
                newcomers.append(Newcomer(person.id, person.organization_id, person.external_id, *where))
    return newcomers


def _new_event(
    submission: Submission,
    people: dict[tuple[UUID, str], rows.ParticipantRow],
    named: rows.Named,
    position: int,
    lanes: int,
) -> rows.NewEvent:
    organization_id = submission.organization_id

    def resolve(id_: UUID | None, name: str | None) -> rows.ParticipantRow | None:
        if id_ is not None:
            return named.by_id[id_]
        return None if name is None else people[organization_id, name]

    participant = resolve(submission.participant_id, submission.external_id)
    recipient = resolve(submission.recipient_id, submission.recipient_external_id)
    assert participant is not None
    return rows.NewEvent(
        id=submission.id,
        organization_id=organization_id,
        program_id=submission.program_id,
        participant_id=participant.id,
        external_id=participant.external_id,
        recipient_id=None if recipient is None else recipient.id,
        idempotency_key=submission.idempotency_key,
        event_data=submission.event_data,
        event_timestamp=submission.event_timestamp,
        created_at=named.now + position * TICK,
        lane=lane_of(participant.id, lanes),
        trace_parent=submission.trace_parent,
    )


def _as_known(event: rows.NewEvent) -> rows.KnownEvent:
    return rows.KnownEvent(
        event.id,
        event.organization_id,
        event.program_id,
        event.participant_id,
        event.external_id,
        event.idempotency_key,
        event.event_timestamp,
        "RECEIVED",
    )
