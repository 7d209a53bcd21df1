"""Webhook endpoints over HTTP (webhooks.md 1)."""

import time
from datetime import timedelta
from functools import partial
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import Query
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import NEWEST_FIRST, Listing
from api.responses import complete_list, created, no_content, ok
from api.schemas.common import Paged
from api.schemas.webhook_endpoints import (
    DeliveryListed,
    DeliveryQuery,
    DeliveryRead,
    DeliveryStatsRead,
    RotateQuery,
    WebhookEndpointCreate,
    WebhookEndpointQuery,
    WebhookEndpointRead,
    WebhookEndpointUpdate,
    delivery_body,
    endpoint_body,
    listed_body,
    new_secret_body,
    statistics_body,
)
from services import webhook_deliveries, webhook_endpoints
from services.webhook_deliveries import DeliveryRow, DeliveryStatus
from services.webhook_endpoints import EndpointStatus
from services.webhook_targets import require_target

router = router_for("Webhooks")

ENDPOINTS = Listing("webhook_endpoints", {"created_at": NEWEST_FIRST})
DELIVERIES = Listing("webhook_deliveries", {"created_at": NEWEST_FIRST})

# A test is waited for: most receivers answer within this long.
TEST_SECONDS = 5.0
LOOK_SECONDS = 0.05


@router.post(
    "/v1/webhook-endpoints",
    status_code=201,
    response_model=WebhookEndpointRead,
    responses=errors(413, 415),
    summary="Create a webhook endpoint",
)
def create_endpoint(body: WebhookEndpointCreate, call: CallDep) -> Response:
    """Have messages posted to a URL from now on. Only this answer has the `secret` that they are signed with."""
    _require_target(call, body.url)
    view = call.run(
        lambda session: webhook_endpoints.create_endpoint(session, call.organization_id, body.to_new(), call.webhook_secrets)
    )
    return created(new_secret_body(view))


@router.get(
    "/v1/webhook-endpoints", response_model=Paged[WebhookEndpointRead], responses=errors(), summary="List webhook endpoints"
)
def list_endpoints(query: Annotated[WebhookEndpointQuery, Query()], call: CallDep) -> Response:
    """Newest first, without ARCHIVED ones."""
    page = ENDPOINTS.page(query)
    status = None if query.status is None else EndpointStatus(query.status)
    found = call.run(lambda session: webhook_endpoints.list_endpoints(session, call.organization_id, page.keyset, status))
    return page.answer(found, endpoint_body)


@router.get(
    "/v1/webhook-endpoints/delivery-stats",
    response_model=Paged[DeliveryStatsRead],
    responses=errors(),
    summary="Get delivery statistics",
)
def get_delivery_stats(call: CallDep) -> Response:
    """How each endpoint does that isn't ARCHIVED: attempts of the last 24 hours, what waits, and what keeps it back."""
    found = call.run(lambda session: webhook_endpoints.statistics(session, call.organization_id))
    return complete_list([statistics_body(each) for each in found])


@router.get(
    "/v1/webhook-endpoints/{id}", response_model=WebhookEndpointRead, responses=errors(404), summary="Get a webhook endpoint"
)
def get_endpoint(endpoint_id: PathId, call: CallDep) -> Response:
    """An endpoint, archived or not."""
    found = call.run(lambda session: webhook_endpoints.get_endpoint(session, call.organization_id, endpoint_id))
    return ok(endpoint_body(found))


@router.patch(
    "/v1/webhook-endpoints/{id}",
    response_model=WebhookEndpointRead,
    responses=errors(404, 409, 413, 415),
    summary="Update a webhook endpoint",
)
def update_endpoint(endpoint_id: PathId, body: WebhookEndpointUpdate, call: CallDep) -> Response:
    """Change what is sent. `status` ACTIVE also closes the circuit and ends a pause; what waits goes to the new `url`."""
    changes = body.changes()
    if "url" in changes:
        _require_target(call, changes["url"])
    found = call.run(lambda session: webhook_endpoints.update_endpoint(session, call.organization_id, endpoint_id, changes))
    return ok(endpoint_body(found))


@router.delete("/v1/webhook-endpoints/{id}", status_code=204, responses=errors(404), summary="Delete a webhook endpoint")
def delete_endpoint(endpoint_id: PathId, call: CallDep) -> Response:
    """Set ARCHIVED for good: what waits is FAILED, with `last_error` `endpoint archived`."""
    call.run(lambda session: webhook_endpoints.archive_endpoint(session, call.organization_id, endpoint_id))
    return no_content()


@router.post(
    "/v1/webhook-endpoints/{id}/rotate-secret",
    response_model=WebhookEndpointRead,
    responses=errors(404, 409),
    summary="Rotate endpoint secret",
)
def rotate_secret(endpoint_id: PathId, query: Annotated[RotateQuery, Query()], call: CallDep) -> Response:
    """A new `secret`; the old one is invalid at once, or signs too for as long as `overlap` says."""
    overlap = timedelta(0) if query.overlap is None else query.overlap.length
    view = call.run(
        lambda session: webhook_endpoints.rotate_secret(session, call.organization_id, endpoint_id, overlap, call.webhook_secrets)
    )
    return ok(new_secret_body(view))


@router.post(
    "/v1/webhook-endpoints/{id}/test",
    status_code=201,
    response_model=DeliveryRead,
    responses=errors(404, 409),
    summary="Send a test message",
)
async def send_test(endpoint_id: PathId, call: CallDep) -> Response:
    """Post a signed message of type `webhook.test` to this endpoint, whatever it subscribes to, and answer its delivery.

    It is attempted once, at once, even while the circuit is open or a pause lasts; success closes the circuit. The answer
    comes when the attempt has ended, or after 5 seconds with the delivery as it is then.
    """
    made = await to_thread.run_sync(
        lambda: call.run(lambda session: webhook_deliveries.make_test(session, call.organization_id, endpoint_id))
    )
    return created(delivery_body(await _attempted(call, made)))


async def _attempted(call: Call, made: DeliveryRow) -> DeliveryRow:
    """The delivery once its attempt has ended, or as it is when the time is over; no connection is held meanwhile."""
    deadline, gap, found = time.monotonic() + TEST_SECONDS, LOOK_SECONDS, made
    while found.status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING) and time.monotonic() < deadline:
        await anyio.sleep(gap)
        gap = min(2 * gap, 0.5)
        look = partial(webhook_deliveries.get_delivery, organization_id=call.organization_id, delivery_id=made.id)
        found = await to_thread.run_sync(partial(call.run, look))
    return found


@router.get(
    "/v1/webhook-endpoints/{id}/deliveries",
    response_model=Paged[DeliveryListed],
    responses=errors(404),
    summary="List deliveries",
)
def list_deliveries(endpoint_id: PathId, query: Annotated[DeliveryQuery, Query()], call: CallDep) -> Response:
    """Newest first, without what was answered."""
    page = DELIVERIES.page(query, endpoint_id)
    found = call.run(
        lambda session: webhook_deliveries.list_deliveries(session, call.organization_id, endpoint_id, page.keyset, query.status)
    )
    return page.answer(found, listed_body)


def _require_target(call: Call, url: str) -> None:
    """Resolve the host, before any connection of the database is taken."""
    require_target(url, "url", is_private_allowed=call.settings.webhook_allow_private)
