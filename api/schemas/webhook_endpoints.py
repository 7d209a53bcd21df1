"""Requests and responses of webhook endpoints and deliveries."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import (
    Choice,
    CreateModel,
    Duration,
    Form,
    Given,
    ListQuery,
    OptionalText500,
    QueryModel,
    ResponseModel,
    UpdateModel,
    duration,
    fault,
    omitted,
    query_integer,
    refuse,
)
from api.schemas.types import MAX_METADATA_BYTES
from api.schemas.urls import WebhookUrl
from domain.errors import Fault
from domain.event_data import encode_event_data
from domain.outbox import EVERYTHING, MessageType
from domain.webhook_health import BlockedReason, is_degraded, success_rate
from services.webhook_deliveries import DeliveryRow, DeliveryStatus
from services.webhook_endpoints import Endpoint, EndpointStatistics, EndpointStatus, EndpointView, NewEndpoint

_WRAPPING = len('{"":}')
_EVENTS = [EVERYTHING, *(each.value for each in MessageType)]


def _event(value: object) -> str:
    if not isinstance(value, str) or value not in _EVENTS:
        refuse("invalid", "No such event type")
    return value


def _metadata(value: object) -> object:
    encoded = encode_event_data({"": value}, "metadata", max_bytes=MAX_METADATA_BYTES + _WRAPPING)
    if isinstance(encoded, Fault):
        refuse(encoded.reason, encoded.message.replace(str(MAX_METADATA_BYTES + _WRAPPING), str(MAX_METADATA_BYTES)))
    return value


EventType = Annotated[str, Form(_event, "event type or *", {"type": "string", "enum": _EVENTS})]
AnyMetadata = Annotated[Any, Form(_metadata, "JSON of at most 16 KiB", {"description": "Any JSON, at most 16 KiB"})]
Overlap = Annotated[Duration, duration(timedelta(0), timedelta(hours=168), expected="duration up to 168h")]

_ENABLED = "Event types, or `*` for all, future ones too; repeats collapse"


class ChangeableStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


def _event_faults(given: Given) -> Iterator[Fault]:
    events = given.get("enabled_events")
    if isinstance(events, list) and not events:
        yield fault("enabled_events", "too_short", "At least one", expected="at least one event type")


class WebhookEndpointCreate(CreateModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "url": "https://example.com/hooks",
                "enabled_events": ["balance.credited", "event.failed"],
                "description": "Tells customers what they earned",
            }
        }
    )

    url: WebhookUrl
    enabled_events: list[EventType] = Field(description=_ENABLED)
    description: OptionalText500 = None
    metadata: AnyMetadata = None

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return _event_faults(given)

    def to_new(self) -> NewEndpoint:
        """The service's command."""
        return NewEndpoint(self.url, _distinct(self.enabled_events), self.description, self.metadata)


