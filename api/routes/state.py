"""State of participants and groups: tags, counters, attributes, and its history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api.deps import Call, CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import Listing
from api.responses import complete_list, created, no_content, ok
from api.schemas.common import Paged, StateKey, Tag
from api.schemas.state import (
    AttributeRead,
    AttributeSet,
    AttributesMerge,
    AttributesRead,
    CounterRead,
    CounterSet,
    StateChangeRead,
    StateHistoryQuery,
    TagRead,
    TagsRead,
    TagsSet,
    change_body,
    counter_body,
    counter_item,
)
from api.timers import tell_crossing
from services import state
from services.paging import SortColumn
from services.state import Author, Entity, EntityKind

HISTORY = Listing("state_history", {"changed_at": (SortColumn("changed_at"), SortColumn("id", "uuid"))})

PathTag = Annotated[Tag, Path(alias="tag", description="Percent-encoded; any letter case")]
PathKey = Annotated[StateKey, Path(alias="key", description="Percent-encoded")]


def author_of(call: Call) -> Author:
    """Who changes a state by this call."""
    return Author(call.organization_id, call.api_key_id)


@dataclass(frozen=True, slots=True)
class StateEndpoints:
    """The endpoints of the state of one kind of holder."""

    kind: EntityKind

    def _entity(self, holder_id: UUID) -> Entity:
        return Entity(self.kind, holder_id)

    def get_tags(self, holder_id: PathId, call: CallDep) -> Response:
        """Complete list, sorted."""
        tags = call.run(lambda session: state.list_tags(session, call.organization_id, self._entity(holder_id)))
        return complete_list([{"tag": tag} for tag in tags])

    def set_tags(self, holder_id: PathId, body: TagsSet, call: CallDep) -> Response:
        """Replaces all tags; `[]` clears."""
        tags = call.run(lambda session: state.set_tags(session, author_of(call), self._entity(holder_id), body.tags))
        return ok({"tags": tags})

    def add_tag(self, holder_id: PathId, tag: PathTag, call: CallDep) -> Response:
        """201 when it is new, 200 when it was there."""
        is_new = call.run(lambda session: state.add_tag(session, author_of(call), self._entity(holder_id), tag))
        return created({"tag": tag}, is_new=is_new)

    def remove_tag(self, holder_id: PathId, tag: PathTag, call: CallDep) -> Response:
        """Also when it wasn't there."""
        call.run(lambda session: state.remove_tag(session, author_of(call), self._entity(holder_id), tag))
        return no_content()

    def get_counters(self, holder_id: PathId, call: CallDep) -> Response:
        """Complete list of effective values by key; reset fields only on counters with auto-reset."""
        found = call.run(lambda session: state.list_counters(session, call.organization_id, self._entity(holder_id)))
        return complete_list([counter_item(counter) for counter in found])

    def get_counter(self, holder_id: PathId, key: PathKey, call: CallDep) -> Response:
        """Its effective value."""
        found = call.run(lambda session: state.get_counter(session, call.organization_id, self._entity(holder_id), key))
        return ok(counter_body(found))

    def set_counter(self, holder_id: PathId, key: PathKey, body: CounterSet, call: CallDep) -> Response:
        """Creates or overwrites; with auto-reset on, its period begins now."""
        entity = self._entity(holder_id)
        found = call.run(lambda session: state.set_counter(session, author_of(call), entity, key, body.value, body.reset_after))
        if found.has_crossed:
            tell_crossing(call)
        return ok(counter_body(found))

    def delete_counter(self, holder_id: PathId, key: PathKey, call: CallDep) -> Response:
        """Also when absent; to keep it at zero, set `"0"`."""
        if call.run(lambda session: state.delete_counter(session, author_of(call), self._entity(holder_id), key)):
            tell_crossing(call)
        return no_content()

    def get_attributes(self, holder_id: PathId, call: CallDep) -> Response:
        """Complete list by key."""
        found = call.run(lambda session: state.list_attributes(session, call.organization_id, self._entity(holder_id)))
        return complete_list([{"key": key, "value": value} for key, value in found.items()])

    def get_attribute(self, holder_id: PathId, key: PathKey, call: CallDep) -> Response:
        """One value."""
        value = call.run(lambda session: state.get_attribute(session, call.organization_id, self._entity(holder_id), key))
        return ok({"key": key, "value": value})

    def merge_attributes(self, holder_id: PathId, body: AttributesMerge, call: CallDep) -> Response:
        """Merged; nothing is removed here."""
        entity = self._entity(holder_id)
        merged = call.run(lambda session: state.merge_attributes(session, author_of(call), entity, body.attributes))
        return ok({"attributes": merged})

    def set_attribute(self, holder_id: PathId, key: PathKey, body: AttributeSet, call: CallDep) -> Response:
        """Creates or overwrites."""
        entity = self._entity(holder_id)
        call.run(lambda session: state.merge_attributes(session, author_of(call), entity, {key: body.value}))
        return ok({"key": key, "value": body.value})

    def delete_attribute(self, holder_id: PathId, key: PathKey, call: CallDep) -> Response:
        """Also when absent."""
        call.run(lambda session: state.delete_attribute(session, author_of(call), self._entity(holder_id), key))
        return no_content()

    def get_history(self, holder_id: PathId, query: Annotated[StateHistoryQuery, Query()], call: CallDep) -> Response:
        """Newest first: tags, counters, attributes and tiers in one timeline."""
        page = HISTORY.page(query, holder_id)
        entity, wanted = self._entity(holder_id), query.to_filter()
        found = call.run(lambda session: state.list_changes(session, call.organization_id, entity, wanted, page.keyset))
        return page.answer(found, change_body)


