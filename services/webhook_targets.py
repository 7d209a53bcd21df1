"""Whether a webhook's URL may be called: its form, and every address of its host (webhooks.md 1.2)."""

from domain.errors import bad_request
from domain.webhook_urls import RESOLVABLE_HOST, UrlFlaw, parse_target, require_reachable
from runtime.hosts import Lookup, Unresolvable, resolve


def addresses_of(url: str, *, is_private_allowed: bool, lookup: Lookup | None = None) -> list[str]:
    """The addresses that may be connected to, all checked; UrlFlaw. Blocks while the host is resolved."""
    target = parse_target(url, is_private_allowed=is_private_allowed)
    if target.address is not None:
        return [str(target.address)]
    try:
        found = resolve(target.host, target.port, lookup=lookup)
    except Unresolvable:
        raise UrlFlaw(RESOLVABLE_HOST, "The host has no address") from None
    require_reachable(found, is_private_allowed=is_private_allowed)
    return found


def require_target(url: str, field: str, *, is_private_allowed: bool) -> None:
    """BadRequest at `field` when the URL may not be called. Call it before the transaction: it may take seconds."""
    try:
        addresses_of(url, is_private_allowed=is_private_allowed)
    except UrlFlaw as flaw:
        raise bad_request(field, "invalid", str(flaw), expected=flaw.expected, received=url[:100]) from None
