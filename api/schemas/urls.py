"""URLs that webhooks go to, as requests carry them: what their text tells is checked with the other fields of the form."""

from contextvars import ContextVar
from typing import Annotated

from api.schemas.types import Form, refuse
from domain.webhook_urls import HTTPS_URL, MAX_LENGTH, UrlFlaw, parse_target

# Set for each request from the settings of the app that serves it; forms are made once, for every app of a process.
IS_PRIVATE_ALLOWED: ContextVar[bool] = ContextVar("is_private_allowed", default=False)


def _webhook_url(value: object) -> str:
    if not isinstance(value, str):
        refuse("invalid", "Must be a string")
    if not value:
        refuse("required", "This field is required")
    if len(value) > MAX_LENGTH:
        refuse("too_long", f"At most {MAX_LENGTH} characters")
    try:
        parse_target(value, is_private_allowed=IS_PRIVATE_ALLOWED.get())
    except UrlFlaw as flaw:
        refuse("invalid", str(flaw), flaw.expected)
    return value


WebhookUrl = Annotated[
    str, Form(_webhook_url, HTTPS_URL, {"type": "string", "format": "uri", "minLength": 1, "maxLength": MAX_LENGTH})
]
