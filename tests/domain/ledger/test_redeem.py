"""Random redemptions and reversals between everything else that may happen to the lots: each unit returns to its lot."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import AssetArchived, BalanceOutOfRange, InsufficientBalance, MaxTransactionAmountExceeded
from domain.ledger.accounts import AccountKey, AssetTerms, Bucket, EntityType, Lot, LotStatus, OutsideAccount
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.due import post_due
from domain.ledger.entries import ActionType, Entry, Origin
from domain.ledger.moves import hold, release
from domain.ledger.redeem import LotPart, Owed, Redeemed, Target, redeem, reverse
from tests.domain.ledger.books_store import Store

ASSET = UUID(int=2**100)
ORIGIN = Origin(UUID(int=2**101), "test")
ANN = AccountKey(EntityType.PARTICIPANT, UUID(int=2**102), ASSET)
BOB = AccountKey(EntityType.PARTICIPANT, UUID(int=2**102 + 1), ASSET)
TEAM = AccountKey(EntityType.GROUP, UUID(int=2**102 + 2), ASSET, ORIGIN.program_id)
TARGETS: dict[str, Target] = {
    "redemption": EntityType.SYSTEM_REDEMPTION,
    "breakage": EntityType.SYSTEM_BREAKAGE,
    "outside": OutsideAccount(UUID(int=2**103)),
    "bob": BOB,
    "team": TEAM,
}
REVERSAL = ActionType.REDEMPTION_REVERSAL
START = datetime(2026, 1, 1, tzinfo=UTC)

amounts = st.integers(1, 12).map(Decimal)
people = st.sampled_from([ANN, BOB])
jumps = st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(hours=1), timedelta(days=40)])
# Never over within the microseconds by which entries follow each other: a step then sees one moment.
lifetimes = st.sampled_from([None, None, timedelta(minutes=30), timedelta(hours=2, minutes=30), timedelta(days=30)])


@dataclass
class Record:
    """A redemption as the database keeps it."""

    target: Target
    amount: Decimal
    taken: tuple[LotPart, ...]
    restored: dict[UUID, Decimal] = field(default_factory=dict)
    reversed: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal:
        return self.amount - self.reversed

    def owed(self) -> list[tuple[UUID, Decimal]]:
        open_ = [(part.lot_id, part.amount - self.restored.get(part.lot_id, Decimal(0))) for part in self.taken]
        return [(lot_id, amount) for lot_id, amount in open_ if amount]


def backwards(owed: list[tuple[UUID, Decimal]], amount: Decimal) -> list[LotPart]:
    """What a reversal must give back, written once more in the simplest way."""
    parts: list[LotPart] = []
    for lot_id, most in reversed(owed):
        part = min(most, amount - sum((one.amount for one in parts), Decimal(0)))
        if part:
            parts.append(LotPart(lot_id, part))
    return parts


class RedeemMachine(RuleBasedStateMachine):
    @initialize(is_lot=st.sampled_from([True, True, False]))
    def begin(self, is_lot: bool) -> None:
        self.store = Store(AssetTerms(ASSET, "A", 0, is_lot, is_prefunded=False))
        self.is_lot = is_lot
        self.now = START
        self.records: list[Record] = []

    # ------------------------------------------------------------------ other life
    @rule(jump=jumps)
    def time_passes(self, jump: timedelta) -> None:
        self.now += jump

    @rule()
    def commit(self) -> None:
        self.store.commit()

    @rule(who=people, amount=amounts, lifetime=lifetimes)
    def earn(self, who: AccountKey, amount: Decimal, lifetime: timedelta | None) -> None:
        expires = lifetime if self.is_lot else None
        self.store.run(lambda books: credit(books, who, amount, now=self.now, origin=ORIGIN, expires_at=expires))

    @rule(who=people, amount=amounts)
    def spend(self, who: AccountKey, amount: Decimal) -> None:
        self.store.run(lambda books: debit(books, who, amount, now=self.now, origin=ORIGIN, allow_negative=True))

    @rule(amount=st.one_of(st.none(), amounts))
    def hold(self, amount: Decimal | None) -> None:
        try:
            self.store.run(lambda books: hold(books, ANN, amount, now=self.now, origin=ORIGIN))
        except InsufficientBalance:
            return

    @rule()
    def release(self) -> None:
        try:
            self.store.run(lambda books: release(books, ANN, None, now=self.now, origin=ORIGIN))
        except InsufficientBalance:
            return

    # ------------------------------------------------------------------ the subject
    @rule(amount=amounts, name=st.sampled_from(sorted(TARGETS)))
    def redeem(self, amount: Decimal, name: str) -> None:
        target = TARGETS[name]
        self.store.run(lambda books: post_due(books, ANN, self.now))
        before, open_before = self.store.account(ANN).available, self.open_lots()
        if amount > before:
            with pytest.raises(InsufficientBalance):
                self.do_redeem(amount, target)
            return
        done = self.do_redeem(amount, target)
        assert self.store.account(ANN).available == before - amount
        self.records.append(Record(target, amount, done.taken))
        assert lines(done.entry) == [(ANN.holder_id, -amount), (id_of(target), amount)]
        if self.is_lot:
            left, expected = amount, []
            for lot in open_before:
                part = min(left, lot.remaining)
                left -= part
                expected += [LotPart(lot.id, part)] if part else []
            assert list(done.taken) == expected

    def do_redeem(self, amount: Decimal, target: Target) -> Redeemed:
        return self.store.run(lambda books: redeem(books, ANN, amount, target, now=self.now, origin=ORIGIN))

    @precondition(lambda self: any(record.left for record in self.records))
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from([record for record in self.records if record.left]))
        amount = data.draw(st.one_of(st.just(record.left), st.integers(1, int(record.left)).map(Decimal)))
        keys = [ANN] + ([record.target] if isinstance(record.target, AccountKey) else [])
        for key in keys:
            self.store.run(lambda books, key=key: post_due(books, key, self.now))
        lots = {lot.id: lot for _, lot in self.store.all_lots().values()}
        owed = [Owed(lots[lot_id], most) for lot_id, most in record.owed()]
        balances = {key: self.store.account(key).available for key in keys}
        entries = len(self.store.all_entries())
        done = self.store.run(lambda books: reverse(books, ANN, amount, record.target, owed, now=self.now, origin=ORIGIN))
        assert list(done.restored) == (backwards(record.owed(), amount) if self.is_lot else [])
        assert lines(done.entry) == [(id_of(record.target), -amount), (ANN.holder_id, amount)]
        for part in done.restored:
            record.restored[part.lot_id] = record.restored.get(part.lot_id, Decimal(0)) + part.amount
        record.reversed += amount
        self.check_lots(lots, done.restored, max(-balances[ANN], Decimal(0)), self.store.all_entries()[entries:])
        if isinstance(record.target, AccountKey):
            assert self.store.account(record.target).available == balances[record.target] - amount

    def check_lots(self, before: dict[UUID, Lot], parts: tuple[LotPart, ...], overdraft: Decimal, entries: list[Entry]) -> None:
        """What returned lies in its lot, or beside it while that is held, but for the overdraft and for what has expired."""
        after = {lot.id: lot for key, lot in self.store.all_lots().values() if key == ANN}
        new = {lot.parent_lot_id: lot for lot in after.values() if lot.id not in before}
        assert [entry.action_type for entry in entries] in ([REVERSAL], [REVERSAL, ActionType.EXPIRY])
        expired = {move.lot_id: move.amount for entry in entries[1:] for move in entry.lots}
        missing = Decimal(0)
        for lot_id, part in parts:
            old, lot = before[lot_id], after[lot_id]
            if old.status is LotStatus.HELD:
                assert (lot.remaining, lot.amount) == (old.remaining, old.amount - part)
                back = new[lot_id]
                assert back.amount == part
                grown = back.remaining
            else:
                back, grown = lot, lot.remaining - (0 if lot.id in expired else old.remaining)
                assert lot.amount == old.amount
            assert (back.created_at, back.expires_at) == (old.created_at, old.expires_at)
            lost = expired.pop(back.id, Decimal(0))
            if lost:
                assert back.is_expired(entries[1].created_at)
                grown = lost - (old.remaining if old.status is LotStatus.AVAILABLE else 0)
            missing += part - grown
        assert missing == min(overdraft, sum((part.amount for part in parts), Decimal(0)))

    def open_lots(self) -> list[Lot]:
        return [lot for lot in self.store.lots_of(ANN) if lot.status is LotStatus.AVAILABLE]

    # ------------------------------------------------------------------ always
    @invariant()
    def lots_make_up_the_buckets(self) -> None:
        for key in (ANN, BOB, TEAM):
            account, lots = self.store.account(key), self.store.lots_of(key)
            if self.is_lot:
                assert sum(lot.remaining for lot in lots if lot.status is LotStatus.AVAILABLE) == max(account.available, 0)
                assert sum(lot.remaining for lot in lots if lot.status is LotStatus.HELD) == account.held
            assert all(0 <= lot.remaining <= lot.amount for lot in lots)

    @invariant()
    def reversals_never_exceed(self) -> None:
        for record in self.records:
            assert 0 <= record.reversed <= record.amount
            for part in record.taken:
                assert record.restored.get(part.lot_id, Decimal(0)) <= part.amount
            if self.is_lot:
                assert sum(record.restored.values()) == record.reversed
                assert sum(part.amount for part in record.taken) == record.amount

    @invariant()
    def balances_follow_from_postings(self) -> None:
        for key in (ANN, BOB, TEAM):
            postings = [posting for entry in self.store.all_entries() for posting in entry.postings]
            mine = [posting.amount for posting in postings if posting.entity_id == key.holder_id]
            assert sum(mine) == self.store.account(key).total


def id_of(target: Target) -> UUID | None:
    if isinstance(target, EntityType):
        return None
    return target.entity_id if isinstance(target, OutsideAccount) else target.holder_id


def lines(entry: Entry) -> list[tuple[UUID | None, Decimal]]:
    assert {posting.bucket for posting in entry.postings} == {Bucket.AVAILABLE}
    return [(posting.entity_id, posting.amount) for posting in entry.postings]


TestRedeem = RedeemMachine.TestCase
TestRedeem.settings = settings(max_examples=150, stateful_step_count=30)


class TestRefusals:
    def test_the_ceiling_then_the_balance_then_the_target(self) -> None:
        store = Store(AssetTerms(ASSET, "A", 0, is_lot=True, is_prefunded=False, max_transaction_amount=Decimal(50)))
        store.run(lambda books: credit(books, ANN, Decimal(40), now=START, origin=ORIGIN))
        with pytest.raises(MaxTransactionAmountExceeded):
            store.run(lambda books: redeem(books, ANN, Decimal(51), BOB, now=START, origin=ORIGIN))
        with pytest.raises(InsufficientBalance) as refused:
            store.run(lambda books: redeem(books, ANN, Decimal(50), BOB, now=START, origin=ORIGIN))
        assert refused.value.details["available"] == "40"

    def test_no_room_in_the_target(self) -> None:
        store = Store(AssetTerms(ASSET, "A", 0, is_lot=False, is_prefunded=False))
        store.run(lambda books: credit(books, ANN, Decimal(10), now=START, origin=ORIGIN))
        store.run(lambda books: credit(books, BOB, Decimal(10**20 - 5), now=START, origin=ORIGIN))
        with pytest.raises(BalanceOutOfRange):
            store.run(lambda books: redeem(books, ANN, Decimal(5), BOB, now=START, origin=ORIGIN))
        store.run(lambda books: redeem(books, ANN, Decimal(4), BOB, now=START, origin=ORIGIN))

    def test_an_archived_asset(self) -> None:
        store = Store(AssetTerms(ASSET, "A", 0, is_lot=False, is_prefunded=False, is_archived=True))
        with pytest.raises(AssetArchived):
            store.run(lambda books: redeem(books, ANN, Decimal(5), BOB, now=START, origin=ORIGIN))
