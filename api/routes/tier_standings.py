"""What participants and groups have of tiers (tiers.md 5, 6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import complete_list, no_content, ok
from api.routes.state import author_of
from api.routes.tiers import TierPathKey, flow_of
from api.schemas.common import Paged
from api.schemas.tier_standings import (
    TierHistoryItem,
    TierHistoryQuery,
    TierProgramQuery,
    TierProgressRead,
    TierSet,
    TierStateItem,
    TierStateRead,
    held_body,
    held_item,
    progress_body,
    tier_history_body,
)
from api.timers import tell_tier
from services import tier_standings
from services.paging import SortColumn
from services.state import Entity, EntityKind
from services.tier_standings import TierOf

HISTORY = Listing("tier_history", {"changed_at": (SortColumn("changed_at"), SortColumn("id", "uuid"))})

ProgramQuery = Annotated[TierProgramQuery, Query()]


@dataclass(frozen=True, slots=True)
class TierEndpoints:
    """The endpoints of the levels of one kind of holder."""

    kind: EntityKind

    def list_tiers(self, holder_id: PathId, query: ProgramQuery, call: CallDep) -> Response:
        """Complete list by tier key, archived tiers too; base isn't listed."""
        holder = Entity(self.kind, holder_id)
        found = call.run(lambda session: tier_standings.list_held(session, call.organization_id, holder, query.program_id))
        return complete_list([held_item(held) for held in found])

    def get_tier(self, holder_id: PathId, key: TierPathKey, query: ProgramQuery, call: CallDep) -> Response:
        """404 at base."""
        wanted = self._tier(holder_id, query, key)
        return ok(held_body(call.run(lambda session: tier_standings.get_held(session, call.organization_id, wanted))))

    def set_tier(self, holder_id: PathId, key: TierPathKey, query: ProgramQuery, body: TierSet, call: CallDep) -> Response:
        """Assigns the level, up or down; the level that is held already only gets the new expiry, or loses the old one."""
        wanted = self._tier(holder_id, query, key)
        held = call.run(lambda session: tier_standings.set_level(session, author_of(call), wanted, body.level, body.expires_at))
        if held.standing.expires_at is not None:
            tell_tier(call, flow_of(call, held.tier))
        return ok(held_body(held))

    def remove_tier(self, holder_id: PathId, key: TierPathKey, query: ProgramQuery, call: CallDep) -> Response:
        """To base, also when no level was held."""
        wanted = self._tier(holder_id, query, key)
        call.run(lambda session: tier_standings.remove_level(session, author_of(call), wanted))
        return no_content()

    def get_history(self, holder_id: PathId, query: Annotated[TierHistoryQuery, Query()], call: CallDep) -> Response:
        """Changes of level, newest first: the authoritative record."""
        page = HISTORY.page(query, holder_id)
        holder, wanted = Entity(self.kind, holder_id), query.to_filter()
        found = call.run(lambda session: tier_standings.list_history(session, call.organization_id, holder, wanted, page.keyset))
        return page.answer(found, tier_history_body)

    def get_progress(self, holder_id: PathId, key: TierPathKey, query: ProgramQuery, call: CallDep) -> Response:
        """How far the next level is, at base too."""
        wanted = self._tier(holder_id, query, key)
        found = call.run(lambda session: tier_standings.get_progress(session, call.organization_id, wanted))
        return ok(progress_body(found))

    def _tier(self, holder_id: PathId, query: TierProgramQuery, key: str) -> TierOf:
        return TierOf(Entity(self.kind, holder_id), query.program_id, key)


def _router(endpoints: TierEndpoints, tag: str, base: str, titles: Sequence[str]) -> APIRouter:
    """The six endpoints below `base`; `titles` in the order of `operations` here."""
    e, one = endpoints, f"{base}/state/tiers/{{key}}"
    reads, changes = errors(404), errors(404, 409)
    operations: list[tuple[str, str, Callable[..., Response], dict[str, Any]]] = [
        ("GET", f"{base}/state/tiers", e.list_tiers, {"response_model": Paged[TierStateItem], "responses": reads}),
        ("GET", one, e.get_tier, {"response_model": TierStateRead, "responses": reads}),
        ("PUT", one, e.set_tier, {"response_model": TierStateRead, "responses": errors(404, 409, 413, 415)}),
        ("DELETE", one, e.remove_tier, {"responses": changes, "status_code": 204}),
        ("GET", f"{base}/activity/tier-history", e.get_history, {"response_model": Paged[TierHistoryItem], "responses": reads}),
        ("GET", f"{one}/progress", e.get_progress, {"response_model": TierProgressRead, "responses": reads}),
    ]
    made = router_for(tag)
    for (method, path, endpoint, options), title in zip(operations, titles, strict=True):
        made.add_api_route(path, endpoint, methods=[method], summary=title, **options)
    return made


router = _router(
    TierEndpoints(EntityKind.PARTICIPANT),
    "Participant tiers",
    "/v1/participants/{id}",
    (
        "List participant tiers",
        "Get participant tier",
        "Set participant tier",
        "Remove participant tier",
        "Get participant tier history",
        "Get participant tier progress",
    ),
)

group_router = _router(
    TierEndpoints(EntityKind.GROUP),
    "Group tiers",
    "/v1/groups/{id}",
    (
        "List group tiers",
        "Get group tier",
        "Set group tier",
        "Remove group tier",
        "Get group tier history",
        "Get group tier progress",
    ),
)
