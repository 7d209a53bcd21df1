"""What clients were told, held against what the database says."""

from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

import psycopg

from chaos.clients import Fate, Log, Outcome
from chaos.unknowns import event_ids

Connection = psycopg.Connection[tuple[Any, ...]]


def check_answers(log: Log, connection: Connection) -> None:
    """Each key has one effect if it was ever acknowledged, the acknowledged one, and none if it was refused."""
    by_key: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in log.outcomes:
        kind = outcome.request.key_kind
        if kind is not None and kind != "event":
            by_key[kind, outcome.request.key].append(outcome)
    kept = connection.execute("SELECT kind, key, response FROM idempotency_keys")
    keys = {(kind, key): response for kind, key, response in kept}
    entries = Counter(description for (description,) in connection.execute("SELECT description FROM journal_entries"))
    for (kind, key), outcomes in by_key.items():
        acknowledged = [outcome for outcome in outcomes if outcome.fate is Fate.OK]
        stored = keys.get((kind, key))
        told = f"{outcomes[0].request.kind} {key}: {[outcome.status for outcome in outcomes]}, {entries[key]} entries"
        if bool(acknowledged) != (stored is not None) or entries[key] != len(acknowledged[:1]):
            log.violate("7 one key, one effect" if acknowledged else "8 a refused request leaves no trace", told)
        for outcome in acknowledged:
            if stored is not None and _entry(outcome.answer) not in (None, _entry(stored)):
                log.violate("7 one key, one effect", f"{told}; answered {_entry(outcome.answer)}, stored {_entry(stored)}")
    strangers = keys.keys() - by_key.keys()
    if strangers:
        log.violate("7 one key, one effect", f"keys that nobody sent: {sorted(strangers)[:3]}")


def check_events(log: Log, connection: Connection) -> None:
    """Each event that was accepted is there once, and nothing else."""
    accepted: set[UUID] = set()
    refused: set[UUID] = set()
    for outcome in log.outcomes:
        if outcome.request.key_kind == "event":
            accepted |= _accepted(outcome)
            refused |= set(event_ids(outcome.request))
    stored = Counter(id_ for (id_,) in connection.execute("SELECT id FROM events WHERE event_type = 'EXTERNAL'"))
    lost = accepted - stored.keys()
    if lost:
        log.violate("9 an acknowledged write is there", f"{len(lost)} events, first {min(lost)}")
    if any(count > 1 for count in stored.values()):
        log.violate("7 one key, one effect", "an event is stored twice")
    traces = stored.keys() - accepted
    if traces:
        first = min(traces)
        log.violate("8 a refused request leaves no trace", f"{len(traces)} events, first {first}, sent: {first in refused}")


def _accepted(outcome: Outcome) -> set[UUID]:
    if outcome.fate is not Fate.OK:
        return set()
    if outcome.request.kind != "event batch":
        return set(event_ids(outcome.request))
    return {UUID(item["event"]["id"]) for item in outcome.answer["results"] if item.get("event")}


def _entry(answer: Any) -> str | None:
    found = answer.get("journal_entry_id") if isinstance(answer, dict) else None
    return None if found is None else str(found)
