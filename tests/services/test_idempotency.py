"""One key, one effect (conventions.md, Idempotency), with real commits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import Session

from db.session import Database
from domain.errors import IdempotencyConflict, InsufficientBalance
from services.idempotency import Kind, Outcome, Scope, run_once
from services.transactions import transact


def scope(key: str | None = "k", kind: Kind = Kind.BALANCE) -> Scope:
    return Scope(uuid4(), uuid4(), kind, key)


class Counted:
    """An operation that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> dict[str, Any]:
        self.runs += 1
        return {"z": "1.50", "a": ["x", None, True], "number": self.runs}


def call(database: Database, where: Scope, operation: Any, fingerprint: bytes = b"1") -> Outcome:
    return transact(database, lambda session: run_once(session, where, fingerprint, operation))


def test_replay_is_the_stored_answer(database: Database) -> None:
    where, operation = scope(), Counted()
    first = call(database, where, operation)
    again = call(database, where, operation)
    assert (first.is_replay, again.is_replay, operation.runs) == (False, True, 1)
    assert list(again.body.items()) == list(first.body.items())


def test_another_payload_conflicts(database: Database) -> None:
    where, operation = scope(), Counted()
    call(database, where, operation)
    with pytest.raises(IdempotencyConflict) as refused:
        call(database, where, operation, b"2")
    assert refused.value.details == {"idempotency_key": "k", "program_id": str(where.program_id)}
    assert operation.runs == 1


def test_kinds_programs_and_tenants_are_apart(database: Database) -> None:
    where, operation = scope(), Counted()
    call(database, where, operation)
    call(database, Scope(where.organization_id, where.program_id, Kind.TRANSFER, "k"), operation, b"2")
    call(database, Scope(where.organization_id, uuid4(), where.kind, "k"), operation, b"3")
    assert operation.runs == 3


def test_without_a_key_nothing_is_stored(database: Database) -> None:
    where, operation = scope(None), Counted()
    for _ in range(2):
        assert not call(database, where, operation).is_replay
    assert operation.runs == 2


def test_a_refusal_leaves_the_key_free(database: Database) -> None:
    where, operation = scope(), Counted()

    def refuse() -> dict[str, Any]:
        raise InsufficientBalance

    with pytest.raises(InsufficientBalance):
        call(database, where, refuse)
    assert not call(database, where, operation, b"2").is_replay


def test_simultaneous_calls_have_one_effect(database: Database) -> None:
    where, operation = scope(), Counted()
    entered = threading.Event()

    def slow() -> dict[str, Any]:
        entered.wait(0.2)
        return operation()

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda _: call(database, where, slow), range(6)))
    assert operation.runs == 1
    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 5
    assert all(outcome.body == outcomes[0].body for outcome in outcomes)


def test_a_transaction_that_fails_later_takes_its_key_back(database: Database) -> None:
    where, operation = scope(), Counted()

    def fail_after(session: Session) -> None:
        run_once(session, where, b"1", operation)
        raise RuntimeError("after the operation")

    with pytest.raises(RuntimeError):
        transact(database, fail_after)
    assert not call(database, where, operation).is_replay
