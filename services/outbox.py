"""The outbox: what happened is recorded by the transaction that made it happen (webhooks.md 2).

Look up who subscribes, make only the messages that somebody wants, record them. Endpoints are read without a lock: one that
changes at the same moment was, or wasn't yet, subscribed.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import repeat
from uuid import UUID

from db.repositories import outbox as rows
from db.session import Addressee, Connection, note_addressee
from domain.outbox import Audience, Message
from runtime.ids import new_id
from runtime.tracing import trace_parent


def look_up(conn: Connection, organization_ids: Collection[UUID]) -> Callable[[], Audience]:
    """Ask who subscribes to what; the call gives the answer, which in a pipeline waits for nothing else when it has ended."""
    asked = rows.ask_subscriptions(conn, organization_ids)
    return lambda: Audience(rows.subscriptions(asked))


def record(conn: Connection, audience: Audience, messages: Sequence[Message], traces: Iterable[str | None] | None = None) -> None:
    """Store the messages that somebody in the audience wants, in this order, with a delivery for each endpoint.

    The caller has locked what the messages are about, and commits. `traces` has the span that each came of, by default the
    current one.
    """
    traces = repeat(trace_parent(), len(messages)) if traces is None else traces
    wanted: list[rows.NewMessage] = []
    deliveries: list[rows.NewDelivery] = []
    for message, trace in zip(messages, traces, strict=True):
        endpoints = audience.endpoints(message.organization_id, message.type)
        if endpoints:
            wanted.append(rows.NewMessage(new_id(), message, trace))
            deliveries += [rows.NewDelivery(new_id(), wanted[-1].id, endpoint_id) for endpoint_id in endpoints]
            for endpoint_id in endpoints:
                note_addressee(Addressee(endpoint_id, message.organization_id))
    if wanted:
        rows.insert(conn, wanted, deliveries)
