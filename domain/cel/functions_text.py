"""Functions and methods of strings."""

from __future__ import annotations

import string
from functools import lru_cache
from typing import Any, Final

import re2

from domain.cel.errors import EvaluationError
from domain.cel.functions_numbers import unsupported, whole
from domain.cel.steps import Steps, built, examined, spend, visited
from domain.cel.values import to_text

MAX_PATTERN: Final = 1_000
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER: Final = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def text(name: str, value: Any) -> str:
    """The argument as a string; raises EvaluationError, naming the function."""
    if type(value) is not str:
        raise unsupported(name, value)
    return value


def to_string(steps: Steps, value: Any) -> str:
    """`string(v)`."""
    result = to_text(value)
    if result is not value:
        built(steps, len(result))
    return result


def contains(steps: Steps, value: Any, part: Any) -> bool:
    examined(steps, len(text("contains", value)))
    return text("contains", part) in value


def starts_with(_: Steps, value: Any, part: Any) -> bool:
    return text("startsWith", value).startswith(text("startsWith", part))


def ends_with(_: Steps, value: Any, part: Any) -> bool:
    return text("endsWith", value).endswith(text("endsWith", part))


@lru_cache(maxsize=512)
def pattern(source: str) -> Any:
    """Compiled RE2 pattern; raises EvaluationError when it is too long or malformed."""
    if len(source) > MAX_PATTERN:
        raise EvaluationError(f"regular expression longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = 2 << 20
    try:
        # Given as bytes, since the wrapper maps the positions of a match back to characters otherwise.
        return re2.compile(source.encode(), options)  # type: ignore[no-untyped-call]
    except (re2.error, UnicodeEncodeError):
        raise EvaluationError("malformed regular expression") from None


def matches(steps: Steps, value: Any, source: Any) -> bool:
    """`s.matches(re)`: unanchored; a computed pattern costs a step for each character."""
    text("matches", value)
    spend(steps, len(text("matches", source)))
    return search(pattern(source), value, steps)


def search(compiled: Any, value: Any, steps: Steps) -> bool:
    """Whether a compiled pattern occurs in a string."""
    examined(steps, len(text("matches", value)))
    try:
        return compiled.search(value.encode()) is not None
    except UnicodeEncodeError:
        raise EvaluationError("matches: unpaired surrogate") from None


def lower_ascii(steps: Steps, value: Any) -> str:
    built(steps, len(text("lowerAscii", value)))
    return text("lowerAscii", value).translate(_LOWER)


def upper_ascii(steps: Steps, value: Any) -> str:
    built(steps, len(text("upperAscii", value)))
    return text("upperAscii", value).translate(_UPPER)


def trim(steps: Steps, value: Any) -> str:
    built(steps, len(text("trim", value)))
    return text("trim", value).strip()


def split(steps: Steps, value: Any, separator: Any, limit: Any = None) -> list[str]:
    """`s.split(sep, n)`: at most n parts; all when n is absent or negative."""
    source, sep = text("split", value), text("split", separator)
    most = -1 if limit is None else whole("split", limit)
    built(steps, len(source))
    if most == 0:
        return []
    count = len(source) if not sep else source.count(sep) + 1
    built(steps, count if most < 0 else min(count, most))
    if sep:
        return source.split(sep, most - 1 if most > 0 else -1)
    if 0 < most < count:
        return [*source[: most - 1], source[most - 1 :]]
    return list(source)


def join(steps: Steps, values: Any, separator: Any = "") -> str:
    """`l.join(sep)` of a list of strings."""
    if type(values) is not list:
        raise unsupported("join", values)
    sep = text("join", separator)
    visited(steps, len(values))
    parts = [text("join", value) for value in values]
    built(steps, sum(map(len, parts)) + len(sep) * max(len(parts) - 1, 0))
    return sep.join(parts)


def replace(steps: Steps, value: Any, old: Any, new: Any, limit: Any = None) -> str:
    """`s.replace(old, new, n)`: all when n is absent or negative."""
    source, before, after = text("replace", value), text("replace", old), text("replace", new)
    most = -1 if limit is None else whole("replace", limit)
    examined(steps, len(source))
    count = source.count(before) if most < 0 else min(source.count(before), most)
    built(steps, len(source) + count * (len(after) - len(before)))
    return source.replace(before, after, most)
