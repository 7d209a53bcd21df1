"""Telling the subscribers of new participants (webhooks.md 5.10)."""

from collections.abc import Sequence

from db.session import Connection
from domain.messages.participants import Newcomer, participant_message
from domain.outbox import Audience
from services import outbox


def record_newcomers(conn: Connection, audience: Audience, newcomers: Sequence[Newcomer]) -> None:
    """Record a message for each participant that was created, in their order."""
    if audience:
        outbox.record(conn, audience, [participant_message(newcomer) for newcomer in newcomers])
