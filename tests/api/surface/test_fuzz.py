"""schemathesis finds no 5xx, no undocumented status, nothing that doesn't fit its schema, nobody let in without a key."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from tests.api.surface import fuzz
from tests.api.surface.conftest import NOWHERE
from tests.api.surface.links import linked
from tests.api.surface.operations import document
from tests.api.surface.world import World, make_world
from tests.support.client import new_tenant
from tests.support.stack import Stack

pytestmark = pytest.mark.xdist_group("surface")

# in the suite: enough to see that nothing broke, the same each time; `make fuzz` sees more, and something else each time
SHORT = fuzz.Plan(seed=1, examples=1, phases=("examples", "fuzzing"))
LOOPBACK = ("127.0.0.1", "::1", "localhost", None)


@pytest.fixture
def contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """No webhook of a made-up URL leaves this machine."""
    find = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        if host not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return find(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def fuzzed(stack: Stack) -> Iterator[World]:
    """An organization of its own: afterwards it isn't what it was."""
    tenant = new_tenant(stack.database, stack.base_url, "Fuzzed")
    world = make_world(tenant, NOWHERE)
    fuzz.make_spares(world, NOWHERE)
    yield world
    tenant.http.close()


@pytest.mark.usefixtures("contained")
@pytest.mark.timeout(0 if fuzz.is_long() else 120)
def test_nothing_breaks(fuzzed: World, tmp_path: Path) -> None:
    plan = fuzz.Plan.of_environment(SystemRandom().randrange(1 << 32)) if fuzz.is_long() else SHORT
    print(f"\nseed {plan.seed}")
    outcome = fuzz.run(fuzzed, linked(document(), fuzzed), tmp_path, plan)
    if fuzz.is_long():
        print(without_secrets(outcome.text))
    print(outcome.summary())
    assert outcome.status == 0, f"seed {plan.seed}\n{without_secrets(outcome.text)}"


def without_secrets(text: str) -> str:
    return re.sub(r"sk_[A-Za-z0-9_-]+", "sk_...", text)
