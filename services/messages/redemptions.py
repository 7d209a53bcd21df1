"""Telling the subscribers of redemptions, reversals and fulfilments (webhooks.md 5.6, 5.7, 5.14, 5.15).

Nothing is read but who subscribes as long as nobody wants any of these messages. What an entry does to balances is told by
`services.messages.ledger`, after what is told here of its occasion.
"""

from datetime import datetime
from uuid import UUID

from db.repositories import fulfillment_requests
from db.repositories import redemptions as rows
from db.repositories.redemption_surroundings import load_surroundings
from db.repositories.redemptions import RedemptionRow, ReversalRow
from db.session import Connection
from domain.ledger.accounts import AccountKey
from domain.ledger.entries import Entry
from domain.messages import redemptions as messages
from domain.messages.notices import Cause
from domain.messages.redemptions import Attempts, Ending, RedemptionFacts
from domain.outbox import Audience, Message, MessageType
from services import outbox
from services.messages.ledger import Occasion
from services.redemption_views import redemption_body, reversal_body

_OF_ENDS = (MessageType.REDEMPTION_FULFILLED, MessageType.REDEMPTION_FULFILLMENT_FAILED)
_OF_REVERSALS = (MessageType.REDEMPTION_FULFILLMENT_FAILED, MessageType.REDEMPTION_REVERSED)


def redeeming(conn: Connection, made: RedemptionRow, entry: Entry, key: AccountKey) -> Occasion:
    """The occasion of a redemption's entry; its row is written before the books are flushed. `key`: the redeemer's account."""

    def tell(audience: Audience) -> list[Message]:
        if not _wants(audience, made.organization_id, (MessageType.REDEMPTION_COMPLETED,)):
            return []
        return [messages.completed(facts_of(conn, made), entry.after[key], entry.origin.api_key_id)]

    return Occasion(entry.id, Cause(made.id), tell)


def reversing(conn: Connection, made: ReversalRow, entry: Entry, key: AccountKey, ending: Ending | None) -> Occasion:
    """The same of a reversal's, which ended a fulfilment when there is an `ending`."""

    def tell(audience: Audience) -> list[Message]:
        if not _wants(audience, made.organization_id, _OF_REVERSALS):
            return []
        now = rows.find(conn, made.organization_id, made.redemption_id)
        assert now is not None, "redemptions aren't deleted"
        facts, told = facts_of(conn, now), []
        if ending is not None:
            told.append(messages.ended(facts, ending, _attempts(conn, now.id), made.created_at, made.id))
        told.append(messages.reversed_(facts, reversal_body(made), entry.after[key], entry.origin.api_key_id))
        return told

    return Occasion(entry.id, Cause(made.redemption_id, made.id), tell)


def tell_ended(conn: Connection, now: RedemptionRow, ending: Ending, moment: datetime) -> None:
    """A fulfilment ended and moved nothing."""
    audience = outbox.look_up(conn, [now.organization_id])()
    if _wants(audience, now.organization_id, _OF_ENDS):
        outbox.record(conn, audience, [messages.ended(facts_of(conn, now), ending, _attempts(conn, now.id), moment)])


def facts_of(conn: Connection, row: RedemptionRow) -> RedemptionFacts:
    """What messages say of a redemption that is in the database."""
    around = load_surroundings(conn, row.organization_id, row.id)
    return RedemptionFacts(
        organization_id=row.organization_id,
        participant_id=row.participant_id,
        redemption=redemption_body(row),
        scale=row.scale,
        external_id=around.external_id,
        asset_symbol=around.asset_symbol,
        reward_name=around.reward_name,
    )


def _wants(audience: Audience, organization_id: UUID, types: tuple[MessageType, ...]) -> bool:
    return any(audience.endpoints(organization_id, type_) for type_ in types)


def _attempts(conn: Connection, redemption_id: UUID) -> Attempts:
    found = fulfillment_requests.find(conn, redemption_id)
    return Attempts() if found is None else Attempts(found.attempt_count, found.last_response_status)
