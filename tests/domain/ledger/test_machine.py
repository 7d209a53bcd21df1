"""Random sequences of operations under a jumping clock: the ledger against a slow model, and its invariants after each step."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.errors import DomainError
from domain.ledger.accounts import AccountKey, AssetTerms, Bucket, EntityType, LotStatus
from domain.ledger.books import Books
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.due import post_due
from domain.ledger.entries import Origin
from domain.ledger.lots import EVERYTHING, Selection
from domain.ledger.moves import forfeit, hold, release, void_hold
from domain.ledger.wallets import burn, fund
from domain.money import format_amount
from tests.domain.ledger.books_store import Store
from tests.domain.ledger.model import Model, Refused

ASSET = UUID(int=2**100)
PROGRAMS = {"P": UUID(int=2**101), "Q": UUID(int=2**101 + 1)}
HOLDERS = {"ann": UUID(int=2**102), "bob": UUID(int=2**102 + 1)}
START = datetime(2026, 1, 1, tzinfo=UTC)

jumps = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=1), timedelta(days=800)])
spans = st.sampled_from([None, None, timedelta(microseconds=3), timedelta(seconds=1), timedelta(hours=1), timedelta(days=30)])
offsets = st.sampled_from([timedelta(seconds=-1), timedelta(seconds=1), timedelta(hours=2)])
moments = st.one_of(spans, offsets.map(lambda offset: ("at", offset)))
amounts = st.one_of(st.integers(1, 12), st.integers(1, 12), st.sampled_from([10**20, 10**21, 10**38]), st.integers(1, 10**38 - 1))
some = st.one_of(st.none(), amounts)
holders = st.sampled_from(sorted(HOLDERS))
programs = st.sampled_from(sorted(PROGRAMS))
references = st.sampled_from([None, "a", "b"])
buckets = st.sampled_from(["AVAILABLE", "HELD"])


class LedgerMachine(RuleBasedStateMachine):
    @initialize(
        is_lot=st.booleans(),
        is_prefunded=st.booleans(),
        scale=st.sampled_from([0, 2, 8, 18]),
        maximum=st.sampled_from([None, None, 10]),
    )
    def begin(self, is_lot: bool, is_prefunded: bool, scale: int, maximum: int | None) -> None:
        self.scale = scale
        ceiling = None if maximum is None else self.decimal(maximum)
        self.store = Store(AssetTerms(ASSET, "A", scale, is_lot, is_prefunded, ceiling))
        self.model = Model(is_lot, is_prefunded, 10**scale, maximum)
        self.now = START
        self.created: list[datetime] = []

    # ------------------------------------------------------------ translation
    def decimal(self, units: int) -> Decimal:
        sign, digits, _ = Decimal(units).as_tuple()
        return Decimal((sign, digits, -self.scale))

    def size(self, units: int) -> int:
        """An amount the API could have let through: below 10^20 whole units."""
        return (units - 1) % (10 ** (20 + self.scale) - 1) + 1

    def key(self, holder: str) -> AccountKey:
        return AccountKey(EntityType.PARTICIPANT, HOLDERS[holder], ASSET)

    def origin(self, program: str, reference: str | None = None) -> Origin:
        return Origin(PROGRAMS[program], "test", reference_id=reference)

    def when(self, moment: object) -> datetime | timedelta | None:
        return self.now + moment[1] if isinstance(moment, tuple) else moment  # type: ignore[return-value]

    def both(self, holder: str | None, real: Callable[[Books], object], modelled: Callable[[], None]) -> None:
        """Do it here and there: the same result or the same refusal, which leaves nothing behind but what was due."""
        if holder is not None:
            self.store.run(lambda books: post_due(books, self.key(holder), self.now))
            self.model.due(holder, self.now)
        try:
            modelled()
            expected = None
        except Refused as refusal:
            expected = refusal
        if expected is None:
            self.store.run(real)
            return
        before = list(self.store.trace())
        with pytest.raises(DomainError) as refused:
            self.store.run(real)
        assert refused.value.code == expected.code
        if expected.available is not None:
            assert refused.value.details["available"] == format_amount(self.decimal(expected.available), self.scale)
        assert list(self.store.trace()) == before

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
        n, dates = self.size(n), (self.when(expires), self.when(matures))
        if not self.model.is_lot:
            dates = (None, None)
        elif bucket == "HELD":
            dates = (dates[0], None)
        self.both(
            holder,
            lambda books: credit(
                books,
                self.key(holder),
                self.decimal(n),
                now=self.now,
                origin=self.origin(program, reference),
                bucket=Bucket(bucket),
                expires_at=dates[0],
                matures_at=dates[1],
            ),
            lambda: self.model.credit(holder, program, n, self.now, bucket, reference, *dates),
        )

    @rule(holder=holders, program=programs, n=amounts, bucket=buckets, allow_negative=st.booleans())
    def debit(self, holder: str, program: str, n: int, bucket: str, allow_negative: bool) -> None:
        n = self.size(n)
        self.both(
            holder,
            lambda books: debit(
                books,
                self.key(holder),
                self.decimal(n),
                now=self.now,
                origin=self.origin(program),
                bucket=Bucket(bucket),
                allow_negative=allow_negative,
            ),
            lambda: self.model.debit(holder, program, n, self.now, bucket, allow_negative),
        )

    def selection(self, since: int | None) -> tuple[Selection, datetime | None]:
        if since is None or not self.model.is_lot or not self.model.lots:
            return EVERYTHING, None
        earned_from = self.model.lots[since % len(self.model.lots)].created
        return Selection(earned_from=earned_from), earned_from

    def maybe(self, n: int | None) -> Decimal | None:
        return None if n is None else self.decimal(n)

    @rule(
        holder=holders,
        program=programs,
        n=some,
        reference=references,
        expires=moments,
        since=st.one_of(st.none(), st.integers(0, 9)),
    )
    def hold(self, holder: str, program: str, n: int | None, reference: str | None, expires: object, since: int | None) -> None:
        n = None if n is None else self.size(n)
        ends, (selection, earned_from) = self.when(expires), self.selection(since)
        self.both(
            holder,
            lambda books: hold(
                books,
                self.key(holder),
                self.maybe(n),
                now=self.now,
                origin=self.origin(program, reference),
                selection=selection,
                expires_at=ends,
            ),
            lambda: self.model.hold(holder, program, n, self.now, reference, ends, earned_from),
        )

    @rule(holder=holders, program=programs, n=some, reference=references, since=st.one_of(st.none(), st.integers(0, 9)))
    def release(self, holder: str, program: str, n: int | None, reference: str | None, since: int | None) -> None:
        n = None if n is None else self.size(n)
        selection, earned_from = self.selection(since)
        self.both(
            holder,
            lambda books: release(
                books, self.key(holder), self.maybe(n), now=self.now, origin=self.origin(program, reference), selection=selection
            ),
            lambda: self.model.release(holder, program, n, self.now, reference, earned_from),
        )

    @rule(
        holder=holders,
        program=programs,
        n=some,
        bucket=buckets,
        reference=references,
        since=st.one_of(st.none(), st.integers(0, 9)),
    )
    def forfeit(self, holder: str, program: str, n: int | None, bucket: str, reference: str | None, since: int | None) -> None:
        n = None if n is None else self.size(n)
        reference = reference if bucket == "HELD" else None
        selection, earned_from = self.selection(since)
        self.both(
            holder,
            lambda books: forfeit(
                books,
                self.key(holder),
                self.maybe(n),
                now=self.now,
                origin=self.origin(program, reference),
                bucket=Bucket(bucket),
                selection=selection,
            ),
            lambda: self.model.forfeit(holder, program, n, self.now, bucket, reference, earned_from),
        )

    @rule(holder=holders, program=programs, reference=st.sampled_from(["a", "b"]))
    def void_hold(self, holder: str, program: str, reference: str) -> None:
        self.both(
            holder,
            lambda books: void_hold(books, self.key(holder), now=self.now, origin=self.origin(program, reference)),
            lambda: self.model.void(holder, program, self.now, reference),
        )

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

    # ------------------------------------------------------------ invariants
    @invariant()
    def the_journal_is_the_models(self) -> None:
        owners = {HOLDERS[name]: name for name in HOLDERS} | {PROGRAMS[name]: f"wallet {name}" for name in PROGRAMS}
        real = [
            (
                str(entry.action_type),
                entry.origin.program_id,
                entry.origin.reference_id,
                entry.origin.description,
                entry.created_at,
                [
                    (owners[p.entity_id] if p.entity_id else str(p.entity_type).removeprefix("SYSTEM_"), str(p.bucket), p.amount)
                    for p in entry.postings
                ],
            )
            for entry in self.store.all_entries()
        ]
        assert real == [
            (e.action, PROGRAMS[e.program], e.reference, e.text, e.at, [(o, b, self.decimal(n)) for o, b, n in e.lines])
            for e in self.model.entries
        ]

    @invariant()
    def balances_are_their_postings(self) -> None:
        for holder in HOLDERS:
            account = self.store.account(self.key(holder))
            for bucket in Bucket:
                assert account.bucket(bucket) == self.decimal(self.model.balance(holder, str(bucket)))
            assert account.held >= 0
            assert account.deferred >= 0
        for program, id_ in PROGRAMS.items():
            wallet = self.store.wallet(id_, ASSET)
            assert wallet.available == self.decimal(self.model.balance(f"wallet {program}")) >= 0

    @invariant()
    def running_figures_follow_the_account(self) -> None:
        last: dict[UUID, tuple[int, datetime]] = {}
        totals: dict[tuple[UUID, str], Decimal] = {}
        for entry in self.store.all_entries():
            for posting in entry.postings:
                if posting.entity_id is None:
                    assert (posting.account_seq, posting.balance_after, posting.total_after) == (None, None, None)
                    continue
                seq, at = last.get(posting.entity_id, (0, START - timedelta(days=1)))
                assert posting.account_seq == seq + 1
                assert entry.created_at > at or any(
                    p.entity_id == posting.entity_id for p in entry.postings[: entry.postings.index(posting)]
                )
                last[posting.entity_id] = (seq + 1, entry.created_at)
                place = (posting.entity_id, str(posting.bucket))
                totals[place] = self.exact(totals.get(place, Decimal(0)), posting.amount)
                assert posting.balance_after == totals[place]
                assert posting.total_after == self.exact(*(n for (owner, _), n in totals.items() if owner == posting.entity_id))

    def exact(self, *numbers: Decimal) -> Decimal:
        return self.decimal(sum(int(number.scaleb(self.scale, context=WIDE)) for number in numbers))

    @invariant()
    def lots_are_the_models(self) -> None:
        for holder in HOLDERS:
            lots = self.store.lots_of(self.key(holder))
            place = {lot.id: index for index, lot in enumerate(lots)}
            expected = self.model.lots_of(holder)
            assert [
                (
                    lot.program_id,
                    lot.amount,
                    lot.remaining,
                    str(lot.status),
                    lot.created_at,
                    lot.expires_at,
                    lot.matures_at,
                    lot.reference_id,
                )
                for lot in lots
            ] == [
                (
                    PROGRAMS[lot.program],
                    self.decimal(lot.amount),
                    self.decimal(lot.remaining),
                    lot.status,
                    lot.created,
                    lot.expires,
                    lot.matures,
                    lot.reference,
                )
                for lot in expected
            ]
            parents = [None if lot.parent_lot_id is None else place[lot.parent_lot_id] for lot in lots]
            assert parents == [None if lot.parent is None else index_of(expected, lot.parent) for lot in expected]

    @invariant()
    def lots_add_up_to_balances(self) -> None:
        for holder in HOLDERS:
            account = self.store.account(self.key(holder))
            lots = self.store.lots_of(self.key(holder))
            if account.lots_loaded:
                assert account.lots == [lot for lot in lots if lot.remaining]
                assert list(account.holds.values()) == self.store.holds_of(self.key(holder))
            for lot in lots:
                assert 0 <= lot.remaining <= lot.amount
                assert (lot.remaining > 0) == (lot.status not in (LotStatus.CONSUMED, LotStatus.EXPIRED))
                assert (lot.hold_id is not None) == (lot.status is LotStatus.HELD)
            if self.model.is_lot:
                for bucket in Bucket:
                    in_lots = self.exact(*(lot.remaining for lot in lots if lot.status == str(bucket)))
                    assert in_lots == max(account.bucket(bucket), 0)

    @invariant()
    def hold_records_add_up_to_held(self) -> None:
        for holder in HOLDERS:
            holds = self.store.holds_of(self.key(holder))
            assert self.exact(*(item.remaining for item in holds)) == self.store.account(self.key(holder)).held
            modelled = [item for item in self.model.holds if item.holder == holder and item.remaining]
            assert [(item.program_id, item.reference_id, item.remaining, item.expires_at) for item in holds] == [
                (PROGRAMS[item.program], item.reference, self.decimal(item.remaining), item.expires) for item in modelled
            ]
            if self.model.is_lot:
                for record in holds:
                    inside = [lot.remaining for lot in self.store.lots_of(self.key(holder)) if lot.hold_id == record.id]
                    assert self.exact(*inside) == record.remaining

    @invariant()
    def nothing_due_is_overlooked(self) -> None:
        for holder in HOLDERS:
            account = self.store.account(self.key(holder))
            moments = [lot.due_at for lot in self.store.lots_of(self.key(holder))]
            moments += [item.expires_at for item in self.store.holds_of(self.key(holder))]
            first = min((moment for moment in moments if moment is not None), default=None)
            if first is not None:
                assert account.next_due_at is not None
                assert account.next_due_at <= first
            if account.next_due_at != first:
                assert account.due_is_stale


def index_of(lots: list, wanted: object) -> int:  # type: ignore[type-arg]
    return next(index for index, lot in enumerate(lots) if lot is wanted)


WIDE = Context(prec=100)

LedgerMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.timeout(120)
class TestLedgerAgainstModel(LedgerMachine.TestCase):  # type: ignore[misc]
    pass
