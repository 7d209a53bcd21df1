"""Deliveries as clients see them: read, retry, and try an endpoint (webhooks.md 2)."""

from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import webhook_deliveries as repository
from db.repositories.webhook_deliveries import DeliveryRow, NewTest
from db.repositories.webhook_sending import TEST_TYPE
from db.session import Addressee, note_addressee, psycopg_of
from domain.errors import not_found
from runtime.ids import new_id
from services import webhook_endpoints
from services.paging import Keyset, Slice

__all__ = ["DeliveryRow", "DeliveryStatus"]


class DeliveryStatus(StrEnum):
    """webhooks.md 2.1."""

    PENDING = "PENDING"
    SENDING = "SENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


def list_deliveries(
    session: Session, organization_id: UUID, endpoint_id: UUID, keyset: Keyset, status: DeliveryStatus | None
) -> Slice[DeliveryRow]:
    """One page of an endpoint's deliveries; NotFound."""
    webhook_endpoints.get_endpoint(session, organization_id, endpoint_id)
    return repository.page(psycopg_of(session), endpoint_id, keyset, status)


def get_delivery(session: Session, organization_id: UUID, delivery_id: UUID) -> DeliveryRow:
    """A delivery, whole; NotFound."""
    found = repository.find(psycopg_of(session), organization_id, delivery_id)
    if found is None:
        raise not_found("webhook_delivery", delivery_id)
    return found


def retry_delivery(session: Session, organization_id: UUID, delivery_id: UUID) -> DeliveryRow:
    """Give a FAILED delivery all its attempts once more. NotFound, also when it isn't FAILED; InvalidState of the endpoint."""
    found = get_delivery(session, organization_id, delivery_id)
    if found.status != DeliveryStatus.FAILED:
        raise not_found("webhook_delivery", delivery_id)
    endpoint = webhook_endpoints.lock_active(session, organization_id, found.webhook_endpoint_id)
    # read again under the lock: somebody else may have been faster
    if get_delivery(session, organization_id, delivery_id).status != DeliveryStatus.FAILED:
        raise not_found("webhook_delivery", delivery_id)
    repository.begin_again(psycopg_of(session), found, clock.now(session))
    note_addressee(Addressee(endpoint.id, organization_id, is_changed=True))
    return get_delivery(session, organization_id, delivery_id)


def make_test(session: Session, organization_id: UUID, endpoint_id: UUID) -> DeliveryRow:
    """A message for one endpoint only, attempted once and at once, whatever keeps others back. NotFound, InvalidState."""
    endpoint = webhook_endpoints.lock_active(session, organization_id, endpoint_id)
    test = NewTest(new_id(), new_id(), organization_id, endpoint.id, TEST_TYPE, {"webhook_endpoint_id": str(endpoint.id)})
    repository.insert_test(psycopg_of(session), test)
    note_addressee(Addressee(endpoint.id, organization_id, is_changed=True))
    return get_delivery(session, organization_id, test.delivery_id)
