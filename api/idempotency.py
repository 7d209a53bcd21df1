"""The header `Idempotency-Key` in place of the body field; a body's meaning for fingerprints."""

import re
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import Headers

from api.jsontext import printable
from api.schemas.types import Duration
from domain.errors import Fault

FIELD = "idempotency_key"
HEADER = "Idempotency-Key"
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


def takes_key(model: type[BaseModel] | None) -> bool:
    """Whether the header counts for bodies of this model."""
    return model is not None and FIELD in model.model_fields


def apply_header(headers: Headers, data: object) -> tuple[bool, Fault | None]:
    """Put the header's key into a body that has none.

    Returns whether the header was sent, and its fault: malformed, or another value than the field's.
    """
    sent = headers.getlist(HEADER)
    if not sent or not isinstance(data, dict):
        return False, None
    key = sent[0]
    if not _PRINTABLE.fullmatch(key) or any(other != key for other in sent[1:]):
        message = "Must be one value of 1-255 printable ASCII characters"
        return True, Fault(HEADER, "invalid", message, "key", printable(key)[:100])
    field = data.get(FIELD)
    if field is None:
        data[FIELD] = key
    elif field != key:
        return True, Fault(HEADER, "invalid", f"The field {FIELD} has another value", "the same key", key[:100])
    return field is None, None


def payload_of(body: BaseModel) -> dict[str, Any]:
    """A body's parsed values with defaults filled in, without its key: what a fingerprint is made of."""
    return {name: _plain(getattr(body, name)) for name in type(body).model_fields if name != FIELD}


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.length if isinstance(value, Duration) else value
