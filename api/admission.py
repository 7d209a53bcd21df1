"""Who may come in: keys looked up with a cache of a few seconds, then the organization's rate limit."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import anyio
from anyio import CapacityLimiter, to_thread

from api.errors import Forbidden, TooManyRequests, Unauthorized
from db.session import Database
from services.organizations import KEY_PREFIX, KeyOwner, authenticate, hash_key
from services.ratelimit import RateLimiter, Verdict

# revocation and suspension work after this long at the latest; conventions.md allows 5 s
KNOWN_SECONDS = 3.0
UNKNOWN_SECONDS = 1.0
MAX_KNOWN = 10_000
MAX_UNKNOWN = 1_000
MAX_KEY_LENGTH = 255
LOOKUP_THREADS = 4

Headers = list[tuple[bytes, bytes]]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose request this is."""

    organization_id: UUID
    api_key_id: UUID


def presented_key(headers: Mapping[bytes, bytes]) -> str:
    """The key a request carries; `Authorization` beats `X-API-Key`. Raises Unauthorized for none or a malformed one."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, key = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized
    else:
        key = headers.get(b"x-api-key", b"").decode("latin-1")
    key = key.strip()
    if not key.startswith(KEY_PREFIX) or len(key) > MAX_KEY_LENGTH:
        raise Unauthorized
    return key


class KeyCache:
    """Owners of keys by their hash; simultaneous questions about one key ask the database once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[bytes, tuple[float, KeyOwner]] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[KeyOwner | None]] = {}
        self._threads = CapacityLimiter(LOOKUP_THREADS)

    async def owner(self, key: str) -> KeyOwner | None:
        """The owner of a key; None when it is unknown or revoked."""
        digest = hash_key(key)
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return known[1]
        if self._unknown.get(digest, 0.0) > now:
            return None
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask(digest))
            asking.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(asking)

    async def _ask(self, digest: bytes) -> KeyOwner | None:
        # what the database says is as old as the question
        asked_at = time.monotonic()
        owner = await to_thread.run_sync(self._look_up, digest, limiter=self._threads)
        if owner is None:
            self._known.pop(digest, None)
            _remember(self._unknown, digest, asked_at + UNKNOWN_SECONDS, MAX_UNKNOWN)
        else:
            _remember(self._known, digest, (asked_at + KNOWN_SECONDS, owner), MAX_KNOWN)
        return owner

    def _look_up(self, digest: bytes) -> KeyOwner | None:
        with self._database.session() as session:
            return authenticate(session, digest)


def _remember(cache: OrderedDict[bytes, Value], digest: bytes, value: Value, maximum: int) -> None:
    cache[digest] = value
    cache.move_to_end(digest)
    if len(cache) > maximum:
        cache.popitem(last=False)


class Turnstile:
    """The rate limit of all organizations in this process."""

    def __init__(self, database: Database, rate: float, burst: int) -> None:
        self._database = database
        self._limiter = RateLimiter(rate, burst)
        self._leasing: dict[UUID, anyio.Lock] = {}
        self._threads = CapacityLimiter(LOOKUP_THREADS)
        self._limit_header = (b"x-ratelimit-limit", str(burst).encode())

    async def pass_through(self, organization_id: UUID, headers: Headers) -> None:
        """Take a token and add the headers; TooManyRequests when there is none."""
        verdict = self._limiter.take(organization_id, time.monotonic())
        if verdict is None:
            verdict = await self._lease(organization_id)
        self._describe(verdict, headers)
        if not verdict.is_allowed:
            raise TooManyRequests(verdict.retry_after)

    def show(self, organization_id: UUID, headers: Headers) -> None:
        """Add the headers without taking a token."""
        self._describe(self._limiter.look(organization_id, time.monotonic()), headers)

    async def _lease(self, organization_id: UUID) -> Verdict:
        async with self._leasing.setdefault(organization_id, anyio.Lock()):
            verdict = self._limiter.take(organization_id, time.monotonic())
            while verdict is None:
                most_left = self._limiter.most_left(organization_id, time.monotonic())
                granted, left = await to_thread.run_sync(self._ask, organization_id, most_left, limiter=self._threads)
                now = time.monotonic()
                self._limiter.feed(organization_id, granted, left, now)
                verdict = self._limiter.take(organization_id, now)
            return verdict

    def _ask(self, organization_id: UUID, most_left: float) -> tuple[float, float]:
        with self._database.session() as session:
            return self._limiter.lease(session, organization_id, most_left)

    def _describe(self, verdict: Verdict, headers: Headers) -> None:
        full_at = int(-(-(time.time() + verdict.full_in) // 1))
        headers += (
            self._limit_header,
            (b"x-ratelimit-remaining", str(verdict.remaining).encode()),
            (b"x-ratelimit-reset", str(full_at).encode()),
        )


async def admit(headers: Mapping[bytes, bytes], keys: KeyCache, turnstile: Turnstile | None, answer: Headers) -> Principal:
    """Check key, organization and rate limit in this order, adding the rate-limit headers to the answer's."""
    owner = await keys.owner(presented_key(headers))
    if owner is None:
        raise Unauthorized
    if owner.is_suspended:
        if turnstile is not None:
            turnstile.show(owner.organization_id, answer)
        raise Forbidden
    if turnstile is not None:
        await turnstile.pass_through(owner.organization_id, answer)
    return Principal(owner.organization_id, owner.api_key_id)
