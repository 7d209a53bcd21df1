"""Balances of participants: what they are; and the operations that change those of participants and groups directly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from sqlmodel import Session
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.idempotency import payload_of
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, Listing
from api.responses import complete_list, outcome
from api.routes.state import author_of
from api.schemas.activity import AssetBalanceRead, BalanceQuery, LotQuery, LotRead, balance_body, lot_body
from api.schemas.balances import (
    AdjustRead,
    BalanceAdjust,
    BalanceForfeit,
    BalanceHold,
    BalanceRelease,
    BalanceVoidHold,
    MoveRead,
    adjust_body,
    group_adjust_body,
    move_body,
)
from api.schemas.common import Paged, ResponseModel
from api.timers import TimerNews
from domain.errors import DomainError
from services import activity, balances, due
from services.idempotency import Kind, Scope, fingerprint_of, run_once
from services.movements import Moved, Movement
from services.state import Entity, EntityKind

router = router_for("Balances")

BASE = "/v1/participants/{id}/balances"
ERRORS = errors(404, 409, 413, 415, 422)
FIFO = {"fifo": (CREATED_AT, ID)}


@router.get(
    BASE,
    response_model=Paged[AssetBalanceRead],
    responses=errors(404),
    summary="Get participant balances",
)
def get_balances(participant_id: PathId, query: Annotated[BalanceQuery, Query()], call: CallDep) -> Response:
    """A row for each asset the participant ever had an entry in, by symbol, after what is due."""
    rows = call.run(lambda session: activity.get_balances(session, call.organization_id, participant_id, query.asset_id))
    return complete_list([balance_body(row) for row in rows])


_Body = BalanceHold | BalanceRelease | BalanceForfeit | BalanceVoidHold


@dataclass(frozen=True, slots=True)
class BalanceEndpoints:
    """The operations on balances of one kind of holder."""

    kind: EntityKind
    lots: Listing

    def list_lots(self, holder_id: PathId, query: Annotated[LotQuery, Query()], call: CallDep) -> Response:
        """In FIFO order, after what is due."""
        page = self.lots.page(query, holder_id, descending=False)
        holder, wanted = Entity(self.kind, holder_id), query.to_filter()
        found = call.run(
            lambda session: activity.list_lots(session, call.organization_id, holder, query.asset_id, wanted, page.keyset)
        )
        return page.answer(found.page, lambda row: lot_body(row, found.asset))

    def adjust(self, holder_id: PathId, body: BalanceAdjust, call: CallDep) -> Response:
        """A manual credit or debit outside the rules."""
        holder, wanted, news = Entity(self.kind, holder_id), body.to_command(), TimerNews(call)
        shown = group_adjust_body if self.kind is EntityKind.GROUP else adjust_body

        def work(session: Session) -> dict[str, Any]:
            done = balances.adjust(session, author_of(call), holder, wanted, is_strict=call.is_strict)
            news.note(adjusted=(wanted, done))
            return shown(wanted, done)

        answer = self._once(call, holder_id, "adjust", body, work)
        news.tell()
        return answer

    def hold(self, holder_id: PathId, body: BalanceHold, call: CallDep) -> Response:
        """AVAILABLE -> HELD; with `expires_at` what is then still held returns by itself."""
        return self._move(call, holder_id, "hold", body, balances.hold_balance)

    def release(self, holder_id: PathId, body: BalanceRelease, call: CallDep) -> Response:
        """HELD -> AVAILABLE: all or up to `amount` of what is selected, exactly `amount` on SIMPLE without a reference."""
        return self._move(call, holder_id, "release", body, balances.release_balance)

    def forfeit(self, holder_id: PathId, body: BalanceForfeit, call: CallDep) -> Response:
        """From the bucket to breakage, for good; allowed in every status of a participant."""
        return self._move(call, holder_id, "forfeit", body, balances.forfeit_balance)

    def void_hold(self, holder_id: PathId, body: BalanceVoidHold, call: CallDep) -> Response:
        """All provisional lots of the reference return to their source; allowed in every status of the participant."""
        return self._move(call, holder_id, "void-hold", body, balances.void_hold_balance)

    def _move(self, call: Call, holder_id: UUID, operation: str, body: _Body, use_case: Callable[..., Moved]) -> Response:
        holder = Entity(self.kind, holder_id)
        wanted: Movement = body.to_command()
        news = TimerNews(call)

        def work(session: Session) -> dict[str, Any]:
            done = use_case(session, author_of(call), holder, wanted, is_strict=call.is_strict)
            news.note(moved=(wanted, done))
            return move_body(wanted, done)

        answer = self._once(call, holder_id, operation, body, work)
        news.tell()
        return answer

    def _once(
        self, call: Call, holder_id: UUID, operation: str, body: BalanceAdjust | _Body, work: Callable[[Session], dict[str, Any]]
    ) -> Response:
        scope = Scope(call.organization_id, body.program_id, Kind.BALANCE, body.idempotency_key)
        fingerprint = fingerprint_of(f"{self.kind.lower()}/{operation}", {"id": holder_id}, payload_of(body))
        try:
            done = call.run(lambda session: run_once(session, scope, fingerprint, lambda: work(session)))
        except DomainError:
            # What was due isn't an effect of the refused request: it stays.
            call.run(lambda session: due.settle(session, call.organization_id, holder_id))
            raise
        return outcome(done)

    def add_to(self, router: APIRouter, base: str, adjusted: type[ResponseModel]) -> None:
        """Lots and the four operations that participants and groups share, below `base`."""
        noun = self.kind.lower()
        operations: list[tuple[str, Callable[..., Response], type[ResponseModel]]] = [
            ("adjust", self.adjust, adjusted),
            ("hold", self.hold, MoveRead),
            ("release", self.release, MoveRead),
            ("forfeit", self.forfeit, MoveRead),
        ]
        router.add_api_route(
            f"{base}/lots",
            self.list_lots,
            methods=["GET"],
            response_model=Paged[LotRead],
            responses=errors(404),
            summary=f"List {noun} lots",
        )
        for name, endpoint, model in operations:
            title = f"{name.capitalize()} {noun} balance"
            router.add_api_route(
                f"{base}/{name}", endpoint, methods=["POST"], response_model=model, responses=ERRORS, summary=title
            )


PARTICIPANTS = BalanceEndpoints(EntityKind.PARTICIPANT, Listing("participant_lots", FIFO))
PARTICIPANTS.add_to(router, BASE, AdjustRead)
router.add_api_route(
    f"{BASE}/void-hold",
    PARTICIPANTS.void_hold,
    methods=["POST"],
    response_model=MoveRead,
    responses=ERRORS,
    summary="Void hold participant balance",
)
