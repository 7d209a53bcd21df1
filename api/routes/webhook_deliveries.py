"""Single deliveries of webhooks over HTTP (webhooks.md 2)."""

from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.responses import ok
from api.schemas.webhook_endpoints import DeliveryRead, delivery_body
from services import webhook_deliveries

router = router_for("Webhooks")


@router.get("/v1/webhook-deliveries/{id}", response_model=DeliveryRead, responses=errors(404), summary="Get a delivery")
def get_delivery(delivery_id: PathId, call: CallDep) -> Response:
    """A delivery, with what was answered last."""
    found = call.run(lambda session: webhook_deliveries.get_delivery(session, call.organization_id, delivery_id))
    return ok(delivery_body(found))


@router.post(
    "/v1/webhook-deliveries/{id}/retry", response_model=DeliveryRead, responses=errors(404, 409), summary="Retry a delivery"
)
def retry_delivery(delivery_id: PathId, call: CallDep) -> Response:
    """Eight fresh attempts, from now on, for a delivery that is FAILED; any other is not found."""
    found = call.run(lambda session: webhook_deliveries.retry_delivery(session, call.organization_id, delivery_id))
    return ok(delivery_body(found))
