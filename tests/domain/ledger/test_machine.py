"""Random sequences of operations under a jumping clock: the ledger against a slow model, and its invariants after each step."""

import os
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from domain.errors import DomainError
from domain.ledger.accounts import AccountKey, Bucket
from domain.ledger.books import Books
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.due import post_due
from domain.ledger.entries import Origin
from domain.ledger.lots import EVERYTHING, Selection
from domain.ledger.moves import forfeit, hold, release, void_hold
from domain.ledger.transfer import Leg, transfer
from domain.ledger.wallets import burn, fund
from domain.money import format_amount
from tests.domain.ledger.comparison import ACCOUNTS, ASSET, PROGRAMS, START, Comparison
from tests.domain.ledger.model import Refused
from tests.domain.ledger.model_accounts import ModelLot

jumps = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=1), timedelta(days=800)])
spans = st.sampled_from([None, None, timedelta(microseconds=3), timedelta(seconds=1), timedelta(hours=1), timedelta(days=30)])
offsets = st.sampled_from([timedelta(seconds=-1), timedelta(seconds=1), timedelta(hours=2)])
moments = st.one_of(spans, offsets.map(lambda offset: ("at", offset)))
# mostly what can be done: a refusal says little about what an operation does
amounts = st.one_of(*[st.integers(1, 12)] * 7, st.one_of(st.sampled_from([10**20, 10**21, 10**38]), st.integers(1, 10**38 - 1)))
some = st.one_of(st.none(), amounts)
shares = st.one_of(*[st.integers(1, 6)] * 7, amounts)
holders = st.sampled_from(["ann", "bob", "team"])
programs = st.sampled_from(sorted(PROGRAMS))
references = st.sampled_from([None, "a", "a", "b"])
buckets = st.sampled_from(["AVAILABLE", "HELD"])
choices = st.one_of(st.none(), st.tuples(st.sampled_from(["earned_from", "earned_to", "lot_ids"]), st.integers(0, 9)))
Choice = tuple[str, int] | None


