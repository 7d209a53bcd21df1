"""JSON in and out: strict and exact. Numbers keep every digit, NaN isn't JSON, NUL and unpaired surrogates are refused."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from domain.errors import Fault, bad_request
from domain.timestamps import format_timestamp

_INT_DIGITS = 4000  # below the interpreter's own limit for int()
_SURROGATE = re.compile("[\ud800-\udfff]")
_EXACT = re.compile(r'"\\u0000number:([^"\\]*)"')

Path = tuple[str | int, ...]


class _NotJson(ValueError):
    pass


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < _INT_DIGITS else Decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise _NotJson(f"The number {text[:50]} is out of range") from None


def _constant(text: str) -> None:
    raise _NotJson(f"{text} isn't JSON")


_decoder = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=_constant)


def parse_json(raw: bytes) -> tuple[object, list[tuple[Path, Fault]]]:
    """Read a JSON text; numbers with a point or an exponent become Decimal, others int.

    Returns the value and the faults of single texts in it (NUL, unpaired surrogates), each with its path; the value has
    replacement characters there, so that it can be looked at further. Raises BadRequest at `body` for what isn't JSON at
    all, or is nested too deep to be read.
    """
    try:
        value = _decoder.decode(raw.decode("utf-8"))
        # every such character can only have been written as an escape: UTF-8 has no surrogates, JSON no raw NUL
        found = list(_unprintable(value)) if b"\\u" in raw else []
        return (_cleaned(value), found) if found else (value, found)
    except UnicodeDecodeError:
        raise bad_request("body", "invalid", "The body isn't UTF-8", expected="JSON object") from None
    except RecursionError:
        raise bad_request("body", "invalid", "The body is nested too deep", expected="JSON object") from None
    except (json.JSONDecodeError, _NotJson) as error:
        message = f"The body isn't JSON: {printable(str(error))}"
        raise bad_request("body", "invalid", message, expected="JSON object") from None


def _unprintable(root: object) -> Iterator[tuple[Path, Fault]]:
    waiting: list[tuple[Path, object]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, str):
            if _is_broken(node):
                yield path, _broken(path, "Unpaired surrogates and NUL are not allowed", node)
        elif isinstance(node, dict):
            for key, child in node.items():
                where = (*path, printable(key))
                if _is_broken(key):
                    yield where, _broken(where, "Unpaired surrogates and NUL are not allowed in keys", key)
                waiting.append((where, child))
        elif isinstance(node, list):
            waiting.extend(((*path, index), child) for index, child in enumerate(node))


def _cleaned(node: object) -> object:
    if isinstance(node, str):
        return printable(node)
    if isinstance(node, dict):
        return {printable(key): _cleaned(child) for key, child in node.items()}
    return [_cleaned(child) for child in node] if isinstance(node, list) else node


def _is_broken(text: str) -> bool:
    return "\x00" in text or _SURROGATE.search(text) is not None


def _broken(path: Path, message: str, received: str) -> Fault:
    return Fault(path_text(path) or "body", "invalid", message, "text", printable(received)[:100])


def printable(text: str) -> str:
    """The text without what can't be written in UTF-8 or must not be in an answer."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).replace("\x00", "\N{REPLACEMENT CHARACTER}")


def path_text(path: Path) -> str:
    """A path as faults write it: `recipients[2].amount`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return printable(text)


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        # NUL never occurs in stored texts, so no client's text can look like this
        return f"\x00number:{value}"
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, frozenset | set | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} can't be written as JSON")


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)


def dumps(value: object) -> bytes:
    """Write compact JSON: lower-case UUIDs, timestamps in UTC, a Decimal as the exact number it is (amounts are strings)."""
    text = _encoder.encode(value)
    if "\\u0000number:" in text:
        text = _EXACT.sub(r"\1", text)
    return text.encode("utf-8")
