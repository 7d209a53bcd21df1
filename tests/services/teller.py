"""A bank whose operations somebody subscribes to."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.session import Database
from runtime.ids import new_id
from services import redemptions, reversals
from services.movements import Adjustment, AdjustType, Movement
from services.redemptions import Priced, Redeeming
from services.reversals import Reversing
from services.tickets import Ticket
from services.transactions import transact
from services.transfers import Party, Recipient, Transfer
from services.wallets import WalletChange
from tests.services.ledger_bank import Bank, Coin, Request
from tests.support.message_book import assert_told
from tests.support.outbox import Recorded, make_endpoint


class Teller:
    """A bank with MILES (LOT) and PROMO (SIMPLE, PREFUNDED), both of scale 2, and an endpoint."""

    def __init__(self, database: Database, *enabled: str) -> None:
        self.bank = Bank(database)
        self.bank.mint(is_lot=True, is_prefunded=False, scale=2, maximum=None)
        self.bank.mint(is_lot=False, is_prefunded=True, scale=2, maximum=None)
        self.miles, self.promo = self.bank.coins
        make_endpoint(database, self.organization_id, *(enabled or ("*",)))

    @property
    def organization_id(self) -> UUID:
        return self.bank.author.organization_id

    def adjust(self, amount: str, coin: Coin | None = None, kind: str = "CREDIT", holder: str = "ann", **fields: Any) -> None:
        coin = coin or self.miles
        wanted = Adjustment(self.bank.programs["P"], coin.id, AdjustType(kind), Decimal(amount), "test", **fields)
        self.call("adjust", wanted, holder)

    def move(self, operation: str, amount: str | None = None, holder: str = "ann", **fields: Any) -> None:
        size = None if amount is None else Decimal(amount)
        self.call(operation, Movement(self.bank.programs["P"], self.miles.id, "test", size, **fields), holder)

    def call(self, operation: str, wanted: Any, holder: str | None = None, key: str | None = None) -> None:
        request = Request(operation, wanted, None if holder is None else self.bank.holders[holder])
        self.bank.call(request, key, is_strict=False)

    def transfer(self, *amounts: str) -> Transfer:
        """From ann to bob and the team in turns."""
        takers = [Party("external_id", external_id="bob"), Party("group_id", group_id=self.bank.holders["team"].id)]
        legs = [Recipient(takers[n % 2], Decimal(amount), f"recipients[{n}].amount") for n, amount in enumerate(amounts)]
        giver = Party("participant_id", participant_id=self.bank.holders["ann"].id)
        return Transfer(self.bank.programs["P"], self.miles.id, "test", giver, tuple(legs))

    def wallet(self, operation: str, amount: str) -> None:
        self.call(operation, WalletChange(self.bank.programs["P"], self.promo.id, Decimal(amount)))

    def aim(self, holder: str) -> None:
        """Let a holder be the program's redemption target."""
        with self.bank.database.connection() as conn:
            conn.execute(
                "UPDATE programs SET redemption_target_type = 'LEDGER_ENTITY', redemption_target_entity_id = %s WHERE id = %s",
                [self.bank.holders[holder].id, self.bank.programs["P"]],
            )

    def redeem(self, amount: str) -> UUID:
        """By ann."""
        what = Priced(self.miles.id, Decimal(amount), "test")
        wanted = Redeeming(self.bank.holders["ann"].id, self.bank.programs["P"], what)
        ticket, until = self._ticket()
        transact(self.bank.database, lambda session: redemptions.carry_out(session, ticket, wanted, until))
        return ticket.id

    def reverse(self, redemption_id: UUID, amount: str | None) -> None:
        wanted = Reversing(redemption_id, "test", None if amount is None else Decimal(amount))
        ticket, until = self._ticket()
        transact(self.bank.database, lambda session: reversals.carry_out(session, ticket, wanted, until))

    def _ticket(self) -> tuple[Ticket, Any]:
        """It counts by the real clock."""
        [(now,)] = self.bank.fetch("SELECT clock_timestamp()")
        return Ticket(self.bank.author, new_id(), None, b""), now + timedelta(seconds=60)

    def told(self) -> list[Recorded]:
        """All messages, each of them what the rows say."""
        return assert_told(self.bank.database, self.organization_id)

    def types(self) -> list[str]:
        return [message.type for message in self.told()]
