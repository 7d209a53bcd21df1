"""Counting of work: a one-element list holds the steps that are left.

A compiled expression is a `Run`; a compiled suffix (`.name`, `[key]`, `.call()`) is an `Apply` on its operand's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from domain.cel.errors import StepLimitExceeded

Steps = list[int]
Variables = Mapping[str, Any]
Run = Callable[[Variables, Steps], Any]
Apply = Callable[[Any, Variables, Steps], Any]

STEP_LIMIT = 100_000
MAX_SIZE = 100_000


def spend(steps: Steps, count: int = 1) -> None:
    """Take `count` steps; raises StepLimitExceeded when fewer are left."""
    left = steps[0] - count
    steps[0] = left
    if left < 0:
        raise StepLimitExceeded


def stop() -> NoReturn:
    """What closures that count in place call below zero."""
    raise StepLimitExceeded


def built(steps: Steps, size: int) -> None:
    """Charge for a string or list of `size`, to be called before it is made where it may be huge."""
    if size > MAX_SIZE:
        raise StepLimitExceeded("string or list too long")
    if size >= 64:
        spend(steps, size >> 6)


def examined(steps: Steps, size: int) -> None:
    """Charge for searching or comparing `size` elements or characters."""
    if size >= 64:
        spend(steps, size >> 6)


def visited(steps: Steps, size: int) -> None:
    """Charge for `size` elements that a function goes through one by one, which is slower than a search."""
    if size >= 8:
        spend(steps, size >> 3)
