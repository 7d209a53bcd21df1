"""A slow and simple ledger to compare with: its operations, on the accounts of model_accounts.

Imports nothing of the product. Names of actions, buckets, codes and texts are the specification's.
"""

from dataclasses import dataclass
from datetime import timedelta

from tests.domain.ledger.model_accounts import Accounts, ModelHold, ModelLot, Refused

__all__ = ["Model", "Refused"]


@dataclass
class Model(Accounts):
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

    def matching(self, holder, program, bucket, reference, admits):
        """What a selection finds: the amount, and the lots or hold records. `admits` says which lots may be taken; None: all."""
        if bucket == "AVAILABLE" and not self.is_lot:
            return max(0, self.balance(holder)), []
        if not self.is_lot:
            chosen = [h for h in self.holds if h.holder == holder and h.remaining]
            if reference:
                chosen = [h for h in chosen if (h.program, h.reference) == (program, reference)]
        else:
            chosen = [lot for lot in self.lots_of(holder, bucket) if admits is None or admits(lot)]
            if reference and bucket == "HELD":
                chosen = [lot for lot in chosen if (lot.hold.program, lot.hold.reference) == (program, reference)]
        return sum(item.remaining for item in chosen), chosen

    def hold(self, holder, program, n, now, reference, expires, admits):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, "AVAILABLE", None, admits)
        n = self.size(n, has)
        entry = self.write("HOLD", program, now, [(holder, "AVAILABLE", -n), (holder, "HELD", n)], reference)
        expires = entry.at + expires if isinstance(expires, timedelta) else expires
        record = ModelHold(holder, program, reference, False, n, n, expires)
        self.holds.append(record)
        if self.is_lot:
            self.move(chosen, n, "HELD", record)
        self.due(holder, entry.at)

    def release(self, holder, program, n, now, reference, admits):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, "HELD", reference, admits)
        if n is not None and (self.is_lot or reference) and has:
            n = min(n, has)
        n = self.size(n, has)
        entry = self.let_go(holder, program, reference, now, chosen, chosen, n)
        self.due(holder, entry.at)

    def forfeit(self, holder, program, n, now, bucket, reference, admits):
        now = self.begin(holder, program, now, with_source=False)
        has, chosen = self.matching(holder, program, bucket, reference, admits)
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

    def transfer(self, giver, program, legs, now):
        takers = list(dict.fromkeys(taker for taker, _ in legs))
        now = self.settle([giver, *takers], now)
        n = sum(part for _, part in legs)
        for part in (n, *(part for _, part in legs)):
            self.check_maximum(part)
        has, chosen = self.matching(giver, program, "AVAILABLE", None, None)
        self.size(n, has)
        for taker in takers:
            self.check_size(taker, sum(part for other, part in legs if other == taker), 0)
        short = {taker: max(0, -self.balance(taker)) for taker in takers}
        lines = [(giver, "AVAILABLE", -n), *((taker, "AVAILABLE", part) for taker, part in legs)]
        entry = self.write("TRANSFER", program, now, lines)
        self.take(giver, "AVAILABLE", n, chosen)
        for taker, part in legs if self.is_lot else ():
            lot = ModelLot(taker, program, part, part, "AVAILABLE", entry.at, None, None, None)
            self.lots.append(lot)
            filled = min(short[taker], part)
            short[taker] -= filled
            self.use_up([lot], filled)

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
