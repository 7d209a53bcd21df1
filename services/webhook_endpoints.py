"""Webhook endpoints: create, read, change, rotate their secret (webhooks.md 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import organizations as clock
from db.repositories import webhook_endpoints as repository
from db.repositories import webhook_sending
from db.repositories.webhook_endpoints import Endpoint, EndpointStatistics
from db.session import Addressee, note_addressee, psycopg_of
from domain.errors import InvalidState, not_found
from domain.event_data import is_same_json
from domain.webhook_health import EndpointStatus, Health
from runtime.ids import new_id
from runtime.webhook_secrets import WebhookSecrets
from services.paging import Keyset, Slice
from services.webhook_sending import ARCHIVED_A_TURN, ARCHIVED_ERROR

__all__ = ["Endpoint", "EndpointStatistics", "EndpointStatus", "EndpointView", "NewEndpoint"]


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """What an endpoint is created with; its form is checked, and that its URL may be called."""

    url: str
    enabled_events: Sequence[str]
    description: str | None = None
    metadata: Any = None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint with the secret that was just made, and until when the previous one signs too."""

    endpoint: Endpoint
    secret: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None


def create_endpoint(session: Session, organization_id: UUID, new: NewEndpoint, secrets: WebhookSecrets) -> EndpointView:
    """Register an ACTIVE endpoint; it hears of what happens from now on."""
    now = clock.now(session)
    endpoint = Endpoint(
        id=new_id(),
        organization_id=organization_id,
        url=new.url,
        description=new.description,
        enabled_events=list(new.enabled_events),
        metadata=new.metadata,
        status=EndpointStatus.ACTIVE,
        created_at=now,
        updated_at=now,
    )
    secret, sealed = secrets.make(endpoint.id)
    repository.insert(psycopg_of(session), endpoint, sealed)
    return EndpointView(endpoint, secret)


def list_endpoints(session: Session, organization_id: UUID, keyset: Keyset, status: EndpointStatus | None) -> Slice[Endpoint]:
    """One page of the organization's endpoints, without ARCHIVED ones."""
    return repository.page(psycopg_of(session), organization_id, keyset, status)


def get_endpoint(session: Session, organization_id: UUID, endpoint_id: UUID) -> Endpoint:
    """An endpoint, archived or not; NotFound."""
    found = repository.find(psycopg_of(session), organization_id, endpoint_id)
    if found is None:
        raise not_found("webhook_endpoint", endpoint_id)
    return found


def update_endpoint(session: Session, organization_id: UUID, endpoint_id: UUID, changes: Mapping[str, Any]) -> Endpoint:
    """Change the fields given; setting ACTIVE begins with good health. NotFound; InvalidState when ARCHIVED."""
    old = _lock_open(session, organization_id, endpoint_id)
    conn = psycopg_of(session)
    new = replace(old, **changes)
    if new != old or not is_same_json(new.metadata, old.metadata):
        new = replace(new, updated_at=clock.now(session))
        repository.update(conn, new)
    if changes.get("status") is EndpointStatus.ACTIVE:
        repository.save_health(conn, endpoint_id, Health())
    _tell_changed(old)
    return new


def archive_endpoint(session: Session, organization_id: UUID, endpoint_id: UUID) -> None:
    """Archive an endpoint for good; what waits for it is given up. NotFound."""
    conn = psycopg_of(session)
    found = repository.lock(conn, organization_id, endpoint_id)
    if found is None:
        raise not_found("webhook_endpoint", endpoint_id)
    if found.status is not EndpointStatus.ARCHIVED:
        repository.update(conn, replace(found, status=EndpointStatus.ARCHIVED, updated_at=clock.now(session)))
    # the endpoint's flow does the rest of a long queue, and what is recorded at this very moment
    webhook_sending.fail_pending(conn, endpoint_id, ARCHIVED_ERROR, ARCHIVED_A_TURN)
    _tell_changed(found)


def rotate_secret(
    session: Session, organization_id: UUID, endpoint_id: UUID, overlap: timedelta, secrets: WebhookSecrets
) -> EndpointView:
    """Give the endpoint a new secret; the old one signs too while they overlap. NotFound; InvalidState when ARCHIVED."""
    old = _lock_open(session, organization_id, endpoint_id)
    now = clock.now(session)
    until = now + overlap if overlap else None
    secret, sealed = secrets.make(endpoint_id)
    repository.replace_secret(psycopg_of(session), endpoint_id, sealed, until, now)
    return EndpointView(replace(old, updated_at=now), secret, until)


def statistics(session: Session, organization_id: UUID) -> list[EndpointStatistics]:
    """How the organization's endpoints do that aren't ARCHIVED, newest first."""
    return repository.statistics(psycopg_of(session), organization_id)


def lock_active(session: Session, organization_id: UUID, endpoint_id: UUID) -> Endpoint:
    """An ACTIVE endpoint, locked; NotFound, InvalidState."""
    found = _lock_open(session, organization_id, endpoint_id)
    if found.status is not EndpointStatus.ACTIVE:
        raise InvalidState("The endpoint isn't active", status=found.status.value)
    return found


def _lock_open(session: Session, organization_id: UUID, endpoint_id: UUID) -> Endpoint:
    found = repository.lock(psycopg_of(session), organization_id, endpoint_id)
    if found is None:
        raise not_found("webhook_endpoint", endpoint_id)
    if found.status is EndpointStatus.ARCHIVED:
        raise InvalidState("The endpoint is archived", status=found.status.value)
    return found


def _tell_changed(endpoint: Endpoint) -> None:
    note_addressee(Addressee(endpoint.id, endpoint.organization_id, is_changed=True))
