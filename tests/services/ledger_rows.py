"""The rows of a bank beside its models: after every step they say the same."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from tests.services.ledger_bank import ACCOUNTS, WALLETS, Bank, Coin

Rows = Sequence[Sequence[Any]]
WIDE = Context(prec=100)
DUE_TEXTS = ("Hold expired", "Lots matured", "Lots expired")

_JOURNAL = """
    SELECT e.id, e.action_type, e.program_id, e.reference_id, e.description, e.created_at, e.created_by_api_key_id,
           p.asset_id, p.entity_type, p.entity_id, p.bucket, p.amount
    FROM journal_entries e JOIN postings p ON p.entry_id = e.id
    WHERE e.organization_id = %(organization)s ORDER BY e.created_at, e.id, p.ordinal"""
_BALANCES = """
    SELECT b.asset_id, h.kind, b.holder_id, b.program_id, b.available, b.held, b.deferred, b.next_due_at
    FROM balances b JOIN holders h ON h.id = b.holder_id WHERE b.organization_id = %(organization)s"""
_LOTS = """
    SELECT l.asset_id, h.kind, l.holder_id, l.pair_program_id, l.id, l.parent_lot_id, l.program_id, l.amount, l.remaining, l.status,
           l.created_at, l.expires_at, l.matures_at, l.reference_id
    FROM lots l JOIN holders h ON h.id = l.holder_id WHERE l.organization_id = %(organization)s ORDER BY l.created_at, l.id"""
_HOLDS = """
    SELECT x.asset_id, h.kind, x.holder_id, x.pair_program_id, x.program_id, x.reference_id, x.remaining, x.expires_at
    FROM holds x JOIN holders h ON h.id = x.holder_id WHERE x.organization_id = %(organization)s AND x.remaining > 0
    ORDER BY x.created_at, x.id"""

_WALLETS = "SELECT asset_id, program_id, available FROM wallets WHERE organization_id = %(organization)s"


def units(amount: Decimal, scale: int) -> int:
    """Whole smallest units; it must be a whole number of them."""
    scaled = amount.scaleb(scale, context=WIDE)
    assert scaled == int(scaled)
    return int(scaled)


class Journal:
    """The bank's entries as they were read last."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.seen: set[UUID] = set()
        self.entries: dict[UUID, list[Any]] = {}

    def news(self) -> list[list[Any]]:
        """Entries that weren't there before: asset, action, program, reference, text, time, lines."""
        self.seen = set(self.entries)
        scales = {coin.id: coin.scale for coin in self.bank.coins}
        self.entries = {}
        for id_, action, program, reference, text, at, author, asset, kind, entity, bucket, amount in self.bank.fetch(_JOURNAL):
            assert (author is None) == (text in DUE_TEXTS)
            entry = self.entries.setdefault(id_, [asset, action, self.bank.names[program], reference, text, at, []])
            entry[-1].append((self.bank.owner(kind, entity, program), bucket, units(amount, scales[asset])))
        return [entry for id_, entry in self.entries.items() if id_ not in self.seen]

    def of(self, coin: Coin) -> list[list[Any]]:
        return [entry[1:] for entry in self.entries.values() if entry[0] == coin.id]


def assert_same(bank: Bank, journal: Journal) -> None:
    """Journal, balances, wallets, lots and holds of every asset are the model's."""
    tables = bank.fetch_all(_BALANCES, _WALLETS, _LOTS, _HOLDS)
    for coin in bank.coins:
        modelled = [[e.action, e.program, e.reference, e.text, e.at, e.lines] for e in coin.model.entries]
        # those of one moment lie on different accounts: their order says nothing
        assert sorted(journal.of(coin), key=_place) == sorted(modelled, key=_place)
        balances, wallets, lots, holds = ([row[1:] for row in table if row[0] == coin.id] for table in tables)
        _same_balances(bank, coin, balances)
        _same_wallets(bank, coin, wallets)
        _same_lots(bank, coin, lots)
        _same_holds(bank, coin, holds)


def _place(entry: list[Any]) -> tuple[datetime, str]:
    return entry[4], repr(entry[-1])


def _same_balances(bank: Bank, coin: Coin, rows: Rows) -> None:
    real = {}
    for kind, holder, pair, *buckets, next_due in rows:
        real[bank.owner(kind, holder, pair)] = ([units(amount, coin.scale) for amount in buckets], next_due)
    for account in ACCOUNTS:
        buckets, next_due = real.pop(account, ([0, 0, 0], None))
        assert buckets == [coin.model.balance(account, bucket) for bucket in ("AVAILABLE", "HELD", "DEFERRED")]
        assert next_due == next_due_of(coin, account)
    assert not real


def _same_wallets(bank: Bank, coin: Coin, rows: Rows) -> None:
    wallets = {f"wallet {bank.names[program]}": units(amount, coin.scale) for program, amount in rows}
    assert all(amount >= 0 for amount in wallets.values())
    assert {name: wallets.get(name, 0) for name in WALLETS} == {name: coin.model.balance(name) for name in WALLETS}


def next_due_of(coin: Coin, account: str) -> datetime | None:
    """When something of the account is due next."""
    moments = [hold.expires for hold in coin.model.holds if hold.holder == account and hold.remaining]
    for lot in coin.model.lots_of(account):
        moments += [lot.expires] if lot.status in ("AVAILABLE", "DEFERRED") else []
        moments += [lot.matures] if lot.status == "DEFERRED" else []
    return min((moment for moment in moments if moment is not None), default=None)


def _same_lots(bank: Bank, coin: Coin, found: Rows) -> None:
    rows: dict[str, list[Any]] = {account: [] for account in ACCOUNTS}
    for kind, holder, pair, *lot in found:
        rows[bank.owner(kind, holder, pair)].append(lot)
    for account, real in rows.items():
        places = {lot[0]: index for index, lot in enumerate(real)}
        lots = coin.model.lots_of(account)
        modelled = {id(lot): index for index, lot in enumerate(lots)}
        assert [
            (places.get(parent), bank.names[program], units(amount, coin.scale), units(remaining, coin.scale), *rest)
            for _, parent, program, amount, remaining, *rest in real
        ] == [
            (
                modelled.get(id(lot.parent)),
                lot.program,
                lot.amount,
                lot.remaining,
                lot.status,
                lot.created,
                lot.expires,
                lot.matures,
                lot.reference,
            )
            for lot in lots
        ]


def _same_holds(bank: Bank, coin: Coin, found: Rows) -> None:
    rows: dict[str, list[Any]] = {account: [] for account in ACCOUNTS}
    for kind, holder, pair, program, reference, remaining, expires in found:
        place = bank.owner(kind, holder, pair)
        rows[place].append((bank.names[program], reference, units(remaining, coin.scale), expires))
    for account, real in rows.items():
        open_holds = [hold for hold in coin.model.holds if hold.holder == account and hold.remaining]
        assert real == [(hold.program, hold.reference, hold.remaining, hold.expires) for hold in open_holds]
