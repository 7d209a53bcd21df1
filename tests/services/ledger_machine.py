"""What every step of a random sequence goes through: the request to the bank, the same in the model, and the comparison."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import pytest

from domain.errors import DomainError
from domain.money import format_amount
from services import activity, group_activity, holds
from services.state import EntityKind
from services.transactions import transact
from tests.domain.ledger.model import Refused
from tests.services.ledger_bank import ACCOUNTS, Bank, Coin, Request
from tests.services.ledger_rows import WIDE, Journal, assert_same, units

Modelled = Callable[[datetime], int]


@dataclass(frozen=True)
class Attempt:
    """A request as it was sent; `modelled` does it in the model at a moment and gives the amount that is answered."""

    request: Request
    key: str | None
    is_strict: bool
    coin: Coin
    names: tuple[str, ...]
    modelled: Modelled


def recorded(amount: Decimal, scale: int, is_strict: bool) -> int:
    """What the ledger makes of an amount, in smallest units."""
    exact = amount.scaleb(scale, context=WIDE)
    if is_strict and exact != exact.to_integral_value():
        raise Refused("invalid_scale")
    rounded = int(exact.to_integral_value(ROUND_HALF_UP))
    if not rounded:
        raise Refused("bad_request")
    return rounded


class Machine:
    """A bank beside its models. `random` decides everything."""

    def __init__(self, bank: Bank, random: Random) -> None:
        self.bank = bank
        self.random = random
        self.journal = Journal(bank)
        self.attempts: list[Attempt] = []
        self.answers: dict[tuple[str, str, str], tuple[Request, dict[str, Any]]] = {}
        self.keys = 0

    # ------------------------------------------------------------ both sides
    def attempt(self, request: Request, is_strict: bool, coin: Coin, names: tuple[str, ...], modelled: Modelled) -> None:
        """Send a request without a key, with a new one, or with the last one."""
        key = None
        if self.attempts and (kind := self.random.choice(["none", "none", "none", "new", "new", "new", "last"])) != "none":
            self.keys += kind == "new"
            key = f"key-{self.keys}"
        done = Attempt(request, key, is_strict, coin, names, modelled)
        self.attempts.append(done)
        self.send(done)

    def send(self, attempt: Attempt) -> None:
        """The same answer or the same refusal on both sides, and the same books after it."""
        request, place = attempt.request, self.place_of(attempt)
        before = self.bank.now()
        try:
            outcome = self.bank.call(request, attempt.key, is_strict=attempt.is_strict)
        except DomainError as error:
            refusal = error
        else:
            self.done(attempt, place, outcome.body, is_replay=outcome.is_replay)
            return
        moments = self.settled(attempt.names, before)
        with pytest.raises(Refused) as expected:
            self.expect_fresh(place, request)
            attempt.modelled(max(moments))
        assert refusal.code == expected.value.code
        if expected.value.available is not None:
            shown = Decimal(expected.value.available).scaleb(-attempt.coin.scale)
            assert refusal.details["available"] == format_amount(shown, attempt.coin.scale)
        self.compare()

    def expect_fresh(self, place: tuple[str, str, str] | None, request: Request) -> None:
        if place in self.answers:
            assert self.answers[place][0] != request, "a replay was refused"
            raise Refused("idempotency_conflict")

    def done(self, attempt: Attempt, place: tuple[str, str, str] | None, body: dict[str, Any], *, is_replay: bool) -> None:
        news = self.journal.news()
        if place in self.answers:
            assert (is_replay, news) == (True, [])
            assert (attempt.request, body) == self.answers[place]
        else:
            assert not is_replay
            n = attempt.modelled(news[0][5])
            self.check_answer(attempt, n, body)
        if place is not None:
            self.answers[place] = (attempt.request, body)
        assert_same(self.bank, self.journal)

    def check_answer(self, attempt: Attempt, n: int, body: dict[str, Any]) -> None:
        """What was answered is there: the amount, the balances after it, the entry."""
        coin, model = attempt.coin, attempt.coin.model
        amount = body.get("amount") or body.get("amount_processed") or body.get("total_amount")
        assert amount is None or units(Decimal(amount), coin.scale) == n
        if "balance" in body:
            shown = {bucket.upper(): units(Decimal(text), coin.scale) for bucket, text in body["balance"].items()}
            assert shown == {bucket: model.balance(attempt.names[0], bucket) for bucket in shown}
        [entry] = [e for id_, e in self.journal.entries.items() if str(id_) == body["journal_entry_id"]]
        assert entry[4] == "test"

    def settled(self, names: tuple[str, ...], at: datetime) -> list[datetime]:
        """Write in the model what was due on all accounts of these holders, at the moment when it was written."""
        news = self.journal.news()
        moments = [at]
        for holder in dict.fromkeys(name.split()[0] for name in names):
            mine = [name for name in ACCOUNTS if name.split()[0] == holder]
            written = [entry[5] for entry in news if any(owner in mine for owner, _, _ in entry[-1])]
            moments.append(min(written, default=at))
            for coin in self.bank.coins:
                for name in mine:
                    coin.model.due(name, moments[-1])
        return moments

    def compare(self) -> None:
        self.journal.news()
        assert_same(self.bank, self.journal)

    # ------------------------------------------------------------ readers and background work
    def look(self) -> None:
        """A read shows what is there once everything due is written, sweep or no sweep."""
        coin, program = self.random.choice(self.bank.coins), self.random.choice(list(self.bank.programs))
        holder = self.random.choice(list(self.bank.holders))
        entity, at = self.bank.holders[holder], self.bank.now()
        organization_id = self.bank.author.organization_id

        def read(session: Any) -> list[Any]:
            if entity.kind is EntityKind.PARTICIPANT:
                return list(activity.get_balances(session, organization_id, entity.id, coin.id))
            rows = group_activity.group_balances(session, organization_id, entity.id, self.bank.programs[program])
            return [row for row in rows if row.asset_id == coin.id]

        rows = transact(self.bank.database, read)
        name = f"team {program}" if holder == "team" else holder
        self.settled((name,), at)
        shown = [units(getattr(row, bucket), coin.scale) for row in rows for bucket in ("available", "held", "deferred")]
        expected = [coin.model.balance(name, bucket) for bucket in ("AVAILABLE", "HELD", "DEFERRED")]
        assert (shown or [0, 0, 0]) == expected
        self.compare()

    def sweep(self) -> None:
        at = self.bank.now()
        self.bank.sweep()
        self.settled(ACCOUNTS, at)
        self.compare()

    def deadline(self) -> None:
        """A hold's timer, early, in time or late."""
        rows = self.bank.fetch(
            "SELECT id, holder_id, remaining > 0 AND expires_at <= openscrip_now() FROM holds"
            " WHERE organization_id = %(organization)s AND expires_at IS NOT NULL ORDER BY created_at, id"
        )
        if rows:
            hold_id, holder_id, has_come = self.random.choice(rows)
            at = self.bank.now()
            transact(self.bank.database, lambda session: holds.attend(session, self.bank.author.organization_id, hold_id))
            if has_come:
                self.settled((self.bank.names[holder_id],), at)
            self.compare()

    # ------------------------------------------------------------ retries
    def again(self) -> None:
        """A retry: with a key that has an answer nothing is done, after a refusal or without a key it is tried anew."""
        self.send(self.random.choice(self.attempts[-8:]))

    def again_but_other(self) -> None:
        """The key of a success with another payload."""
        used = [attempt for attempt in self.attempts if attempt.key is not None and self.place_of(attempt) in self.answers]
        if used:
            attempt = self.random.choice(used)
            other = replace(attempt.request, wanted=replace(attempt.request.wanted, description="other"))
            self.send(replace(attempt, request=other))

    def place_of(self, attempt: Attempt) -> tuple[str, str, str] | None:
        """Where the attempt's key counts; None without a key."""
        if attempt.key is None:
            return None
        return self.bank.names[attempt.request.wanted.program_id], str(attempt.request.kind), attempt.key
