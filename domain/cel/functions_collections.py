"""Functions of lists and maps, and those that take any value."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.cel.errors import EvaluationError
from domain.cel.functions_numbers import unsupported
from domain.cel.steps import Steps, visited
from domain.cel.values import MAPPINGS, CelType, identity, map_key, to_cel, type_of


def size(_: Steps, value: Any) -> Decimal:
    """`size(v)`: characters, bytes, elements or keys."""
    if isinstance(value, str | bytes | list | Mapping):
        return Decimal(len(value))
    raise unsupported("size", value)


def get(_: Steps, container: Any, key: Any, default: Any) -> Any:
    """`get(m, key, default)`: the default when m is null, or the key is missing or null."""
    if container is None:
        return default
    if not isinstance(container, MAPPINGS):
        raise unsupported("get", container)
    try:
        found = container[map_key(key)]
    except KeyError:
        return default
    return default if found is None else to_cel(found)


def dyn(_: Steps, value: Any) -> Any:
    return value


def type_name(_: Steps, value: Any) -> CelType:
    return type_of(value)


def _identities(name: str, value: Any, steps: Steps) -> frozenset[object]:
    if type(value) is not list:
        raise unsupported(name, value)
    visited(steps, len(value))
    try:
        return frozenset([identity(item, steps) for item in value])
    except TypeError:
        raise EvaluationError(f"{name}: elements can't be compared") from None


def sets_contains(steps: Steps, left: Any, right: Any) -> bool:
    """Whether the first list has all elements of the second."""
    return _identities("sets.contains", left, steps) >= _identities("sets.contains", right, steps)


def sets_intersects(steps: Steps, left: Any, right: Any) -> bool:
    """Whether the lists share an element."""
    return not _identities("sets.intersects", left, steps).isdisjoint(_identities("sets.intersects", right, steps))


def sets_equivalent(steps: Steps, left: Any, right: Any) -> bool:
    """Whether the lists have the same elements, order and repetition ignored."""
    return _identities("sets.equivalent", left, steps) == _identities("sets.equivalent", right, steps)
