"""A slow and simple ledger to compare with: whole numbers of the smallest unit, balances summed anew from the journal each time.

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
class Model:
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

    # ---------------------------------------------------------------- operations
    def credit(self, holder, program, n, now, bucket, reference, expires, matures):
        now = self.begin(holder, program, now, with_source=True)
        expires = now + expires if isinstance(expires, timedelta) else expires
        matures = now + matures if isinstance(matures, timedelta) else matures
        where = "DEFERRED" if bucket == "AVAILABLE" and matures and matures > now else bucket
        ended = []
        if self.is_lot and bucket == "AVAILABLE" and reference:
            ended = self.provisional(holder, program, reference)
        h = sum(lot.remaining for lot in ended)
        self.check_maximum(n)
        if n > h:
            self.check_wallet(program, h - n)
        self.check_size(holder, n if where == "AVAILABLE" else 0, -h if where == "AVAILABLE" else n - h)
        if n < h:
            self.check_wallet(program, h - n)
        short = max(0, -self.balance(holder)) if where == "AVAILABLE" else 0
        lines = [(self.source(program), "AVAILABLE", -n), (holder, where, n)]
        if h:
            lines = [(holder, "HELD", -h), (holder, where, n), (self.source(program), "AVAILABLE", h - n)]
        entry = self.write("SETTLE" if h else "CREDIT", program, now, lines, reference)
        self.use_up(ended, h)
        hold = None
        if bucket == "HELD":
            hold = ModelHold(holder, program, reference, self.is_lot, n, n, None)
            self.holds.append(hold)
        if self.is_lot:
            stamp = reference if hold else None
            lot = ModelLot(holder, program, n, n, where, entry.at, expires, matures, stamp, hold)
            self.lots.append(lot)
            self.use_up([lot], min(short, n))
        self.due(holder, entry.at)

    def provisional(self, holder, program, reference):
        lots = self.lots_of(holder, "HELD")
        return [lot for lot in lots if lot.hold.provisional and (lot.hold.program, lot.hold.reference) == (program, reference)]

    def debit(self, holder, program, n, now, bucket, allow_negative):
        now = self.begin(holder, program, now, with_source=True)
        self.check_maximum(n)
        has = max(0, self.balance(holder, bucket))
        over = max(0, n - has)
        if over and not (allow_negative and bucket == "AVAILABLE"):
            raise Refused("insufficient_balance", has)
        if over:
            self.check_size(holder, -n, 0)
        self.check_wallet(program, n)
        self.write("DEBIT", program, now, [(holder, bucket, -n), (self.source(program), "AVAILABLE", n)])
        self.take(holder, bucket, n - over, None)

    def take(self, holder, bucket, n, chosen):
        if self.is_lot:
            self.use_up(self.lots_of(holder, bucket) if chosen is None else chosen, n)
        elif bucket == "HELD":
            self.lower([h for h in self.holds if h.holder == holder] if chosen is None else chosen, n)

    def matching(self, holder, program, bucket, reference, since):
        """What a selection finds: the amount, and the lots or hold records."""
        if bucket == "AVAILABLE" and not self.is_lot:
            return max(0, self.balance(holder)), []
        if not self.is_lot:
            chosen = [h for h in self.holds if h.holder == holder and h.remaining]
            if reference:
                chosen = [h for h in chosen if (h.program, h.reference) == (program, reference)]
        else:
            chosen = [lot for lot in self.lots_of(holder, bucket) if since is None or lot.created >= since]
            if reference and bucket == "HELD":
                chosen = [lot for lot in chosen if (lot.hold.program, lot.hold.reference) == (program, reference)]
        return sum(item.remaining for item in chosen), chosen

    def hold(self, holder, program, n, now, reference, expires, since):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, "AVAILABLE", None, since)
        n = self.size(n, has)
        entry = self.write("HOLD", program, now, [(holder, "AVAILABLE", -n), (holder, "HELD", n)], reference)
        expires = entry.at + expires if isinstance(expires, timedelta) else expires
        record = ModelHold(holder, program, reference, False, n, n, expires)
        self.holds.append(record)
        if self.is_lot:
            self.move(chosen, n, "HELD", record)
        self.due(holder, entry.at)

    def release(self, holder, program, n, now, reference, since):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, "HELD", reference, since)
        if n is not None and (self.is_lot or reference) and has:
            n = min(n, has)
        n = self.size(n, has)
        entry = self.let_go(holder, program, reference, now, chosen, chosen, n)
        self.due(holder, entry.at)

    def forfeit(self, holder, program, n, now, bucket, reference, since):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, bucket, reference, since)
        n = self.size(n, has)
        self.write("FORFEIT", program, now, [(holder, bucket, -n), ("BREAKAGE", "AVAILABLE", n)], reference)
        self.take(holder, bucket, n, chosen)

    def void(self, holder, program, now, reference):
        now = self.begin(holder, program, now, with_source=True)
        lots = self.provisional(holder, program, reference) if self.is_lot else []
        n = self.size(None, sum(lot.remaining for lot in lots))
        self.check_wallet(program, n)
        self.write("VOID_HOLD", program, now, [(holder, "HELD", -n), (self.source(program), "AVAILABLE", n)], reference)
        self.use_up(lots, n)

    def fund(self, program, n, now):
        self.check_any_wallet(program, n)
        self.write("FUND", program, now, [("ISSUANCE", "AVAILABLE", -n), (f"wallet {program}", "AVAILABLE", n)])

    def burn(self, program, n, now):
        self.check_any_wallet(program, -n)
        self.write("BURN", program, now, [(f"wallet {program}", "AVAILABLE", -n), ("BREAKAGE", "AVAILABLE", n)])

    def size(self, n, has):
        if not has or (n is not None and n > has):
            raise Refused("insufficient_balance", has)
        return has if n is None else n
