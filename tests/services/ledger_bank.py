"""Two programs, two people, a group and some assets in a real database, and every operation as the API frames it.

A call is one transaction with its idempotency key; after a refusal what was due is written, as the routes do.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlmodel import Session

from api.schemas.balances import adjust_body, move_body
from api.schemas.transfers import transfer_body
from api.schemas.wallets import change_body
from db.session import Database
from domain.errors import DomainError
from runtime.ids import NIL, new_id
from services import assets, balances, due, groups, organizations, participants, programs, transfers, wallets
from services.assets import InventoryMode, IssuancePolicy, NewAsset
from services.idempotency import Kind, Outcome, Scope, fingerprint_of, run_once
from services.movements import Adjustment, Movement
from services.state import Author, Entity, EntityKind
from services.transactions import transact
from services.transfers import Transfer
from services.wallets import WalletChange
from tests.domain.ledger.model import Model

PEOPLE = ("ann", "bob")
PROGRAMS = ("P", "Q")
ACCOUNTS = (*PEOPLE, *(f"team {program}" for program in PROGRAMS))
WALLETS = tuple(f"wallet {program}" for program in PROGRAMS)

_MOVES = {
    "hold": balances.hold_balance,
    "release": balances.release_balance,
    "forfeit": balances.forfeit_balance,
    "void": balances.void_hold_balance,
}
_WALLET = {"fund": wallets.fund_program, "burn": wallets.burn_balance}


@dataclass(frozen=True)
class Coin:
    """An asset, and the model of its ledger."""

    id: UUID
    scale: int
    model: Model


@dataclass(frozen=True)
class Request:
    """What is asked for: two that are equal are the same payload."""

    operation: str
    wanted: Adjustment | Movement | Transfer | WalletChange
    holder: Entity | None = None

    @property
    def kind(self) -> Kind:
        """The namespace of its key."""
        if isinstance(self.wanted, Transfer):
            return Kind.TRANSFER
        return Kind.WALLET if isinstance(self.wanted, WalletChange) else Kind.BALANCE


class Bank:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.set_clock(timedelta(0))
        with database.session() as session:
            organization_id = organizations.create_organization(session, "Bank").id
            self.author = Author(organization_id, new_id())
            self.programs = {
                name: programs.create_program(
                    session,
                    organization_id,
                    name=name,
                    description=None,
                    on_unknown_participant=programs.OnUnknownParticipant.CREATE,
                ).id
                for name in PROGRAMS
            }
            self.holders = {name: Entity(EntityKind.PARTICIPANT, self._person(session, name)) for name in PEOPLE}
            team = groups.create_group(session, organization_id, "team", [], None)
            self.holders["team"] = Entity(EntityKind.GROUP, team.id)
        self.names = {id_: name for name, id_ in self.programs.items()}
        self.names |= {holder.id: name for name, holder in self.holders.items()}
        self.coins: list[Coin] = []

    def _person(self, session: Session, name: str) -> UUID:
        made, _ = participants.upsert_participant(session, self.author, name, None, participants.ParticipantInput())
        return made.participant.id

    def mint(self, *, is_lot: bool, is_prefunded: bool, scale: int, maximum: int | None) -> None:
        """A new asset in both programs; `maximum` in smallest units."""
        first, *others = self.programs.values()
        new = NewAsset(
            program_id=first,
            name="Coin",
            symbol=f"C{len(self.coins)}",
            inventory_mode=InventoryMode.LOT if is_lot else InventoryMode.SIMPLE,
            issuance_policy=IssuancePolicy.PREFUNDED if is_prefunded else IssuancePolicy.UNLIMITED,
            scale=scale,
            max_transaction_amount=None if maximum is None else Decimal(maximum).scaleb(-scale),
            expiry_notice_days=None,
        )
        with self.database.session() as session:
            made = assets.create_asset(session, self.author.organization_id, new, is_strict=True)
            for program_id in others:
                assets.link_asset(session, self.author.organization_id, program_id, made.asset.id)
        self.coins.append(Coin(made.asset.id, scale, Model(is_lot, is_prefunded, 10**scale, maximum)))

    def close(self) -> None:
        """Nothing of this bank is due any more, however far others move the clock."""
        with self.database.connection() as conn:
            conn.execute("UPDATE assets SET status = 'ARCHIVED' WHERE organization_id = %s", [self.author.organization_id])

    # ------------------------------------------------------------ time
    def set_clock(self, ahead: timedelta) -> None:
        with self.database.connection() as conn:
            conn.execute("UPDATE deployment SET clock_offset = %s", [ahead])

    def jump(self, span: timedelta) -> None:
        with self.database.connection() as conn:
            conn.execute("UPDATE deployment SET clock_offset = clock_offset + %s", [span])

    def now(self) -> datetime:
        moment: datetime = self.fetch("SELECT openscrip_now()")[0][0]
        return moment

    # ------------------------------------------------------------ calls
    def call(self, request: Request, key: str | None, *, is_strict: bool) -> Outcome:
        """One request, from the key to the commit; DomainError."""
        wanted, holder = request.wanted, request.holder
        scope = Scope(self.author.organization_id, wanted.program_id, request.kind, key)
        fingerprint = fingerprint_of(request.operation, {"id": None if holder is None else holder.id}, asdict(wanted))
        try:
            return transact(
                self.database,
                lambda session: run_once(session, scope, fingerprint, lambda: self._do(session, request, is_strict=is_strict)),
            )
        except DomainError:
            transact(self.database, lambda session: self._settle(session, request))
            raise

    def _do(self, session: Session, request: Request, *, is_strict: bool) -> dict[str, Any]:
        wanted, holder, author = request.wanted, request.holder, self.author
        if isinstance(wanted, Transfer):
            return transfer_body(transfers.create_transfer(session, author, wanted, is_strict=is_strict))
        if isinstance(wanted, WalletChange):
            return change_body(_WALLET[request.operation](session, author, wanted, is_strict=is_strict), "done")
        assert holder is not None
        if isinstance(wanted, Adjustment):
            return adjust_body(wanted, balances.adjust(session, author, holder, wanted, is_strict=is_strict))
        return move_body(wanted, _MOVES[request.operation](session, author, holder, wanted, is_strict=is_strict))

    def _settle(self, session: Session, request: Request) -> None:
        if isinstance(request.wanted, Transfer):
            transfers.settle_parties(session, self.author.organization_id, request.wanted)
        elif request.holder is not None:
            due.settle(session, self.author.organization_id, request.holder.id)

    def sweep(self) -> None:
        """What a worker does with everything that is due, without a visitor."""
        page = transact(self.database, lambda session: due.holders_due(session, 50, []))
        for organization_id, holder_ids in page.items():
            transact(self.database, lambda session, of=organization_id, ids=holder_ids: due.settle_all(session, of, ids))  # type: ignore[misc]

    # ------------------------------------------------------------ looking
    def fetch(self, statement: str, **parameters: object) -> Sequence[tuple[Any, ...]]:
        [rows] = self.fetch_all(statement, **parameters)
        return rows

    def fetch_all(self, *statements: str, **parameters: object) -> list[Sequence[tuple[Any, ...]]]:
        given = {"organization": self.author.organization_id} | parameters
        with self.database.connection() as conn:
            return [conn.execute(statement, given).fetchall() for statement in statements]

    def owner(self, kind: str, entity_id: UUID | None, program_id: UUID) -> str:
        """What the model calls an account; `program_id`: of the entry, or of a group's pair."""
        if entity_id is None:
            return kind.removeprefix("SYSTEM_")
        if kind == "PROGRAM":
            return f"wallet {self.names[entity_id]}"
        return f"team {self.names[program_id]}" if kind == "GROUP" else self.names[entity_id]

    def place(self, account: str) -> dict[str, UUID]:
        """Where the rows of one of the model's accounts of a holder lie."""
        holder, _, program = account.partition(" ")
        return {"holder": self.holders[holder].id, "pair": self.programs[program] if program else NIL}
