"""A store of the ledger's beside the model of it: the same names on both sides, and what must hold after every step."""

from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, invariant

from domain.ledger.accounts import AccountKey, AssetTerms, Bucket, EntityType, LotStatus
from domain.ledger.entries import Posting
from tests.domain.ledger.books_store import Store
from tests.domain.ledger.model import Model

ASSET = UUID(int=2**100)
PROGRAMS = {"P": UUID(int=2**101), "Q": UUID(int=2**101 + 1)}
PEOPLE = {"ann": UUID(int=2**102), "bob": UUID(int=2**102 + 1)}
TEAM = UUID(int=2**103)
# What the model calls a holder; a group has an account in each program.
ACCOUNTS = {name: AccountKey(EntityType.PARTICIPANT, id_, ASSET) for name, id_ in PEOPLE.items()} | {
    f"team {program}": AccountKey(EntityType.GROUP, TEAM, ASSET, id_) for program, id_ in PROGRAMS.items()
}
NAMES = {id_: name for name, id_ in (PEOPLE | PROGRAMS).items()}
START = datetime(2026, 1, 1, tzinfo=UTC)
WIDE = Context(prec=100)


class Comparison(RuleBasedStateMachine):
    """Every invariant reads the store as a flush would leave it."""

    scale: int
    store: Store
    model: Model

    def open(self, scale: int, is_lot: bool, is_prefunded: bool, maximum: int | None) -> None:
        """Empty books on both sides; `maximum` in smallest units."""
        self.scale = scale
        ceiling = None if maximum is None else self.decimal(maximum)
        self.store = Store(AssetTerms(ASSET, "A", scale, is_lot, is_prefunded, ceiling))
        self.model = Model(is_lot, is_prefunded, 10**scale, maximum)

    def decimal(self, units: int) -> Decimal:
        sign, digits, _ = Decimal(units).as_tuple()
        return Decimal((sign, digits, -self.scale))

    def owner(self, posting: Posting, program_id: UUID) -> str:
        """What the model calls the account of a posting of an entry made in this program."""
        if posting.entity_id is None:
            return str(posting.entity_type).removeprefix("SYSTEM_")
        if posting.entity_type is EntityType.PROGRAM:
            return f"wallet {NAMES[posting.entity_id]}"
        return f"team {NAMES[program_id]}" if posting.entity_type is EntityType.GROUP else NAMES[posting.entity_id]

    @invariant()
    def the_journal_is_the_models(self) -> None:
        real = [
            (
                str(entry.action_type),
                entry.origin.program_id,
                entry.origin.reference_id,
                entry.origin.description,
                entry.created_at,
                [(self.owner(p, entry.origin.program_id), str(p.bucket), p.amount) for p in entry.postings],
            )
            for entry in self.store.all_entries()
        ]
        assert real == [
            (e.action, PROGRAMS[e.program], e.reference, e.text, e.at, [(o, b, self.decimal(n)) for o, b, n in e.lines])
            for e in self.model.entries
        ]

    @invariant()
    def balances_are_their_postings(self) -> None:
        for holder, key in ACCOUNTS.items():
            account = self.store.account(key)
            for bucket in Bucket:
                assert account.bucket(bucket) == self.decimal(self.model.balance(holder, str(bucket)))
            assert account.held >= 0
            assert account.deferred >= 0
        for program, id_ in PROGRAMS.items():
            wallet = self.store.wallet(id_, ASSET)
            assert wallet.available == self.decimal(self.model.balance(f"wallet {program}")) >= 0

    @invariant()
    def running_figures_follow_the_account(self) -> None:
        last: dict[str, tuple[int, datetime]] = {}
        totals: dict[tuple[str, str], Decimal] = {}
        for entry in self.store.all_entries():
            touched = set()
            for posting in entry.postings:
                if posting.entity_id is None:
                    assert (posting.account_seq, posting.balance_after, posting.total_after) == (None, None, None)
                    continue
                owner = self.owner(posting, entry.origin.program_id)
                seq, at = last.get(owner, (0, START - timedelta(days=1)))
                assert posting.account_seq == seq + 1
                assert entry.created_at > at or owner in touched
                touched.add(owner)
                last[owner] = (seq + 1, entry.created_at)
                place = (owner, str(posting.bucket))
                totals[place] = self.exact(totals.get(place, Decimal(0)), posting.amount)
                assert posting.balance_after == totals[place]
                assert posting.total_after == self.exact(*(n for (other, _), n in totals.items() if other == owner))

    def exact(self, *numbers: Decimal) -> Decimal:
        return self.decimal(sum(int(number.scaleb(self.scale, context=WIDE)) for number in numbers))

    @invariant()
    def lots_are_the_models(self) -> None:
        for holder, key in ACCOUNTS.items():
            lots = self.store.lots_of(key)
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
        for key in ACCOUNTS.values():
            account = self.store.account(key)
            lots = self.store.lots_of(key)
            if account.lots_loaded:
                assert account.lots == [lot for lot in lots if lot.remaining]
                assert list(account.holds.values()) == self.store.holds_of(key)
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
        for holder, key in ACCOUNTS.items():
            holds = self.store.holds_of(key)
            assert self.exact(*(item.remaining for item in holds)) == self.store.account(key).held
            modelled = [item for item in self.model.holds if item.holder == holder and item.remaining]
            assert [(item.program_id, item.reference_id, item.remaining, item.expires_at) for item in holds] == [
                (PROGRAMS[item.program], item.reference, self.decimal(item.remaining), item.expires) for item in modelled
            ]
            if self.model.is_lot:
                for record in holds:
                    inside = [lot.remaining for lot in self.store.lots_of(key) if lot.hold_id == record.id]
                    assert self.exact(*inside) == record.remaining

    @invariant()
    def nothing_due_is_overlooked(self) -> None:
        for key in ACCOUNTS.values():
            account = self.store.account(key)
            moments = [lot.due_at for lot in self.store.lots_of(key)]
            moments += [item.expires_at for item in self.store.holds_of(key)]
            first = min((moment for moment in moments if moment is not None), default=None)
            if first is not None:
                assert account.next_due_at is not None
                assert account.next_due_at <= first
            if account.next_due_at != first:
                assert account.due_is_stale


def index_of(lots: list, wanted: object) -> int:  # type: ignore[type-arg]
    return next(index for index, lot in enumerate(lots) if lot is wanted)
