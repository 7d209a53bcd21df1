"""What a redemption's webhook is asked, written with the redemption; nothing further is asked once its fulfilment ends."""

from datetime import datetime
from uuid import UUID

from db.repositories import fulfillment_requests as requests
from db.repositories import fulfillments
from db.repositories.redemptions import RedemptionRow
from db.session import Connection, dumps
from domain.messages.redemptions import FULFILLMENT_REQUESTED, fulfillment_request
from domain.rewards import FulfillmentType, Reward
from domain.webhook_message import envelope
from services.messages.redemptions import facts_of


def ask(conn: Connection, made: RedemptionRow, reward: Reward) -> None:
    """Keep the bytes that ask for a redemption's fulfilment, if a webhook is asked; the first attempt is due at once.

    `reward` is the redemption's as it is after it. Every attempt posts these bytes.
    """
    if made.fulfillment_type != FulfillmentType.WEBHOOK:
        return
    data = dumps(fulfillment_request(facts_of(conn, made), reward.snapshot()))
    body = envelope(made.id, FULFILLMENT_REQUESTED, made.created_at, made.organization_id, data)
    requests.insert(conn, made.organization_id, made.id, body, made.created_at)


def settle(conn: Connection, redemption_id: UUID, status: str, note: str | None, moment: datetime) -> None:
    """Note how a fulfilment ended; no further attempt is made."""
    fulfillments.settle(conn, redemption_id, status, note, moment)
    requests.close(conn, redemption_id)
