"""Which test process runs what, and when: modules stay together, so that each builds its servers once, and long ones come first."""

import pytest

GROUP = "xdist_group"
# Tests of whole stacks, one after the other: the longest group of all.
LONGEST = "up"


def keep_together(item: pytest.Item) -> None:
    """Let a module's tests run in one process, unless they name a group of their own."""
    if item.get_closest_marker(GROUP) is None:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(f"{folder}/{item.path.stem}"))


def long_ones_first(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process is left alone with it at the end."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    if any(mark.args == (LONGEST,) for mark in item.iter_markers(GROUP)):
        return 0
    return 1 if item.get_closest_marker("slow") is not None else 2
