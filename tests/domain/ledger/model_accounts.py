"""Accounts of the slow and simple ledger: whole numbers of the smallest unit, balances summed anew from the journal each time.

Imports nothing of the product. Names of actions, buckets, codes and texts are the specification's.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MICRO = timedelta(microseconds=1)
TWENTY_DIGITS = 10**20


class Refused(Exception):
    def __init__(self, code, available=None):
        self.code, self.available = code, available
        super().__init__(code)


@dataclass
class ModelLot:
    holder: str
    program: str
    amount: int
    remaining: int
    status: str
    created: datetime
    expires: datetime | None
    matures: datetime | None
    reference: str | None
    hold: "ModelHold | None" = None
    parent: "ModelLot | None" = None


@dataclass(eq=False)
class ModelHold:
    holder: str
    program: str
    reference: str | None
    provisional: bool
    amount: int
    remaining: int
    expires: datetime | None


@dataclass
class ModelEntry:
    action: str
    program: str
    reference: str | None
    text: str
    at: datetime
    lines: list  # of (owner, bucket, amount)


@dataclass
class Accounts:
    is_lot: bool
    is_prefunded: bool
    unit: int  # smallest units in 1
    maximum: int | None = None
    entries: list = field(default_factory=list)
    lots: list = field(default_factory=list)
    holds: list = field(default_factory=list)

    # ---------------------------------------------------------------- reading
    def balance(self, owner, bucket="AVAILABLE"):
        return sum(n for e in self.entries for o, b, n in e.lines if (o, b) == (owner, bucket))

    def last(self, text):
        """The amount of the latest entry with this text, by its first line."""
        return abs(next(e for e in reversed(self.entries) if e.text == text).lines[0][2])

    def lots_of(self, holder, status=None):
        # splits are appended after their parents: a stable sort by age is FIFO with ties by age of the row
        mine = [lot for lot in self.lots if lot.holder == holder and status in (None, lot.status)]
        return sorted(mine, key=lambda lot: lot.created)

    def after(self, now, *owners):
        for e in self.entries:
            if e.at >= now and any(o in owners for o, _, _ in e.lines):
                now = e.at + MICRO
        return now

    # ---------------------------------------------------------------- writing
    def write(self, action, program, now, lines, reference=None, text="test"):
        lines = [line for line in lines if line[2]]
        owners = [o for o, _, _ in lines if o not in ("ISSUANCE", "BREAKAGE")]
        entry = ModelEntry(action, program, reference, text, self.after(now, *owners), lines)
        self.entries.append(entry)
        return entry

    def source(self, program):
        return f"wallet {program}" if self.is_prefunded else "ISSUANCE"

    def use_up(self, lots, n):
        for lot in lots:
            part = min(lot.remaining, n)
            n -= part
            lot.remaining -= part
            if lot.hold:
                lot.hold.remaining -= part
            if not lot.remaining:
                lot.status, lot.hold = "CONSUMED", None
        assert n == 0

    def move(self, lots, n, status, hold):
        moved = []
        for lot in list(lots):
            part = min(lot.remaining, n)
            n -= part
            if not part:
                continue
            if lot.hold:
                lot.hold.remaining -= part
            going = lot
            if part < lot.remaining:
                lot.amount -= part
                lot.remaining -= part
                going = ModelLot(**{**lot.__dict__, "amount": part, "remaining": part, "parent": lot})
                self.lots.append(going)
            going.status, going.hold = status, hold
            if hold:
                going.reference = hold.reference
            moved.append(going)
        assert n == 0
        return moved

    def lower(self, holds, n):
        for hold in holds:
            part = min(hold.remaining, n)
            hold.remaining -= part
            n -= part
        assert n == 0

    # ---------------------------------------------------------------- time
    def due(self, holder, now):
        while self.due_once(holder, self.after(now, holder)):
            pass

    def due_once(self, holder, now):
        before = len(self.entries)
        ended = [h for h in self.holds if h.holder == holder and h.remaining and h.expires and h.expires <= now]
        for hold in sorted(ended, key=lambda h: h.expires):
            lots = [lot for lot in self.lots_of(holder, "HELD") if lot.hold is hold]
            self.let_go(holder, hold.program, hold.reference, now, lots, [hold], hold.remaining, "Hold expired")
        ripe = [
            lot for lot in self.lots_of(holder, "DEFERRED") if lot.matures <= now and not (lot.expires and lot.expires <= now)
        ]
        for program in dict.fromkeys(lot.program for lot in ripe):
            lots = [lot for lot in ripe if lot.program == program]
            n = sum(lot.remaining for lot in lots)
            short = max(0, -self.balance(holder))
            self.write("MATURITY", program, now, [(holder, "DEFERRED", -n), (holder, "AVAILABLE", n)], None, "Lots matured")
            self.move(lots, n, "AVAILABLE", None)
            self.use_up(lots, min(short, n))
        gone = [
            lot for lot in self.lots_of(holder) if lot.status in ("AVAILABLE", "DEFERRED") and lot.expires and lot.expires <= now
        ]
        for program in dict.fromkeys(lot.program for lot in gone):
            lots = [lot for lot in gone if lot.program == program]
            a, d = (sum(lot.remaining for lot in lots if lot.status == s) for s in ("AVAILABLE", "DEFERRED"))
            lines = [(holder, "AVAILABLE", -a), (holder, "DEFERRED", -d), ("BREAKAGE", "AVAILABLE", a + d)]
            self.write("EXPIRY", program, now, lines, None, "Lots expired")
            for lot in lots:
                lot.remaining, lot.status = 0, "EXPIRED"
        return len(self.entries) > before

    def let_go(self, holder, program, reference, now, lots, holds, n, text="test"):
        short = max(0, -self.balance(holder))
        entry = self.write("RELEASE", program, now, [(holder, "HELD", -n), (holder, "AVAILABLE", n)], reference, text)
        if self.is_lot:
            moved = self.move(lots, n, "AVAILABLE", None)
            self.use_up(moved, min(short, n))
        else:
            self.lower(holds, n)
        return entry

    # ---------------------------------------------------------------- checks
    def check_maximum(self, n):
        if self.maximum is not None and n > self.maximum:
            raise Refused("max_transaction_amount_exceeded")

    def check_size(self, holder, available, others):
        size = abs(self.balance(holder) + available) + self.balance(holder, "HELD") + self.balance(holder, "DEFERRED") + others
        if size >= TWENTY_DIGITS * self.unit:
            raise Refused("balance_out_of_range")

    def check_wallet(self, program, change):
        if self.is_prefunded:
            self.check_any_wallet(program, change)

    def check_any_wallet(self, program, change):
        after = self.balance(f"wallet {program}") + change
        if after < 0:
            raise Refused("insufficient_wallet", self.balance(f"wallet {program}"))
        if after >= TWENTY_DIGITS * self.unit:
            raise Refused("balance_out_of_range")

    def begin(self, holder, program, now, *, with_source):
        owners = [self.source(program)] if with_source and self.is_prefunded else []
        self.due(holder, self.after(now, *owners))
        return self.after(now, holder, *owners)

    def settle(self, holders, now):
        """Write what is due for several at the moment of an entry that touches them all; that moment."""
        while True:
            moment = self.after(now, *holders)
            for holder in holders:
                self.due(holder, moment)
            if self.after(now, *holders) == moment:
                return moment
