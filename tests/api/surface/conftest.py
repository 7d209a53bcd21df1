"""Two organizations with a full world each, in one running product."""

from collections.abc import Iterator

import pytest

from tests.api.surface.rows import checksums
from tests.api.surface.world import World, make_world
from tests.support.client import new_tenant
from tests.support.stack import Stack, poll

# nobody listens there: what is posted fails at once
NOWHERE = "http://127.0.0.1:1/hook"


@pytest.fixture(scope="package")
def world(stack: Stack) -> Iterator[World]:
    """The organization that asks. Whoever uses up what it has makes a world of their own."""
    yield from _world(stack, "Home")


@pytest.fixture(scope="package")
def foreign(stack: Stack) -> Iterator[World]:
    """Another organization, whose things must stay unseen."""
    yield from _world(stack, "Foreign")


@pytest.fixture(scope="module")
def spare(stack: Stack) -> Iterator[World]:
    """A world to use up."""
    yield from _world(stack, "Spare")


def _world(stack: Stack, name: str) -> Iterator[World]:
    made = make_world(new_tenant(stack.database, stack.base_url, name), NOWHERE)
    settle(stack, made)
    yield made
    made.tenant.http.close()


def settle(stack: Stack, world: World) -> None:
    """Wait until nothing in the background changes the world any more."""
    seen: list[object] = [None]

    def look() -> bool:
        seen.append(checksums(stack.database, world.tenant.organization_id))
        return seen[-1] == seen[-2]

    poll(look, 30, gap_seconds=0.5)
