"""The operations of a random sequence: what is drawn, as a request to the bank and as the model does it.

Mostly what can be done: a refusal says little about what an operation does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from domain.ledger.accounts import Bucket
from services.movements import Adjustment, AdjustType, Movement
from services.transfers import Party, Recipient, Transfer
from services.wallets import WalletChange
from tests.domain.ledger.model import Refused
from tests.domain.ledger.model_accounts import ModelLot
from tests.services.ledger_bank import Bank, Coin, Request
from tests.services.ledger_machine import Machine, recorded

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Sums of these never meet within the time that a sequence takes: what is due doesn't hang on the speed of the machine.
JUMPS = (HOUR / 2, HOUR, 6 * HOUR, 6 * HOUR, 4 * DAY, 400 * DAY)
SPANS = (HOUR, 5 * HOUR, 5 * HOUR, 3 * DAY, 60 * DAY)
REFERENCES = (None, "a", "a", "b")

Admits = Callable[[ModelLot], bool] | None


@dataclass(frozen=True)
class Place:
    """Where an operation is to happen; `name` is what the model calls the account."""

    coin: Coin
    holder: str
    program: str
    name: str
    is_strict: bool


class Steps(Machine):
    def __init__(self, bank: Bank, random: Random) -> None:
        super().__init__(bank, random)
        for coin in bank.coins:
            for program in bank.programs if coin.model.is_prefunded else ():
                self.change_wallet("fund", self.place(coin, program=program), Decimal(500).scaleb(-coin.scale))
            for holder in bank.holders:
                place = self.place(coin, holder, "P")
                self.credit_with(place, Decimal(10).scaleb(-coin.scale), "AVAILABLE", None, None, None)

    # ------------------------------------------------------------ drawing
    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def draw_place(self) -> Place:
        holder = self.random.choice(["ann", "ann", "bob", "team"])
        program = self.random.choice(["P", "P", "Q"])
        return self.place(self.random.choice([*self.bank.coins, self.bank.coins[0]]), holder, program, self.chance(0.1))

    def draw_hold(self, *, is_provisional: bool = False) -> tuple[Place, str | None]:
        """Where something is held, and under which reference, if there is such a place; else anywhere."""
        found = [
            (coin, hold)
            for coin in self.bank.coins
            for hold in coin.model.holds
            if hold.remaining and (hold.provisional or not is_provisional)
        ]
        if not found or self.chance(0.25):
            return self.draw_place(), self.random.choice(REFERENCES)
        coin, hold = self.random.choice(found)
        return self.place(coin, hold.holder.split()[0], hold.program), hold.reference if self.chance(0.7) else None

    def place(self, coin: Coin, holder: str = "ann", program: str = "P", is_strict: bool = False) -> Place:
        return Place(coin, holder, program, f"team {program}" if holder == "team" else holder, is_strict)

    def draw_amount(self, coin: Coin, most: int = 12) -> Decimal:
        """An amount as it is sent, some with more decimals than the asset has, some as large as it can be."""
        if self.chance(0.03):
            return Decimal(self.random.randrange(10**19, 10 ** (20 + coin.scale))).scaleb(-coin.scale)
        more = self.random.choice(["4", "5", "49"]) if self.chance(0.2) else ""
        whole = 0 if more and self.chance(0.2) else self.random.randint(1, most)
        return Decimal(f"{whole}{more}").scaleb(-coin.scale - len(more))

    def draw_moment(self, share: float) -> datetime | timedelta | None:
        """A duration or a fixed time, or none."""
        if not self.chance(share):
            return None
        span = self.random.choice(SPANS)
        return span if self.chance(0.7) else self.bank.now() + span

    def draw_selection(self, place: Place) -> tuple[dict[str, Any], Admits]:
        """Filters among the account's lots, for the service and for the model."""
        lots = place.coin.model.lots_of(place.name)
        if not lots or self.chance(0.7):
            return {}, None
        moment = self.random.choice(lots).created
        kind = self.random.choice(["earned_from", "earned_to", "lot_ids"])
        if kind == "earned_from":
            return {kind: moment}, lambda lot: lot.created >= moment
        if kind == "earned_to":
            return {kind: moment}, lambda lot: lot.created <= moment
        rows = self.bank.fetch(
            "SELECT id FROM lots WHERE asset_id = %(asset)s AND holder_id = %(holder)s AND pair_program_id = %(pair)s"
            " ORDER BY created_at, id",
            asset=place.coin.id,
            **self.bank.place(place.name),
        )
        numbers = self.random.sample(range(len(lots)), min(2, len(lots)))
        chosen = [lots[number] for number in numbers]
        return {kind: tuple(rows[number][0] for number in numbers)}, lambda lot: any(lot is one for one in chosen)

    # ------------------------------------------------------------ operations
    def time_passes(self) -> None:
        self.bank.jump(self.random.choice(JUMPS))

    def credit(self) -> None:
        place, reference = self.draw_place(), self.random.choice(REFERENCES)
        bucket = self.random.choice(["AVAILABLE", "AVAILABLE", "HELD"])
        if bucket == "AVAILABLE" and self.chance(0.3):
            place, reference = self.draw_hold(is_provisional=True)
        expires = matures = None
        if place.coin.model.is_lot:
            expires = self.draw_moment(0.5)
            matures = self.draw_moment(0.3) if bucket == "AVAILABLE" else None
        amount = self.draw_amount(place.coin)
        self.credit_with(place, amount, bucket, reference, expires, matures)

    def credit_with(
        self,
        place: Place,
        amount: Decimal,
        bucket: str,
        reference: str | None,
        expires: datetime | timedelta | None,
        matures: datetime | timedelta | None,
    ) -> None:
        coin, program = place.coin, self.bank.programs[place.program]
        wanted = Adjustment(
            program, coin.id, AdjustType.CREDIT, amount, "test", Bucket(bucket), False, reference, expires, matures
        )

        def modelled(now: datetime) -> int:
            n = recorded(amount, coin.scale, place.is_strict)
            ends, ripens = (now + date if isinstance(date, timedelta) else date for date in (expires, matures))
            if ends is not None and (ends <= now or (ripens is not None and ends <= ripens)):
                raise Refused("bad_request")
            coin.model.credit(place.name, place.program, n, now, bucket, reference, expires, matures)
            return n

        self.attempt(Request("adjust", wanted, self.bank.holders[place.holder]), place.is_strict, coin, (place.name,), modelled)

    def debit(self) -> None:
        place = self.draw_place()
        coin, amount = place.coin, self.draw_amount(place.coin)
        bucket = self.random.choice(["AVAILABLE", "AVAILABLE", "HELD"])
        may_overdraw = self.chance(0.4)
        program = self.bank.programs[place.program]
        wanted = Adjustment(program, coin.id, AdjustType.DEBIT, amount, "test", Bucket(bucket), may_overdraw)

        def modelled(now: datetime) -> int:
            n = recorded(amount, coin.scale, place.is_strict)
            coin.model.debit(place.name, place.program, n, now, bucket, may_overdraw)
            return n

        self.attempt(Request("adjust", wanted, self.bank.holders[place.holder]), place.is_strict, coin, (place.name,), modelled)

    def hold(self) -> None:
        place = self.draw_place()
        ends = self.draw_moment(0.5)

        def work(now: datetime, n: int | None, reference: str | None, admits: Admits) -> None:
            if isinstance(ends, datetime) and ends <= now:
                raise Refused("bad_request")
            place.coin.model.hold(place.name, place.program, n, now, reference, ends, admits)

        self.move("hold", place, work, self.random.choice(REFERENCES), expires_at=ends)

    def release(self) -> None:
        place, held_under = self.draw_hold()

        def work(now: datetime, n: int | None, reference: str | None, admits: Admits) -> None:
            place.coin.model.release(place.name, place.program, n, now, reference, admits)

        self.move("release", place, work, held_under)

    def forfeit(self) -> None:
        place, held_under = self.draw_hold()
        bucket = self.random.choice(["AVAILABLE", "HELD"])

        def work(now: datetime, n: int | None, reference: str | None, admits: Admits) -> None:
            place.coin.model.forfeit(place.name, place.program, n, now, bucket, reference, admits)

        self.move("forfeit", place, work, held_under if bucket == "HELD" else None, bucket=Bucket(bucket))

    def move(
        self,
        operation: str,
        place: Place,
        work: Callable[[datetime, int | None, str | None, Admits], None],
        reference: str | None,
        **fields: Any,
    ) -> None:
        coin = place.coin
        filters, admits = self.draw_selection(place)
        amount = None if self.chance(0.3) else self.draw_amount(coin, 8)
        program = self.bank.programs[place.program]
        if not coin.model.is_lot:
            filters = {}
        wanted = Movement(program, coin.id, "test", amount, reference_id=reference, **fields, **filters)

        def modelled(now: datetime) -> int:
            work(now, None if amount is None else recorded(amount, coin.scale, place.is_strict), reference, admits)
            return coin.model.last("test")

        self.attempt(Request(operation, wanted, self.bank.holders[place.holder]), place.is_strict, coin, (place.name,), modelled)

    def void(self) -> None:
        place, held_under = self.draw_hold(is_provisional=True)
        coin, reference = place.coin, held_under or "a"
        wanted = Movement(self.bank.programs[place.program], coin.id, "test", reference_id=reference)

        def modelled(now: datetime) -> int:
            if not coin.model.is_lot:
                raise Refused("bad_request")
            coin.model.void(place.name, place.program, now, reference)
            return coin.model.last("test")

        self.attempt(Request("void", wanted, self.bank.holders[place.holder]), place.is_strict, coin, (place.name,), modelled)

    def transfer(self) -> None:
        giver = self.draw_place()
        coin = giver.coin
        others = [name for name in self.bank.holders if name != giver.holder or self.chance(0.1)]
        takers = [self.random.choice(others) for _ in range(self.random.randint(1, 4))]
        amounts = [self.draw_amount(coin, 4) for _ in takers]
        legs = tuple(
            Recipient(self.party(taker), amount, f"recipients[{index}].amount")
            for index, (taker, amount) in enumerate(zip(takers, amounts, strict=True))
        )
        wanted = Transfer(self.bank.programs[giver.program], coin.id, "test", self.party(giver.holder), legs)
        names = [self.place(coin, taker, giver.program).name for taker in takers]

        def modelled(now: datetime) -> int:
            sizes = [recorded(amount, coin.scale, giver.is_strict) for amount in amounts]
            if giver.name in names:
                raise Refused("self_transfer")
            coin.model.transfer(giver.name, giver.program, list(zip(names, sizes, strict=True)), now)
            return sum(sizes)

        self.attempt(Request("transfer", wanted), giver.is_strict, coin, (giver.name, *names), modelled)

    def party(self, holder: str) -> Party:
        id_ = self.bank.holders[holder].id
        if holder == "team":
            return Party("group_id", group_id=id_)
        return Party("external_id", external_id=holder) if self.chance(0.5) else Party("participant_id", participant_id=id_)

    def wallet(self) -> None:
        place = self.draw_place()
        if place.coin.model.is_prefunded or self.chance(0.1):
            self.change_wallet(self.random.choice(["fund", "burn"]), place, self.draw_amount(place.coin, 200))

    def change_wallet(self, operation: str, place: Place, amount: Decimal) -> None:
        coin = place.coin
        wanted = WalletChange(self.bank.programs[place.program], coin.id, amount, "test")

        def modelled(now: datetime) -> int:
            n = recorded(amount, coin.scale, place.is_strict)
            if not coin.model.is_prefunded:
                raise Refused("invalid_state")
            work = coin.model.fund if operation == "fund" else coin.model.burn
            work(place.program, n, now)
            return n

        self.attempt(Request(operation, wanted), place.is_strict, coin, (), modelled)
