"""The table of functions and methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from domain.cel import functions_collections as collections
from domain.cel import functions_numbers as numbers
from domain.cel import functions_text as texts
from domain.cel import functions_time as times

MANY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Function:
    """What a call runs: `run(steps, [receiver], *arguments)`; `kind` is the result's, None when it varies."""

    run: Callable[..., Any]
    least: int
    most: int
    kind: str | None


def _table(*rows: tuple[str, Callable[..., Any], int, int, str | None]) -> dict[str, Function]:
    return {name: Function(run, least, most, kind) for name, run, least, most, kind in rows}


FUNCTIONS: Final[dict[str, Function]] = _table(
    ("get", collections.get, 3, 3, None),
    ("size", collections.size, 1, 1, "number"),
    ("dyn", collections.dyn, 1, 1, None),
    ("type", collections.type_name, 1, 1, "type"),
    ("int", numbers.to_int, 1, 1, "number"),
    ("uint", numbers.to_uint, 1, 1, "number"),
    ("double", numbers.to_double, 1, 1, "number"),
    ("bool", numbers.to_bool, 1, 1, "bool"),
    ("bytes", numbers.to_bytes, 1, 1, "bytes"),
    ("string", texts.to_string, 1, 1, "string"),
    ("matches", texts.matches, 2, 2, "bool"),
    ("timestamp", times.to_timestamp, 1, 1, "timestamp"),
    ("duration", times.to_duration, 1, 1, "duration"),
    ("round", numbers.rounded, 1, 2, "number"),
    ("floor", numbers.floor, 1, 1, "number"),
    ("ceil", numbers.ceil, 1, 1, "number"),
    ("abs", numbers.absolute, 1, 1, "number"),
    ("min", numbers.minimum, 1, MANY, "number"),
    ("max", numbers.maximum, 1, MANY, "number"),
    ("sum", numbers.total, 1, 1, "number"),
    ("sets.contains", collections.sets_contains, 2, 2, "bool"),
    ("sets.intersects", collections.sets_intersects, 2, 2, "bool"),
    ("sets.equivalent", collections.sets_equivalent, 2, 2, "bool"),
    ("daysBetween", times.days_between, 2, 3, "number"),
    ("startOfDay", times.start_of_day, 1, 2, "timestamp"),
    ("startOfWeek", times.start_of_week, 1, 2, "timestamp"),
    ("startOfMonth", times.start_of_month, 1, 2, "timestamp"),
)

METHODS: Final[dict[str, Function]] = _table(
    ("size", collections.size, 0, 0, "number"),
    ("contains", texts.contains, 1, 1, "bool"),
    ("startsWith", texts.starts_with, 1, 1, "bool"),
    ("endsWith", texts.ends_with, 1, 1, "bool"),
    ("matches", texts.matches, 1, 1, "bool"),
    ("lowerAscii", texts.lower_ascii, 0, 0, "string"),
    ("upperAscii", texts.upper_ascii, 0, 0, "string"),
    ("trim", texts.trim, 0, 0, "string"),
    ("split", texts.split, 1, 2, "list"),
    ("join", texts.join, 0, 1, "string"),
    ("replace", texts.replace, 2, 3, "string"),
    *((name, run, 0, 1, "number") for name, run in times.GETTERS.items()),
)
