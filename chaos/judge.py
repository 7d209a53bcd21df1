"""All invariants, each by its name, on the quiet database after a run."""

import re
from collections import Counter, defaultdict
from contextlib import closing
from uuid import UUID

from chaos.answers import Connection, check_answers, check_events
from chaos.checks import CHECKS
from chaos.clients import Caller, Log
from chaos.stack import Stack
from db.session import Database
from services.invariants import violations
from tests.support.message_book import assert_told
from tests.support.receiver import Received, Receiver

FEW = 3
SAMPLED_EVENTS = 40
PAGE = 200


def judge(stack: Stack, log: Log, caller: Caller, organization_id: UUID, receiver: Receiver) -> None:
    """Look at everything; what doesn't hold is added to the violations of the log."""
    with stack.connect() as connection:
        for name, query in CHECKS:
            for row in connection.execute(query).fetchmany(FEW):
                log.violate(name, ", ".join(map(str, row)))
        check_answers(log, connection)
        check_events(log, connection)
        _check_receiver(log, connection, receiver)
        _check_impact(log, connection, caller)
        _check_lists(log, connection, caller)
    with closing(Database(stack.postgres.dsn, pool_size=1)) as database:
        with database.session() as session:
            for found in violations(session, organization_id, limit=FEW):
                log.violate(found.check.name, str(found))
        try:
            assert_told(database, organization_id)
        except AssertionError as error:
            log.violate("21 messages say what the books say", str(error)[:500])
    _check_servers(log, stack)


def _check_receiver(log: Log, connection: Connection, receiver: Receiver) -> None:
    """At least once, with one id and the same bytes; nothing of what was rolled back."""
    got: dict[tuple[str, str], list[Received]] = defaultdict(list)
    for received in receiver.received:
        got[received.path.rsplit("/", 1)[-1], received.headers["webhook-id"]].append(received)
    stored = {str(id_) for (id_,) in connection.execute("SELECT id FROM webhook_messages")}
    strange = {id_ for _, id_ in got} - stored
    if strange:
        log.violate("21 no message of what was rolled back", f"{len(strange)} ids, first {min(strange)}")
    delivered = connection.execute(
        """SELECT split_part(w.url, '/hooks/', 2), d.webhook_event_id FROM webhook_deliveries d
        JOIN webhook_endpoints w ON w.id = d.webhook_endpoint_id WHERE d.status = 'DELIVERED'"""
    )
    missing = [(name, str(id_)) for name, id_ in delivered if (name, str(id_)) not in got]
    if missing:
        log.violate("21 each delivered message has arrived", f"{len(missing)}, first {missing[0]}")
    changed = [place for place, copies in got.items() if len({copy.body for copy in copies}) > 1]
    if changed:
        log.violate("21 each attempt sends the same bytes", f"{len(changed)}, first {changed[0]}")


def _check_impact(log: Log, connection: Connection, caller: Caller) -> None:
    """The impact of an event lists exactly the entries written for it."""
    events = connection.execute(
        "SELECT event_id FROM event_outcomes WHERE status = 'COMPLETED' ORDER BY md5(event_id::text) LIMIT %s", [SAMPLED_EVENTS]
    ).fetchall()
    for (event_id,) in events:
        written = {str(id_) for (id_,) in connection.execute("SELECT id FROM journal_entries WHERE event_id = %s", [event_id])}
        response = caller.get(f"/v1/events/{event_id}/impact")
        if response is None or not response.is_success:
            log.violate("19 an event's impact can be read", f"{event_id}: {response and response.text}")
            continue
        told = [entry["id"] for entry in response.json()["journal_entries"]]
        if Counter(told) != Counter(written):
            log.violate("19 an event's impact lists exactly the entries written", f"{event_id}: {told} for {written}")


def _check_lists(log: Log, connection: Connection, caller: Caller) -> None:
    """Pages show each row once."""
    for table, path in (("journal_entries", "/v1/journal-entries"), ("events", "/v1/events")):
        stored = Counter(str(id_) for (id_,) in connection.execute(f"SELECT id FROM {table}"))
        listed: Counter[str] = Counter()
        cursor: str | None = ""
        while cursor is not None:
            response = caller.get(f"{path}?limit={PAGE}" + (f"&cursor={cursor}" if cursor else ""))
            if response is None or not response.is_success:
                log.violate("23 lists return each row once", f"{path}: {response and response.text}")
                break
            page = response.json()
            listed.update(row["id"] for row in page["data"])
            cursor = page["pagination"]["next_cursor"]
        if listed != stored:
            difference = sorted((listed - stored) + (stored - listed))
            log.violate("23 lists return each row once", f"{path}: {len(difference)} differ, first {difference[:FEW]}")


def _check_servers(log: Log, stack: Stack) -> None:
    """Nobody ran into a deadlock, no constraint or trigger had to stop anybody, and nothing failed for reasons unknown."""
    found = (stack.logs / "postgres.log").read_text(errors="replace")
    for sign in (r"deadlock detected", r"violates check constraint", r"would be oversold", r"does not sum to zero"):
        lines = [line for line in found.splitlines() if re.search(sign, line)]
        if lines:
            log.violate("no deadlock, and no last line of defence was needed", lines[0][:300])
