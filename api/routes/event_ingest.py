"""Events: sent one by one or in batches (events-rules.md 2.1, 2.2)."""

from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import ValidationError
from starlette.responses import Response

from api.deps import CallDep
from api.openapi import errors
from api.openapi import router as router_for
from api.requests import read_json
from api.responses import accepted
from api.schemas import events as schemas
from api.schemas.events import EventCreate
from api.validation import Located, arrange, cross_faults, located
from domain.errors import BadRequest, DomainError, Fault
from domain.event_data import encode_event_data
from services.ingest import Accepted, Submission

router = router_for("Events")

MAX_BATCH = 100


@router.post(
    "/v1/events",
    status_code=202,
    summary="Ingest an event",
    response_model=schemas.AcceptedEvent,
    responses=errors(404, 409, 413, 415),
)
async def ingest_event(call: CallDep, body: EventCreate) -> Response:
    """Store an event and answer at once; it is processed in its turn. A known key answers with the original event."""
    found = _submission(call.organization_id, body)
    if isinstance(found, DomainError):
        raise found
    [result] = await call.request.app.state.ingest.submit([found])
    if isinstance(result, DomainError):
        raise result
    return accepted(_accepted(result), is_replay=result.replayed)


@router.post(
    "/v1/events/batch",
    status_code=202,
    summary="Ingest events in batch",
    response_model=schemas.BatchAnswer,
    responses=errors(413, 415),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["events"],
                        "additionalProperties": False,
                        "properties": {
                            "events": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": MAX_BATCH,
                                "items": {"$ref": "#/components/schemas/EventCreate"},
                            }
                        },
                    },
                    "example": {"events": [schemas.EVENT_EXAMPLE]},
                }
            },
        }
    },
)
async def ingest_batch(call: CallDep) -> Response:
    """1-100 events, each checked on its own; all accepted ones are stored when this answers."""
    items, flaws = await _batch_items(call.request)
    read = [_read_item(call.organization_id, item, flaws.get(index, [])) for index, item in enumerate(items)]
    results = await call.request.app.state.ingest.submit([item for item in read if isinstance(item, Submission)])
    stored = iter(results)
    answers = [item if isinstance(item, DomainError) else next(stored) for item in read]
    failed = sum(isinstance(answer, DomainError) for answer in answers)
    return accepted(
        {
            "total": len(answers),
            "success_count": len(answers) - failed,
            "error_count": failed,
            "results": [_batch_result(index, answer) for index, answer in enumerate(answers)],
        }
    )


async def _batch_items(request: Request) -> tuple[list[object], dict[int, list[Located]]]:
    """The items of a batch, and the unprintable texts found in each; a fault of the envelope refuses the whole."""
    body, found = await read_json(request)
    envelope = [(path, fault) for path, fault in found if len(path) < 2 or path[0] != "events"]
    faults = [fault for _, fault in envelope] + list(_envelope_faults(body))
    if faults:
        raise BadRequest(faults)
    flaws: dict[int, list[Located]] = {}
    for path, fault in found:
        flaws.setdefault(int(path[1]), []).append((path[2:], fault))
    assert isinstance(body, dict)
    return body["events"], flaws


def _envelope_faults(body: object) -> list[Fault]:
    if not isinstance(body, dict):
        return [Fault("body", "invalid", "Must be an object", "JSON object")]
    events = body.get("events")
    faults = [Fault(name[:255], "unknown_field", "Not known to this endpoint") for name in body if name != "events"]
    if not events and (events is None or events == []):
        faults.insert(0, Fault("events", "required", "1-100 events are needed", "array"))
    elif not isinstance(events, list):
        faults.insert(0, Fault("events", "invalid", "Must be an array", "array"))
    elif len(events) > MAX_BATCH:
        faults.insert(0, Fault("events", "too_long", f"At most {MAX_BATCH} events", "array", str(len(events))))
    return faults


def _read_item(organization_id: UUID, item: object, flaws: list[Located]) -> Submission | DomainError:
    """One item's form, with every fault of it at once."""
    body, errors_found = None, []
    try:
        body = EventCreate.model_validate(item)
    except ValidationError as error:
        errors_found = [{**found, "loc": ("body", *found["loc"])} for found in error.errors(include_url=False)]
    faults = [*flaws, *located(errors_found, EventCreate, "unknown_field"), *cross_faults(EventCreate, item)]
    if faults or body is None:
        return BadRequest(arrange(faults, item, EventCreate))
    return _submission(organization_id, body)


def _submission(organization_id: UUID, body: EventCreate) -> Submission | DomainError:
    encoded = encode_event_data(body.event_data)
    if isinstance(encoded, Fault):
        return BadRequest([encoded])
    return Submission(
        organization_id,
        body.program_id,
        body.idempotency_key,
        body.event_timestamp,
        encoded,
        body.external_id,
        body.participant_id,
        body.recipient_id,
        body.recipient_external_id,
    )


def _accepted(result: Accepted) -> dict[str, Any]:
    event = result.event
    return {
        "id": event.id,
        "program_id": event.program_id,
        "participant_id": event.participant_id,
        "external_id": event.external_id,
        "idempotency_key": event.idempotency_key,
        "event_timestamp": event.event_timestamp,
        "status": event.status,
    }


def _batch_result(index: int, answer: Accepted | DomainError) -> dict[str, Any]:
    if isinstance(answer, DomainError):
        return {"index": index, "status": "error", "error": answer.message, "code": answer.code, "details": answer.details}
    return {"index": index, "status": "accepted", "event": _accepted(answer)}
