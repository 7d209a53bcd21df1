"""Cursors and envelopes of all lists (conventions.md, Pagination); the SQL side is `services.paging`."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from api.jsontext import dumps
from api.responses import Json
from api.schemas.common import ListQuery, SortDirection
from domain.errors import BadRequest, bad_request
from services.paging import Keyset, Slice, SortColumn

VERSION = 1
CREATED_AT = SortColumn("created_at")
ID = SortColumn("id", "uuid")
NEWEST_FIRST = (CREATED_AT, ID)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page:
    """One request's page: what the service needs (`keyset`), and how its end is written down."""

    keyset: Keyset
    binding: tuple[str, str, str]

    def cursor(self, values: tuple[Any, ...]) -> str:
        """The opaque cursor that continues after a row with these sort values."""
        content = [VERSION, *self.binding, [_text(value) for value in values]]
        return base64.urlsafe_b64encode(dumps(content)).rstrip(b"=").decode()

    def answer(self, found: Slice[Row], body: Callable[[Row], object], **extra: object) -> Json:
        """200 with the page in its envelope; `extra` fields come first."""
        cursor = None if found.last is None else self.cursor(found.last)
        rows = [body(row) for row in found.rows]
        return Json({**extra, "data": rows, "pagination": {"has_more": cursor is not None, "next_cursor": cursor}})


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: its name and the columns of each order it offers, the first one the default."""

    name: str
    sorts: Mapping[str, tuple[SortColumn, ...]]

    def page(self, query: ListQuery, *path: object, descending: bool = True) -> Page:
        """The page a query asks for; `path` are the ids of the list's path. Raises BadRequest for a bad cursor."""
        sort = str(getattr(query, "sort_by", next(iter(self.sorts))))
        if (direction := getattr(query, "sort_dir", None)) is not None:
            descending = direction is SortDirection.DESC
        filters = hashlib.sha256(dumps([self.name, [str(part) for part in path], query.filters()])).hexdigest()[:16]
        binding = (sort, "desc" if descending else "asc", filters)
        columns = self.sorts[sort]
        after = None if query.cursor is None else _read(query.cursor, binding, columns)
        return Page(Keyset(columns, query.limit, descending, after), binding)


def _read(cursor: str, binding: tuple[str, str, str], columns: tuple[SortColumn, ...]) -> tuple[str | None, ...]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        version, sort, direction, filters, values = json.loads(base64.b64decode(padded, b"-_", validate=True))
        if version != VERSION or len(values) != len(columns):
            raise ValueError("not a cursor of this list")
        for value, column in zip(values, columns, strict=True):
            _check(value, column)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _refused("Malformed", cursor) from None
    if (sort, direction, filters) != binding:
        raise _refused("Made for other filters or another sort", cursor)
    return tuple(values)


def _check(value: object, column: SortColumn) -> None:
    if value is None and column.is_nullable:
        return
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not a sort value")
    value.encode()
    match column.type:
        case "uuid":
            UUID(value)
        case "timestamptz":
            if datetime.fromisoformat(value).tzinfo is None:
                raise ValueError("no zone")
        case "bigint" | "integer" | "smallint":
            if not -(1 << 63) <= int(value) < 1 << 63:
                raise ValueError("no bigint")
        case "numeric":
            if not re.fullmatch(r"-?[0-9]{1,60}(\.[0-9]{1,30})?", value, re.ASCII):
                raise ValueError("no number")


def _refused(message: str, cursor: str) -> BadRequest:
    return bad_request("cursor", "invalid", message, expected="next_cursor of this list", received=cursor[:100])


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)