def state_router(endpoints: StateEndpoints, tag: str, base: str, titles: Sequence[str], *write_errors: int) -> APIRouter:
    """The fourteen endpoints below `base`; `titles` in the order of `operations` here, `write_errors` beside the usual ones."""
    e, tags, counters, attributes = endpoints, f"{base}/state/tags", f"{base}/state/counters", f"{base}/state/attributes"
    tag_there = {200: {"model": TagRead, "description": "It was there"}}
    reads, bodies, changes = errors(404), errors(404, 413, 415, *write_errors), errors(404, *write_errors)
    operations: list[tuple[str, str, Callable[..., Response], dict[str, Any]]] = [
        ("GET", tags, e.get_tags, {"response_model": Paged[TagRead], "responses": reads}),
        ("PUT", tags, e.set_tags, {"response_model": TagsRead, "responses": bodies}),
        ("PUT", f"{tags}/{{tag}}", e.add_tag, {"response_model": TagRead, "responses": changes | tag_there, "status_code": 201}),
        ("DELETE", f"{tags}/{{tag}}", e.remove_tag, {"responses": changes, "status_code": 204}),
        ("GET", counters, e.get_counters, {"response_model": Paged[CounterRead], "responses": reads}),
        ("GET", f"{counters}/{{key}}", e.get_counter, {"response_model": CounterRead, "responses": reads}),
        ("PUT", f"{counters}/{{key}}", e.set_counter, {"response_model": CounterRead, "responses": bodies}),
        ("DELETE", f"{counters}/{{key}}", e.delete_counter, {"responses": changes, "status_code": 204}),
        ("GET", attributes, e.get_attributes, {"response_model": Paged[AttributeRead], "responses": reads}),
        ("GET", f"{attributes}/{{key}}", e.get_attribute, {"response_model": AttributeRead, "responses": reads}),
        ("PATCH", attributes, e.merge_attributes, {"response_model": AttributesRead, "responses": bodies}),
        ("PUT", f"{attributes}/{{key}}", e.set_attribute, {"response_model": AttributeRead, "responses": bodies}),
        ("DELETE", f"{attributes}/{{key}}", e.delete_attribute, {"responses": changes, "status_code": 204}),
        ("GET", f"{base}/activity/state-history", e.get_history, {"response_model": Paged[StateChangeRead], "responses": reads}),
    ]
    made = router_for(tag)
    for (method, path, endpoint, options), title in zip(operations, titles, strict=True):
        made.add_api_route(path, endpoint, methods=[method], summary=title, **options)
    return made


router = state_router(
    StateEndpoints(EntityKind.PARTICIPANT),
    "Participant state",
    "/v1/participants/{id}",
    (
        "Get participant tags",
        "Set participant tags",
        "Add tag to participant",
        "Remove tag from participant",
        "Get participant counters",
        "Get participant counter",
        "Set participant counter",
        "Delete participant counter",
        "Get participant attributes",
        "Get participant attribute",
        "Update participant attributes",
        "Set participant attribute",
        "Remove participant attribute",
        "Get participant state history",
    ),
)

group_router = state_router(
    StateEndpoints(EntityKind.GROUP),
    "Group state",
    "/v1/groups/{id}",
    (
        "Get group tags",
        "Set group tags",
        "Add a tag to a group",
        "Remove a tag from a group",
        "Get group counters",
        "Get group counter",
        "Set a group counter",
        "Delete a group counter",
        "Get group attributes",
        "Get group attribute",
        "Update group attributes",
        "Set a group attribute",
        "Remove group attribute",
        "Get group state history",
    ),
    409,
)
