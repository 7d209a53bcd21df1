"""Hosts of webhooks are resolved, and every address they have is judged."""

import pytest

from domain.errors import BadRequest
from domain.webhook_urls import UrlFlaw
from services.webhook_targets import addresses_of, require_target

URL = "https://hooks.example.com:8443/x"


def test_the_addresses_of_a_public_host() -> None:
    asked: list[tuple[str, int]] = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["8.8.8.8", "2606:4700::1111"]

    assert addresses_of(URL, is_private_allowed=False, lookup=look_up) == ["8.8.8.8", "2606:4700::1111"]
    assert asked == [("hooks.example.com", 8443)]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["8.8.8.8", "10.0.0.1"], "public host"),
        (["127.0.0.1"], "public host"),
        (["::ffff:169.254.169.254"], "public host"),
        ([], "resolvable host"),
    ],
)
def test_names_that_lead_astray(addresses: list[str], expected: str) -> None:
    with pytest.raises(UrlFlaw) as caught:
        addresses_of(URL, is_private_allowed=False, lookup=lambda host, port: addresses)
    assert caught.value.expected == expected


def test_a_literal_address_is_not_looked_up() -> None:
    def never(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    assert addresses_of("https://8.8.8.8/x", is_private_allowed=False, lookup=never) == ["8.8.8.8"]


def test_development_may_call_its_own_machine() -> None:
    require_target("http://localhost:9000/x", "url", is_private_allowed=True)
    with pytest.raises(BadRequest) as caught:
        require_target("http://localhost:9000/x", "url", is_private_allowed=False)
    [fault] = caught.value.faults
    assert (fault.field, fault.reason, fault.expected) == ("url", "invalid", "https URL")