class LedgerMachine(Comparison):
    @initialize(
        is_lot=st.sampled_from([True, True, False]),
        is_prefunded=st.booleans(),
        scale=st.sampled_from([0, 2, 8, 18]),
        maximum=st.sampled_from([None, None, 10]),
        endowment=st.sampled_from([0, 9, 9, 9]),
        bob=st.sampled_from(["usual", "overdrawn", "overdrawn", "full"]),
    )
    def begin(self, is_lot: bool, is_prefunded: bool, scale: int, maximum: int | None, endowment: int, bob: str) -> None:
        self.open(scale, is_lot, is_prefunded, maximum)
        self.now = START
        for program in PROGRAMS if endowment else ():
            self.fund(program, 10 * endowment)
            for holder in ("ann", "bob", "team"):
                self.credit(holder, program, endowment, "AVAILABLE", None, None, None)
        if bob == "overdrawn":
            for n in (10, 10, endowment + 1):
                self.debit("bob", "P", n, "AVAILABLE", allow_negative=True)
        elif bob == "full":
            self.credit("bob", "P", 10 ** (20 + scale) - 21, "AVAILABLE", None, None, None)

    # ------------------------------------------------------------ translation
    def size(self, units: int) -> int:
        """An amount the API could have let through: below 10^20 whole units."""
        return (units - 1) % (10 ** (20 + self.scale) - 1) + 1

    def account(self, holder: str, program: str) -> tuple[str, AccountKey]:
        """The account that the holder has in this program, as the model calls it and as the ledger does."""
        name = f"team {program}" if holder == "team" else holder
        return name, ACCOUNTS[name]

    def origin(self, program: str, reference: str | None = None) -> Origin:
        return Origin(PROGRAMS[program], "test", reference_id=reference)

    def when(self, moment: object) -> datetime | timedelta | None:
        return self.now + moment[1] if isinstance(moment, tuple) else moment  # type: ignore[return-value]

    def settle(self, account: str) -> None:
        self.store.run(lambda books: post_due(books, ACCOUNTS[account], self.now))
        self.model.due(account, self.now)

    def both(self, account: str | None, real: Callable[[Books], object], modelled: Callable[[], None]) -> bool:
        """Do it here and there: the same result or the same refusal, which leaves nothing behind; whether it was done.

        What is due on `account` is written before. What falls due at the moment of a refused entry is undone with it.
        """
        if account is not None:
            self.settle(account)
        unchanged = pickle.dumps(self.model)
        try:
            modelled()
            expected = None
        except Refused as refusal:
            expected = refusal
            self.model = pickle.loads(unchanged)
        if expected is None:
            self.store.run(real)
            return True
        before = list(self.store.trace())
        with pytest.raises(DomainError) as refused:
            self.store.run(real)
        assert refused.value.code == expected.code
        if expected.available is not None:
            assert refused.value.details["available"] == format_amount(self.decimal(expected.available), self.scale)
        assert list(self.store.trace()) == before
        return False

    # ------------------------------------------------------------ steps
    @rule(jump=jumps)
    def time_passes(self, jump: timedelta) -> None:
        self.now += jump

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule(holder=holders, program=programs, n=amounts, bucket=buckets, reference=references, expires=moments, matures=moments)
    def credit(
        self, holder: str, program: str, n: int, bucket: str, reference: str | None, expires: object, matures: object
    ) -> None:
        account, key = self.account(holder, program)
        n, dates = self.size(n), (self.when(expires), self.when(matures))
        if not self.model.is_lot:
            dates = (None, None)
        elif bucket == "HELD":
            dates = (dates[0], None)
        self.both(
            account,
            lambda books: credit(
                books,
                key,
                self.decimal(n),
                now=self.now,
                origin=self.origin(program, reference),
                bucket=Bucket(bucket),
                expires_at=dates[0],
                matures_at=dates[1],
            ),
            lambda: self.model.credit(account, program, n, self.now, bucket, reference, *dates),
        )

    @rule(holder=holders, program=programs, n=amounts, bucket=buckets, allow_negative=st.booleans())
    def debit(self, holder: str, program: str, n: int, bucket: str, allow_negative: bool) -> None:
        account, key = self.account(holder, program)
        n = self.size(n)
        self.both(
            account,
            lambda books: debit(
                books,
                key,
                self.decimal(n),
                now=self.now,
                origin=self.origin(program),
                bucket=Bucket(bucket),
                allow_negative=allow_negative,
            ),
            lambda: self.model.debit(account, program, n, self.now, bucket, allow_negative),
        )

    def selection(self, account: str, choice: Choice) -> tuple[Selection, Callable[[ModelLot], bool] | None]:
        """Filters among the account's lots, for the ledger and for the model."""
        lots = self.model.lots_of(account)
        if choice is None or not lots:
            return EVERYTHING, None
        kind, index = choice
        moment = lots[index % len(lots)].created
        if kind == "earned_from":
            return Selection(earned_from=moment), lambda lot: lot.created >= moment
        if kind == "earned_to":
            return Selection(earned_to=moment), lambda lot: lot.created <= moment
        places = {index % len(lots), (index + 2) % len(lots)}
        real = self.store.lots_of(ACCOUNTS[account])
        chosen = [lots[place] for place in places]
        return Selection(lot_ids=frozenset(real[place].id for place in places)), lambda lot: any(lot is one for one in chosen)

    def maybe(self, n: int | None) -> Decimal | None:
        return None if n is None else self.decimal(n)

    @rule(holder=holders, program=programs, n=some, reference=references, expires=moments, choice=choices)
    def hold(self, holder: str, program: str, n: int | None, reference: str | None, expires: object, choice: Choice) -> None:
        account, key = self.account(holder, program)
        n = None if n is None else self.size(n)
        ends, (selection, admits) = self.when(expires), self.selection(account, choice)
        self.both(
            account,
            lambda books: hold(
                books,
                key,
                self.maybe(n),
                now=self.now,
                origin=self.origin(program, reference),
                selection=selection,
                expires_at=ends,
            ),
            lambda: self.model.hold(account, program, n, self.now, reference, ends, admits),
        )

    @rule(holder=holders, program=programs, n=some, reference=references, choice=choices)
    def release(self, holder: str, program: str, n: int | None, reference: str | None, choice: Choice) -> None:
        account, key = self.account(holder, program)
        n = None if n is None else self.size(n)
        selection, admits = self.selection(account, choice)
        self.both(
            account,
            lambda books: release(
                books, key, self.maybe(n), now=self.now, origin=self.origin(program, reference), selection=selection
            ),
            lambda: self.model.release(account, program, n, self.now, reference, admits),
        )

    @rule(holder=holders, program=programs, n=some, bucket=buckets, reference=references, choice=choices)
    def forfeit(self, holder: str, program: str, n: int | None, bucket: str, reference: str | None, choice: Choice) -> None:
        account, key = self.account(holder, program)
        n = None if n is None else self.size(n)
        reference = reference if bucket == "HELD" else None
        selection, admits = self.selection(account, choice)
        self.both(
            account,
            lambda books: forfeit(
                books,
                key,
                self.maybe(n),
                now=self.now,
                origin=self.origin(program, reference),
                bucket=Bucket(bucket),
                selection=selection,
            ),
            lambda: self.model.forfeit(account, program, n, self.now, bucket, reference, admits),
        )

    @rule(holder=holders, program=programs, reference=st.sampled_from(["a", "b"]))
    def void_hold(self, holder: str, program: str, reference: str) -> None:
        account, key = self.account(holder, program)
        self.both(
            account,
            lambda books: void_hold(books, key, now=self.now, origin=self.origin(program, reference)),
            lambda: self.model.void(account, program, self.now, reference),
        )

    @rule(giver=holders, program=programs, legs=st.lists(st.tuples(holders, shares), min_size=1, max_size=4))
    def transfer(self, giver: str, program: str, legs: list[tuple[str, int]]) -> None:
        account, key = self.account(giver, program)
        parts = [(self.account(taker, program), self.size(n)) for taker, n in legs if taker != giver]
        if not parts:
            return
        done = self.both(
            None,
            lambda books: transfer(
                books,
                key,
                [Leg(taker, self.decimal(n)) for (_, taker), n in parts],
                now=self.now,
                origin=self.origin(program),
            ),
            lambda: self.model.transfer(account, program, [(taker, n) for (taker, _), n in parts], self.now),
        )
        if not done:
            for name in (account, *(taker for (taker, _), _ in parts)):
                self.settle(name)

    @rule(program=programs, n=amounts)
    def fund(self, program: str, n: int) -> None:
        n = self.size(n)
        if self.model.is_prefunded:
            self.both(
                None,
                lambda books: fund(books, ASSET, self.decimal(n), now=self.now, origin=self.origin(program)),
                lambda: self.model.fund(program, n, self.now),
            )

    @rule(program=programs, n=amounts)
    def burn(self, program: str, n: int) -> None:
        n = self.size(n)
        if self.model.is_prefunded:
            self.both(
                None,
                lambda books: burn(books, ASSET, self.decimal(n), now=self.now, origin=self.origin(program)),
                lambda: self.model.burn(program, n, self.now),
            )


SEQUENCES = int(os.environ.get("LEDGER_SEQUENCES", "150"))

LedgerMachine.TestCase.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(120 + SEQUENCES)
class TestLedgerAgainstModel(LedgerMachine.TestCase):  # type: ignore[misc]
    pass
