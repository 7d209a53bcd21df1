"""Telling the subscribers of redemptions, reversals and fulfilments (webhooks.md 5.15).

Each function records the messages of one change, in the transaction that makes it, in the order of the specification. Nothing
is read but who subscribes as long as nobody wants any of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.repositories import fulfillment_requests
from db.repositories.redemption_facts import load_surroundings
from db.repositories.redemptions import RedemptionRow, ReversalRow
from db.session import Connection
from domain import redemption_messages as messages
from domain.balance_messages import Movement, credited, debited
from domain.ledger.accounts import AccountKey
from domain.ledger.entries import Entry, LotMove
from domain.ledger.redeem import Target
from domain.outbox import Audience, Message, MessageType
from domain.redemption_messages import Attempts, Ending, RedemptionFacts
from services import outbox
from services.redemption_views import redemption_body, reversal_body

_OF_REDEMPTIONS = (MessageType.REDEMPTION_COMPLETED, MessageType.BALANCE_CREDITED)
_OF_ENDS = (MessageType.REDEMPTION_FULFILLED, MessageType.REDEMPTION_FULFILLMENT_FAILED)
_OF_REVERSALS = (*_OF_ENDS, MessageType.REDEMPTION_REVERSED, MessageType.BALANCE_CREDITED, MessageType.BALANCE_DEBITED)


@dataclass(frozen=True, slots=True)
class Posted:
    """The entry of a redemption or reversal, the accounts on both sides, and what it moved of lots on each; None when SIMPLE."""

    entry: Entry
    key: AccountKey
    target: Target
    lots: tuple[LotMove, ...] | None = None
    target_lots: tuple[LotMove, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A redemption's facts, and the external id of a target that is a participant."""

    facts: RedemptionFacts
    target_external_id: str | None


def tell_redeemed(conn: Connection, made: RedemptionRow, posted: Posted) -> None:
    """A redemption was made; its holders are locked."""
    audience = _audience(conn, made.organization_id, _OF_REDEMPTIONS)
    if audience is None:
        return
    known = _know(conn, made)
    balance = posted.entry.after[posted.key]
    told = [messages.completed(known.facts, balance, posted.entry.origin.api_key_id)]
    if isinstance(posted.target, AccountKey):
        told.append(credited(_movement(known, posted, posted.target, {"redemption_id": str(made.id)})))
    outbox.record(conn, audience, told)


def tell_reversed(conn: Connection, now: RedemptionRow, made: ReversalRow, posted: Posted, ending: Ending | None) -> None:
    """A redemption, which is given as it is now, was reversed; that ended its fulfilment when there is an `ending`."""
    audience = _audience(conn, now.organization_id, _OF_REVERSALS)
    if audience is None:
        return
    known = _know(conn, now)
    origin, ids = posted.entry.origin, {"redemption_id": str(now.id), "reversal_id": str(made.id)}
    told: list[Message] = []
    if ending is not None:
        told.append(messages.ended(known.facts, ending, _attempts(conn, now.id), made.created_at, made.id))
    balance = posted.entry.after[posted.key]
    told.append(messages.reversed_(known.facts, reversal_body(made), balance, origin.api_key_id))
    told.append(credited(_movement(known, posted, posted.key, ids)))
    if isinstance(posted.target, AccountKey):
        told.append(debited(_movement(known, posted, posted.target, ids)))
    outbox.record(conn, audience, told)


def tell_ended(conn: Connection, now: RedemptionRow, ending: Ending, moment: datetime) -> None:
    """A fulfilment ended and moved nothing."""
    audience = _audience(conn, now.organization_id, _OF_ENDS)
    if audience is not None:
        outbox.record(conn, audience, [messages.ended(_know(conn, now).facts, ending, _attempts(conn, now.id), moment)])


def facts_of(conn: Connection, row: RedemptionRow) -> RedemptionFacts:
    """What messages say of a redemption that is in the database."""
    return _know(conn, row).facts


def _audience(conn: Connection, organization_id: UUID, types: tuple[MessageType, ...]) -> Audience | None:
    """Who subscribes; None when nobody wants any of the types."""
    audience = outbox.look_up(conn, [organization_id])()
    return audience if any(audience.endpoints(organization_id, type_) for type_ in types) else None


def _know(conn: Connection, row: RedemptionRow) -> _Known:
    around = load_surroundings(conn, row.organization_id, row.id)
    facts = RedemptionFacts(
        organization_id=row.organization_id,
        participant_id=row.participant_id,
        redemption=redemption_body(row),
        scale=row.scale,
        external_id=around.external_id,
        asset_symbol=around.asset_symbol,
        reward_name=around.reward_name,
    )
    return _Known(facts, around.target_external_id)


def _movement(known: _Known, posted: Posted, key: AccountKey, ids: Mapping[str, object]) -> Movement:
    """What was moved on the account of the participant, or of a target that is a holder."""
    facts, is_target = known.facts, key == posted.target
    return Movement(
        organization_id=facts.organization_id,
        key=key,
        external_id=known.target_external_id if is_target else facts.external_id,
        asset_symbol=facts.asset_symbol,
        scale=facts.scale,
        entry=posted.entry,
        amount=next(line.amount for line in posted.entry.postings if line.entity_id == key.holder_id).copy_abs(),
        lots=posted.target_lots if is_target else posted.lots,
        extra=ids,
    )


def _attempts(conn: Connection, redemption_id: UUID) -> Attempts:
    found = fulfillment_requests.find(conn, redemption_id)
    return Attempts() if found is None else Attempts(found.attempt_count, found.last_response_status)