class WebhookEndpointUpdate(UpdateModel):
    model_config = ConfigDict(json_schema_extra={"example": {"enabled_events": ["*"], "status": "ACTIVE"}})

    url: WebhookUrl = omitted()
    description: OptionalText500 = omitted()
    enabled_events: list[EventType] = Field(default_factory=list, description="Replaces. " + _ENABLED)
    status: Choice[ChangeableStatus] = omitted()
    metadata: AnyMetadata = omitted()

    @classmethod
    def cross_faults(cls, given: Given) -> Iterator[Fault]:
        return _event_faults(given)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent, as the service has them."""
        found = super().changes()
        if "enabled_events" in found:
            found["enabled_events"] = _distinct(self.enabled_events)
        if "status" in found:
            found["status"] = EndpointStatus(self.status)
        return found


def _distinct(events: list[str]) -> list[str]:
    return list(dict.fromkeys(events))


class WebhookEndpointQuery(ListQuery):
    limit: Annotated[int, query_integer(1, 100)] = Field(default=20, description="Rows per page, 1-100")
    status: Choice[ChangeableStatus] | None = None


class RotateQuery(QueryModel):
    overlap: Overlap | None = Field(default=None, description="How long the old secret signs too, up to `168h`")


class DeliveryQuery(ListQuery):
    limit: Annotated[int, query_integer(1, 100)] = Field(default=20, description="Rows per page, 1-100")
    status: Choice[DeliveryStatus] | None = None


class WebhookEndpointRead(ResponseModel):
    id: UUID
    url: str
    description: str | None
    enabled_events: list[str]
    metadata: Any
    status: EndpointStatus
    secret: Annotated[str | None, Field(description="Only in the answers of create and rotate: it can't be read again")] = None
    previous_secret_expires_at: Annotated[
        datetime | None, Field(description="Only in the answer of a rotation with `overlap`: until then the old secret signs too")
    ] = None
    created_at: datetime
    updated_at: datetime


class DeliveryStatsRead(ResponseModel):
    endpoint_id: UUID
    url: str
    status: EndpointStatus
    success_24h: int = Field(description="Attempts in the running UTC hour and the 23 before it that succeeded")
    fail_24h: int = Field(description="The others")
    success_rate: float | None = Field(description="4 decimals; null without attempts")
    degraded: bool = Field(description="The circuit is open, or of at least 10 attempts less than 90 % succeeded")
    pending_count: int
    oldest_pending_at: datetime | None
    last_attempt_at: datetime | None
    circuit_broken_until: datetime | None
    rate_limited_until: datetime | None
    blocked_reason: BlockedReason | None
    blocked_until: datetime | None


class DeliveryListed(ResponseModel):
    id: UUID
    webhook_endpoint_id: UUID
    webhook_event_id: UUID = Field(description="`id` of the message")
    event_type: str
    status: DeliveryStatus
    attempt_count: int
    max_attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    last_response_status: int | None
    created_at: datetime
    updated_at: datetime


class DeliveryRead(DeliveryListed):
    last_response_body: str | None = Field(description="The first 4096 bytes")
    last_error: str | None


def endpoint_body(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as the API shows it, without its secret."""
    names = ("id", "url", "description", "enabled_events", "metadata", "status", "created_at", "updated_at")
    return {name: getattr(endpoint, name) for name in names}


def new_secret_body(view: EndpointView) -> dict[str, Any]:
    """An endpoint with the secret that was just made."""
    body = endpoint_body(view.endpoint)
    times = {name: body.pop(name) for name in ("created_at", "updated_at")}
    overlap = {} if view.previous_until is None else {"previous_secret_expires_at": view.previous_until}
    return body | {"secret": view.secret} | overlap | times


def statistics_body(found: EndpointStatistics) -> dict[str, Any]:
    """A row of the delivery statistics."""
    block = found.health.block(found.endpoint.status, found.now)
    reason, until = block or (None, None)
    broken, limited = (
        moment if moment is not None and moment > found.now else None
        for moment in (found.health.circuit_broken_until, found.health.rate_limited_until)
    )
    return {
        "endpoint_id": found.endpoint.id,
        "url": found.endpoint.url,
        "status": found.endpoint.status,
        "success_24h": found.succeeded,
        "fail_24h": found.failed,
        "success_rate": success_rate(found.succeeded, found.failed),
        "degraded": is_degraded(found.succeeded, found.failed, is_broken=broken is not None),
        "pending_count": found.pending_count,
        "oldest_pending_at": found.oldest_pending_at,
        "last_attempt_at": found.last_attempt_at,
        "circuit_broken_until": broken,
        "rate_limited_until": limited,
        "blocked_reason": reason,
        "blocked_until": until,
    }


def listed_body(delivery: DeliveryRow) -> dict[str, Any]:
    """A delivery as lists show it."""
    return {name: getattr(delivery, name) for name in DeliveryListed.model_fields}


def delivery_body(delivery: DeliveryRow) -> dict[str, Any]:
    """A delivery, whole."""
    return {name: getattr(delivery, name) for name in DeliveryRead.model_fields}
