"""Turns: who waits goes on while others get on, and no longer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from api.turns import NobodyGotOnError, Turns

PATIENCE = 2.0


async def nothing() -> None:
    """What is done meanwhile."""


async def take(
    turns: Turns, seconds: float, meanwhile: Callable[[], Awaitable[object]] = nothing, *, works: bool = True
) -> float:
    """Take a turn for so long; the time from arrival until it came."""
    loop = asyncio.get_running_loop()
    arrived = loop.time()
    async with turns.take(arrived, meanwhile):
        waited = loop.time() - arrived
        await asyncio.sleep(seconds)
        if works:
            turns.got_on()
    return waited


def test_a_queue_that_gets_on_is_waited_for() -> None:
    async def scenario() -> list[float]:
        turns = Turns(1, PATIENCE, 60.0)
        return await asyncio.gather(*(take(turns, 0.4) for _ in range(8)))

    waited = asyncio.run(scenario())
    assert waited == sorted(waited)
    assert waited[-1] > PATIENCE


def test_a_turn_that_nothing_came_of_prolongs_nobodys_time() -> None:
    async def scenario() -> float:
        turns = Turns(1, PATIENCE, 60.0)
        loop = asyncio.get_running_loop()
        stuck = asyncio.ensure_future(take(turns, 0.5 * PATIENCE, works=False))
        await asyncio.sleep(0)
        arrived = loop.time()
        async with turns.take(arrived, nothing) as turn:
            assert turn.has_waited
            await stuck
            return turn.deadline() - arrived

    assert asyncio.run(scenario()) == pytest.approx(PATIENCE)


def test_waiting_for_nothing_ends() -> None:
    async def scenario() -> None:
        turns = Turns(1, 0.2, 60.0)
        stuck = asyncio.ensure_future(take(turns, 60, works=False))
        await asyncio.sleep(0)
        with pytest.raises(NobodyGotOnError):
            await take(turns, 0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        # who gave up left nothing behind
        assert await take(turns, 0) < 0.1

    asyncio.run(scenario())


def test_nobody_waits_longer_than_the_longest_wait() -> None:
    async def scenario() -> None:
        turns = Turns(1, 60.0, 0.2)
        stuck = asyncio.ensure_future(take(turns, 60))
        await asyncio.sleep(0)
        with pytest.raises(NobodyGotOnError):
            await take(turns, 0)
        stuck.cancel()

    asyncio.run(scenario())


def test_what_is_learnt_meanwhile_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.turns.PAUSE_SECONDS", 0.05)

    async def sold_out() -> None:
        raise LookupError

    async def scenario() -> None:
        turns = Turns(1, 60.0, 60.0)
        first = asyncio.ensure_future(take(turns, 0.5))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(take(turns, 0, sold_out))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        turns.tell()
        with pytest.raises(LookupError):
            await waiting
        assert not first.done()
        await first
        assert await take(turns, 0) < 0.1

    asyncio.run(scenario())
