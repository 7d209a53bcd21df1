"""Idempotency keys: one key, one effect (conventions.md, Idempotency). Events have an identity of their own."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Session

from db.repositories import idempotency as repository
from domain.errors import IdempotencyConflict
from domain.money import format_plain


class Kind(StrEnum):
    """The namespaces of keys: a key is unique per program and kind."""

    BALANCE = "balance"
    WALLET = "wallet"
    REDEMPTION = "redemption"
    REVERSAL = "reversal"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a key counts; without a key nothing is looked up or stored."""

    organization_id: UUID
    program_id: UUID
    kind: Kind
    key: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of an operation, and whether it is the stored one of an earlier call."""

    body: dict[str, Any]
    is_replay: bool = False


def run_once(session: Session, scope: Scope, fingerprint: bytes, operation: Callable[[], dict[str, Any]]) -> Outcome:
    """Run `operation` unless the key was used before; its answer is stored in the same transaction.

    Simultaneous calls with one key wait for each other. The answer must be plain JSON data (texts, not UUIDs, timestamps
    or Decimals). Raises IdempotencyConflict for a key with another payload; what `operation` raises leaves the key free.
    """
    if scope.key is None:
        return Outcome(operation())
    lock(session, scope)
    stored = find_answer(session, scope, fingerprint)
    if stored is not None:
        return stored
    body = operation()
    repository.store(session, scope.organization_id, scope.program_id, scope.kind, scope.key, fingerprint, body)
    return Outcome(body)


def lock(session: Session, scope: Scope) -> None:
    """Wait until no other transaction uses this key; held to the end of the transaction. Nothing without a key."""
    if scope.key is not None:
        repository.lock(session, scope.program_id, scope.kind, scope.key)


def find_answer(session: Session, scope: Scope, fingerprint: bytes) -> Outcome | None:
    """The stored answer of a key that was used before, as a replay; IdempotencyConflict for another payload."""
    if scope.key is None:
        return None
    stored = repository.find(session, scope.organization_id, scope.program_id, scope.kind, scope.key)
    if stored is None:
        return None
    if stored.fingerprint != fingerprint:
        raise IdempotencyConflict(idempotency_key=scope.key, program_id=str(scope.program_id))
    return Outcome(stored.response, is_replay=True)


def fingerprint_of(operation: str, path: Mapping[str, object], payload: Mapping[str, Any]) -> bytes:
    """SHA-256 over the meaning of a request: its operation, the ids of its path, its parsed payload with defaults filled in.

    Amounts compare by value, timestamps by instant, durations (timedelta) by length; null equals leaving out.
    """
    meaning = [operation, _canonical(path), _canonical({name: payload[name] for name in payload if name != "idempotency_key"})]
    text = json.dumps(meaning, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def _canonical(value: object) -> object:  # noqa: PLR0911 - one line per kind of value
    match value:
        case bool() | int() | None:
            return value
        case Enum():
            return value.value
        case str():
            return value
        case Decimal():
            return format_plain(value)
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return {"microseconds": value // timedelta(microseconds=1)}
        case Mapping():
            return {str(name): _canonical(item) for name, item in value.items() if item is not None}
        case list() | tuple():
            return [_canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")
