"""Where webhooks may go: the form of a URL, and which addresses are public (webhooks.md 1.2). Resolving is done elsewhere."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

MAX_LENGTH = 2048
HTTPS_URL = "https URL"
PUBLIC_HOST = "public host"
RESOLVABLE_HOST = "resolvable host"

Address = IPv4Address | IPv6Address


class UrlFlaw(ValueError):
    """A URL that no webhook may go to; `expected` tells which rule it breaks."""

    def __init__(self, expected: str, message: str) -> None:
        self.expected = expected
        super().__init__(message)


class Reach(Enum):
    """Who an address reaches: everybody, this machine and its networks, or nothing that a webhook could mean."""

    PUBLIC = auto()
    PRIVATE = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """A URL whose form is sound; `address` when its host is a literal one."""

    scheme: str
    host: str
    port: int
    address: Address | None


# Nothing but the characters of RFC 3986, and read by no lenient parser: what clients disagree about doesn't match.
_URL = re.compile(
    r"""
    (?P<scheme>https?)://
    (?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))
    (?::(?P<port>[0-9]{0,5}))?
    (?:[/?][a-z0-9\-._~:/?@!$&'()*+,;=%]*)?
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PRIVATE_NAMES = ("localhost", "local", "internal")
_PORTS = {"https": 443, "http": 80}

_PRIVATE_4 = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
# "This network", link-local, protocol assignments, documentation, relays, benchmarks, multicast, reserved and broadcast.
_NOTHING_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_PRIVATE_6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_GLOBAL_6 = IPv6Network("2000::/3")
# Protocol assignments (Teredo among them), documentation.
_NOTHING_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def parse_target(url: str, *, is_private_allowed: bool = False) -> Target:
    """Read a URL and check all that its text tells; UrlFlaw otherwise. A literal address is judged here."""
    found = None if len(url) > MAX_LENGTH else _URL.fullmatch(url)
    if found is None:
        raise UrlFlaw(HTTPS_URL, "Must be an absolute URL without user info and fragment")
    scheme, literal, host = found["scheme"].lower(), found["literal"], found["host"]
    port = int(found["port"] or _PORTS[scheme])
    if not 0 < port < 1 << 16:
        raise UrlFlaw(HTTPS_URL, "No such port")
    if scheme == "http" and not is_private_allowed:
        raise UrlFlaw(HTTPS_URL, "Must begin with https://")
    name, address = _read_name(host) if literal is None else _read_literal(literal)
    if address is not None:
        require_reachable([address], is_private_allowed=is_private_allowed)
    elif not is_private_allowed and name.rpartition(".")[2] in _PRIVATE_NAMES:
        raise UrlFlaw(PUBLIC_HOST, "Names of this machine or network are not allowed")
    return Target(scheme, name, port, address)


def _read_literal(text: str) -> tuple[str, Address]:
    try:
        return text.lower(), IPv6Address(text)
    except ValueError:
        raise UrlFlaw(HTTPS_URL, "The host is not an address") from None


def _read_name(host: str) -> tuple[str, Address | None]:
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlFlaw(HTTPS_URL, "The host is not a name")
    if not _NUMERIC.fullmatch(labels[-1]):
        return name, None
    # Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses too: only the form that everybody reads alike passes.
    try:
        return name, IPv4Address(name)
    except ValueError:
        raise UrlFlaw(PUBLIC_HOST, "An address must be written as four decimal numbers") from None


def require_reachable(addresses: Iterable[Address | str], *, is_private_allowed: bool = False) -> None:
    """Check every address that a host has; UrlFlaw when one of them isn't public, or when there is none."""
    allowed = {Reach.PUBLIC, Reach.PRIVATE} if is_private_allowed else {Reach.PUBLIC}
    reaches = [reach_of(ip_address(address)) for address in addresses]
    if not reaches:
        raise UrlFlaw(RESOLVABLE_HOST, "The host has no address")
    if not allowed.issuperset(reaches):
        raise UrlFlaw(PUBLIC_HOST, "The host has an address that isn't public")


def reach_of(address: Address) -> Reach:
    """Who an address reaches; an IPv6 form of an IPv4 address reaches what that one does."""
    if isinstance(address, IPv4Address):
        return _reach(address, _PRIVATE_4, _NOTHING_4)
    if address in _PRIVATE_6[0]:
        return Reach.PRIVATE
    embedded = _embedded(address)
    if embedded is not None and (reach := reach_of(embedded)) is not Reach.PUBLIC:
        return reach
    if address.ipv4_mapped is not None or address in _NAT64:
        return Reach.PUBLIC
    reach = _reach(address, _PRIVATE_6, _NOTHING_6)
    return Reach.NOTHING if reach is Reach.PUBLIC and address not in _GLOBAL_6 else reach


def _reach(
    address: Address,
    private: Iterable[IPv4Network] | Iterable[IPv6Network],
    nothing: Iterable[IPv4Network] | Iterable[IPv6Network],
) -> Reach:
    if any(address in network for network in nothing):
        return Reach.NOTHING
    return Reach.PRIVATE if any(address in network for network in private) else Reach.PUBLIC


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address in a mapped, compatible, 6to4, NAT64 or ISATAP one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    number = int(address)
    is_isatap = number >> 32 & 0xFFFF_FFFF in _ISATAP
    if address in _NAT64 or address in _COMPATIBLE or is_isatap:
        return IPv4Address(number & 0xFFFF_FFFF)
    return None
