"""Resolving hosts: every address, and an answer in time."""

import threading
import time

import pytest

from runtime.hosts import MOST_LOOKUPS, Unresolvable, resolve


def test_this_machine_has_an_address() -> None:
    assert set(resolve("localhost", 443)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("error", [OSError("no such name"), UnicodeError("label too long")])
def test_a_host_without_an_address(error: Exception) -> None:
    def fail(host: str, port: int) -> list[str]:
        raise error

    with pytest.raises(Unresolvable):
        resolve("nowhere.example", 443, lookup=fail)


def test_silent_name_servers_are_not_waited_for() -> None:
    answered = threading.Event()

    def wait(host: str, port: int) -> list[str]:
        answered.wait(20)
        return ["8.8.8.8"]

    began = time.monotonic()
    with pytest.raises(Unresolvable):
        resolve("slow.example", 443, timeout_seconds=0.1, lookup=wait)
    assert time.monotonic() - began < 5
    answered.set()


def test_lookups_that_were_left_behind_are_bounded() -> None:
    answered, running = threading.Event(), []

    def wait(host: str, port: int) -> list[str]:
        running.append(host)
        answered.wait(20)
        return []

    for index in range(MOST_LOOKUPS + 2):
        with pytest.raises(Unresolvable):
            resolve(f"h{index}.example", 443, timeout_seconds=0.01, lookup=wait)
    assert len(running) <= MOST_LOOKUPS
    answered.set()
    assert resolve("again.example", 443, lookup=lambda host, port: ["8.8.8.8"]) == ["8.8.8.8"]
