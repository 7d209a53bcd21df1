"""Operations whose outcome nobody knows are repeated with their keys: each was done whole, or is done now, or leaves nothing."""

import time
from collections import Counter
from uuid import UUID, uuid5

import psycopg

from chaos.clients import Caller, Fate, Log, Outcome
from chaos.request import Request

ATTEMPTS = 30
GAP_SECONDS = 0.3
CHECK = "10 an unknown outcome is whole or nothing"
# Repeating these would do them again.
NOT_REPEATABLE = ("trigger", "cancel", "event retry", "event retry all", "retry delivery", "reset budget")


def resolve(log: Log, caller: Caller, connection: psycopg.Connection[tuple[object, ...]]) -> Counter[str]:
    """Repeat every unknown operation; returns how they ended."""
    ends: Counter[str] = Counter()
    for outcome in [each for each in log.outcomes if each.fate is Fate.UNKNOWN]:
        request = outcome.request
        if request.method == "GET" or request.kind in NOT_REPEATABLE:
            ends["not repeated"] += 1
            continue
        before = effects(connection, request)
        found = _repeat(caller, request)
        after = effects(connection, request)
        ends[_judge(log, outcome, found, before, after)] += 1
        outcome.fate, outcome.status, outcome.code, outcome.answer = found.fate, found.status, found.code, found.answer
        outcome.was_unknown = True
    return ends


def effects(connection: psycopg.Connection[tuple[object, ...]], request: Request) -> tuple[int, int]:
    """How many keys and how many effects are stored under a request's key; equal when each is whole."""
    if request.key_kind is None:
        return 0, 0
    if request.key_kind == "event":
        ids = event_ids(request)
        rows = connection.execute("SELECT (SELECT count(*) FROM event_identities WHERE id = ANY(%(ids)s)),"
            " (SELECT count(*) FROM events WHERE id = ANY(%(ids)s))", {"ids": ids}).fetchone()  # fmt: skip
    else:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM idempotency_keys WHERE kind = %(kind)s AND key = %(key)s),"
            " (SELECT count(*) FROM journal_entries WHERE description = %(key)s)",
            {"kind": request.key_kind, "key": request.key},
        ).fetchone()
    assert rows is not None
    return int(str(rows[0])), int(str(rows[1]))


def event_ids(request: Request) -> list[UUID]:
    """The ids of the events that a request sends."""
    assert request.body is not None
    return [uuid5(UUID(event["program_id"]), event["idempotency_key"]) for event in request.body.get("events", [request.body])]


def _repeat(caller: Caller, request: Request) -> Outcome:
    for _ in range(ATTEMPTS):
        outcome = caller.send(request)
        if outcome.fate is not Fate.UNKNOWN:
            break
        time.sleep(GAP_SECONDS)
    return outcome


def _judge(log: Log, outcome: Outcome, found: Outcome, before: tuple[int, int], after: tuple[int, int]) -> str:
    request = outcome.request
    told = f"{request.kind} {request.key}: {before} before, then {found.status} {found.code}, {after} after"
    if found.fate is Fate.UNKNOWN:
        log.violate(CHECK, f"{told}; never answered")
        return "never answered"
    if request.key_kind is None:
        return "repeated without a key"
    most = len(event_ids(request)) if request.key_kind == "event" else 1
    was_done = before[1] > 0
    is_sound = before[0] == before[1] and after[0] == after[1] and after[1] <= most
    if request.key_kind != "event" or request.kind != "event batch":
        is_sound &= (after[1] == most) == (found.fate is Fate.OK)
    if not is_sound or (was_done and found.fate is not Fate.OK):
        log.violate(CHECK, told)
    if was_done:
        return "had been done"
    return "done now" if found.fate is Fate.OK else "refused now"
