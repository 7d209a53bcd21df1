"""Answers: plain dictionaries written by one fast JSON response class."""

from typing import Any

from starlette.responses import Response

from api.jsontext import dumps
from services.idempotency import Outcome

REPLAYED = "Idempotency-Replayed"


class Json(Response):
    """A JSON answer; UUIDs, timestamps and exact numbers are written as the conventions want them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dumps(content)


def ok(body: object) -> Json:
    """200."""
    return Json(body)


def created(body: object, *, is_new: bool = True) -> Json:
    """201, or 200 when the resource was there."""
    return Json(body, status_code=201 if is_new else 200)


def accepted(body: object, *, is_replay: bool = False) -> Json:
    """202, with the header of a replay where it is one."""
    return Json(body, status_code=202, headers={REPLAYED: "true"} if is_replay else None)


def no_content() -> Response:
    """204."""
    return Response(status_code=204)


def outcome(result: Outcome, *, first_status: int = 200) -> Json:
    """The answer of an operation under an idempotency key: `first_status` when done, 200 with the header when replayed."""
    if result.is_replay:
        return Json(result.body, headers={REPLAYED: "true"})
    return Json(result.body, status_code=first_status)


def complete_list(rows: list[Any]) -> Json:
    """200 with a complete list, which has no pages."""
    return Json({"data": rows, "pagination": {"has_more": False, "next_cursor": None}})
