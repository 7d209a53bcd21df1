"""What the random sequences of test_machine don't pin down: order of due entries, nesting, refusal of unbalanced entries, cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from domain.errors import AssetArchived, BalanceOutOfRange, InsufficientBalance
from domain.ledger.accounts import AccountKey, AssetTerms, Bucket, EntityType, LotStatus
from domain.ledger.books import Books
from domain.ledger.checks import NothingToMove
from domain.ledger.credit import credit
from domain.ledger.debit import debit
from domain.ledger.due import post_due
from domain.ledger.entries import ActionType, Entry, Origin, Posting, UnbalancedEntry
from domain.ledger.lots import Selection
from domain.ledger.missing import MissingAccount, MissingLots, MissingWallet
from domain.ledger.moves import forfeit, hold, release
from domain.ledger.transfer import Leg, transfer
from tests.domain.ledger.books_store import Store

ASSET = AssetTerms(UUID(int=1 << 100), "MILES", 0, is_lot=True, is_prefunded=False)
KEY = AccountKey(EntityType.PARTICIPANT, UUID(int=1 << 101), ASSET.id)
START = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(UUID(int=1 << 102), "test")


@pytest.fixture
def store() -> Store:
    return Store(ASSET)


def earn(store: Store, amount: int, **options: object) -> None:
    store.run(lambda books: credit(books, KEY, Decimal(amount), now=START, origin=ORIGIN, **options))


def story(store: Store) -> list[tuple[str, str]]:
    return [(str(entry.action_type), str(abs(entry.postings[0].amount))) for entry in store.all_entries()]


class TestDueEntries:
    def test_hold_deadlines_then_maturities_then_expiries(self, store: Store) -> None:
        earn(store, 1, expires_at=timedelta(seconds=1))
        earn(store, 2, matures_at=timedelta(seconds=2))
        earn(store, 4)
        store.run(lambda books: hold(books, KEY, Decimal(3), now=START, origin=ORIGIN, expires_at=timedelta(seconds=4)))
        store.run(lambda books: hold(books, KEY, Decimal(2), now=START, origin=ORIGIN, expires_at=timedelta(seconds=3)))
        store.run(lambda books: post_due(books, KEY, START + timedelta(seconds=9)))
        assert story(store)[5:] == [("RELEASE", "2"), ("RELEASE", "3"), ("MATURITY", "2"), ("EXPIRY", "1")]
        times = [entry.created_at for entry in store.all_entries()]
        assert times == sorted(set(times))

    def test_expiry_wins_over_maturity(self, store: Store) -> None:
        earn(store, 5, matures_at=timedelta(seconds=1), expires_at=timedelta(seconds=2))
        store.run(lambda books: post_due(books, KEY, START + timedelta(seconds=2)))
        assert story(store) == [("CREDIT", "5"), ("EXPIRY", "5")]
        first = store.all_entries()[1].postings[0]
        assert (first.bucket, first.amount) == (Bucket.DEFERRED, Decimal(-5))

    def test_one_entry_per_program(self, store: Store) -> None:
        other = Origin(UUID(int=1 << 103), "test")
        earn(store, 1, expires_at=timedelta(seconds=1))
        store.run(lambda books: credit(books, KEY, Decimal(2), now=START, origin=other, expires_at=timedelta(seconds=1)))
        earn(store, 4, expires_at=timedelta(seconds=1))
        store.run(lambda books: post_due(books, KEY, START + timedelta(seconds=2)))
        expiries = [entry for entry in store.all_entries() if entry.action_type is ActionType.EXPIRY]
        assert [(entry.origin.program_id, entry.postings[0].amount) for entry in expiries] == [
            (ORIGIN.program_id, Decimal(-5)),
            (other.program_id, Decimal(-2)),
        ]

    def test_a_maturity_fills_the_overdraft(self, store: Store) -> None:
        earn(store, 5, matures_at=timedelta(seconds=1))
        store.run(lambda books: debit(books, KEY, Decimal(3), now=START, origin=ORIGIN, allow_negative=True))
        store.run(lambda books: post_due(books, KEY, START + timedelta(seconds=1)))
        [lot] = store.lots_of(KEY)
        assert (store.account(KEY).available, lot.remaining, lot.status) == (Decimal(2), Decimal(2), LotStatus.AVAILABLE)

    def test_an_archived_asset_is_frozen(self, store: Store) -> None:
        earn(store, 5, expires_at=timedelta(seconds=1))
        store.commit()
        store.assets[ASSET.id] = AssetTerms(ASSET.id, "MILES", 0, is_lot=True, is_prefunded=False, is_archived=True)
        store.books = store.open()
        store.run(lambda books: post_due(books, KEY, START + timedelta(days=1)))
        assert store.books.entries == []
        with pytest.raises(AssetArchived):
            earn(store, 1)


class TestBooks:
    def test_what_is_missing_is_named(self) -> None:
        books = Books({ASSET.id: ASSET}, lambda: UUID(int=7))
        with pytest.raises(MissingAccount) as missing:
            credit(books, KEY, Decimal(1), now=START, origin=ORIGIN)
        assert missing.value.key == KEY
        prefunded = AssetTerms(ASSET.id, "PROMO", 0, is_lot=True, is_prefunded=True)
        with pytest.raises(MissingWallet):
            credit(Books({ASSET.id: prefunded}, lambda: UUID(int=7)), KEY, Decimal(1), now=START, origin=ORIGIN)

    def test_a_credit_needs_no_lots(self, store: Store) -> None:
        """However many there are, unless it settles or something is due."""
        for _ in range(3):
            earn(store, 1, expires_at=timedelta(days=1))
        store.commit()
        earn(store, 1)
        assert not store.account(KEY).lots_loaded
        with pytest.raises(MissingLots):
            debit(store.books, KEY, Decimal(1), now=START, origin=ORIGIN)
        with pytest.raises(MissingLots):
            credit(store.books, KEY, Decimal(1), now=START + timedelta(days=1), origin=ORIGIN)

    def test_attempts_nest(self, store: Store) -> None:
        earn(store, 10)

        def spend(*amounts: int) -> None:
            with store.books.attempt():
                for amount in amounts:
                    debit(store.books, KEY, Decimal(amount), now=START, origin=ORIGIN)

        def spend_around() -> None:
            with store.books.attempt():
                spend(4)
                with pytest.raises(InsufficientBalance):
                    spend(3, 4)
                assert store.account(KEY).available == Decimal(6)
                spend(6)
                spend(1)

        with pytest.raises(InsufficientBalance):
            spend_around()
        assert store.account(KEY).available == Decimal(10)
        assert story(store) == [("CREDIT", "10")]
        assert [lot.remaining for lot in store.lots_of(KEY)] == [Decimal(10)]

    def test_entries_balance_or_do_not_exist(self) -> None:
        def line(amount: int, asset: int = 1) -> Posting:
            return Posting(UUID(int=3), EntityType.SYSTEM_ISSUANCE, None, UUID(int=asset), Bucket.AVAILABLE, Decimal(amount))

        for bad in ((), (line(1), line(-2)), (line(1), line(-1, 2)), (line(0), line(0))):
            with pytest.raises(UnbalancedEntry):
                Entry(UUID(int=4), ActionType.CREDIT, ORIGIN, START, bad)
        assert Entry(UUID(int=4), ActionType.CREDIT, ORIGIN, START, (line(1), line(-1), line(5, 2), line(-5, 2))).postings


class TestMoves:
    def test_chosen_lots_only(self, store: Store) -> None:
        for amount in (1, 2, 4):
            earn(store, amount)
        second = store.lots_of(KEY)[1]
        chosen = Selection(lot_ids=frozenset({second.id}))
        done = store.run(lambda books: hold(books, KEY, None, now=START, origin=ORIGIN, selection=chosen))
        assert [(move.lot_id, move.amount) for move in done.lots] == [(second.id, Decimal(2))]
        with pytest.raises(InsufficientBalance) as refused:
            store.run(
                lambda books: forfeit(
                    books, KEY, Decimal(5), now=START, origin=ORIGIN, selection=Selection(earned_from=second.created_at)
                )
            )
        assert refused.value.details["available"] == "4"

    def test_nothing_to_move_is_a_refusal_of_its_own(self, store: Store) -> None:
        earn(store, 1)
        with pytest.raises(NothingToMove) as refused:
            store.run(lambda books: release(books, KEY, None, now=START, origin=ORIGIN))
        assert (refused.value.code, refused.value.details["requested"]) == ("insufficient_balance", None)


class TestTransfer:
    """What random sequences meet rarely."""

    OTHER = AccountKey(EntityType.PARTICIPANT, UUID(int=(1 << 101) + 1), ASSET.id)

    def give(self, store: Store, *amounts: int) -> None:
        legs = [Leg(self.OTHER, Decimal(amount)) for amount in amounts]
        store.run(lambda books: transfer(books, KEY, legs, now=START, origin=ORIGIN))

    def test_legs_to_one_recipient_fill_its_overdraft_once(self, store: Store) -> None:
        earn(store, 10)
        store.run(lambda books: debit(books, self.OTHER, Decimal(5), now=START, origin=ORIGIN, allow_negative=True))
        self.give(store, 3, 4, 2)
        lots = [(lot.amount, lot.remaining, lot.status) for lot in store.lots_of(self.OTHER)]
        assert lots == [
            (Decimal(3), Decimal(0), LotStatus.CONSUMED),
            (Decimal(4), Decimal(2), LotStatus.AVAILABLE),
            (Decimal(2), Decimal(2), LotStatus.AVAILABLE),
        ]
        assert store.account(self.OTHER).available == Decimal(4)

    def test_legs_to_one_recipient_meet_the_limit_together(self, store: Store) -> None:
        earn(store, 10)
        most = Decimal(10) ** 20 - 1
        store.run(lambda books: credit(books, self.OTHER, most - 6, now=START, origin=ORIGIN))
        with pytest.raises(BalanceOutOfRange):
            self.give(store, 3, 4)
        assert len(store.all_entries()) == 2
        self.give(store, 3, 3)
        assert store.account(self.OTHER).available == most
