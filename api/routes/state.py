"""State of participants: tags, counters, attributes, and its history."""

from typing import Annotated

from fastapi import Path, Query
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
from services import state
from services.paging import SortColumn
from services.state import Author, Entity, EntityKind

router = router_for("Participant state")

BASE = "/v1/participants/{id}/state"
HISTORY = Listing("state_history", {"changed_at": (SortColumn("changed_at"), SortColumn("id", "uuid"))})

PathTag = Annotated[Tag, Path(alias="tag", description="Percent-encoded; any letter case")]
PathKey = Annotated[StateKey, Path(alias="key", description="Percent-encoded")]


def _participant(participant_id: PathId) -> Entity:
    return Entity(EntityKind.PARTICIPANT, participant_id)


def author_of(call: Call) -> Author:
    """Who changes a state by this call."""
    return Author(call.organization_id, call.api_key_id)


@router.get(f"{BASE}/tags", response_model=Paged[TagRead], responses=errors(404), summary="Get participant tags")
def get_tags(participant_id: PathId, call: CallDep) -> Response:
    """Complete list, sorted."""
    tags = call.run(lambda session: state.list_tags(session, call.organization_id, _participant(participant_id)))
    return complete_list([{"tag": tag} for tag in tags])


@router.put(f"{BASE}/tags", response_model=TagsRead, responses=errors(404, 413, 415), summary="Set participant tags")
def set_tags(participant_id: PathId, body: TagsSet, call: CallDep) -> Response:
    """Replaces all tags; `[]` clears."""
    tags = call.run(lambda session: state.set_tags(session, author_of(call), _participant(participant_id), body.tags))
    return ok({"tags": tags})


@router.put(
    f"{BASE}/tags/{{tag}}",
    status_code=201,
    response_model=TagRead,
    responses=errors(404) | {200: {"model": TagRead, "description": "It was there"}},
    summary="Add tag to participant",
)
def add_tag(participant_id: PathId, tag: PathTag, call: CallDep) -> Response:
    """201 when it is new, 200 when it was there."""
    is_new = call.run(lambda session: state.add_tag(session, author_of(call), _participant(participant_id), tag))
    return created({"tag": tag}, is_new=is_new)


@router.delete(f"{BASE}/tags/{{tag}}", status_code=204, responses=errors(404), summary="Remove tag from participant")
def remove_tag(participant_id: PathId, tag: PathTag, call: CallDep) -> Response:
    """Also when it wasn't there."""
    call.run(lambda session: state.remove_tag(session, author_of(call), _participant(participant_id), tag))
    return no_content()


@router.get(f"{BASE}/counters", response_model=Paged[CounterRead], responses=errors(404), summary="Get participant counters")
def get_counters(participant_id: PathId, call: CallDep) -> Response:
    """Complete list of effective values by key; reset fields only on counters with auto-reset."""
    found = call.run(lambda session: state.list_counters(session, call.organization_id, _participant(participant_id)))
    return complete_list([counter_item(counter) for counter in found])


@router.get(f"{BASE}/counters/{{key}}", response_model=CounterRead, responses=errors(404), summary="Get participant counter")
def get_counter(participant_id: PathId, key: PathKey, call: CallDep) -> Response:
    found = call.run(lambda session: state.get_counter(session, call.organization_id, _participant(participant_id), key))
    return ok(counter_body(found))


@router.put(
    f"{BASE}/counters/{{key}}", response_model=CounterRead, responses=errors(404, 413, 415), summary="Set participant counter"
)
def set_counter(participant_id: PathId, key: PathKey, body: CounterSet, call: CallDep) -> Response:
    """Creates or overwrites; with auto-reset on, its period begins now."""
    entity = _participant(participant_id)
    found = call.run(lambda session: state.set_counter(session, author_of(call), entity, key, body.value, body.reset_after))
    return ok(counter_body(found))


@router.delete(f"{BASE}/counters/{{key}}", status_code=204, responses=errors(404), summary="Delete participant counter")
def delete_counter(participant_id: PathId, key: PathKey, call: CallDep) -> Response:
    """Also when absent; to keep it at zero, set `"0"`."""
    call.run(lambda session: state.delete_counter(session, author_of(call), _participant(participant_id), key))
    return no_content()


@router.get(
    f"{BASE}/attributes", response_model=Paged[AttributeRead], responses=errors(404), summary="Get participant attributes"
)
def get_attributes(participant_id: PathId, call: CallDep) -> Response:
    """Complete list by key."""
    found = call.run(lambda session: state.list_attributes(session, call.organization_id, _participant(participant_id)))
    return complete_list([{"key": key, "value": value} for key, value in found.items()])


@router.get(
    f"{BASE}/attributes/{{key}}", response_model=AttributeRead, responses=errors(404), summary="Get participant attribute"
)
def get_attribute(participant_id: PathId, key: PathKey, call: CallDep) -> Response:
    entity = _participant(participant_id)
    value = call.run(lambda session: state.get_attribute(session, call.organization_id, entity, key))
    return ok({"key": key, "value": value})


@router.patch(
    f"{BASE}/attributes",
    response_model=AttributesRead,
    responses=errors(404, 413, 415),
    summary="Update participant attributes",
)
def merge_attributes(participant_id: PathId, body: AttributesMerge, call: CallDep) -> Response:
    """Merged; nothing is removed here."""
    entity = _participant(participant_id)
    merged = call.run(lambda session: state.merge_attributes(session, author_of(call), entity, body.attributes))
    return ok({"attributes": merged})


@router.put(
    f"{BASE}/attributes/{{key}}",
    response_model=AttributeRead,
    responses=errors(404, 413, 415),
    summary="Set participant attribute",
)
def set_attribute(participant_id: PathId, key: PathKey, body: AttributeSet, call: CallDep) -> Response:
    entity = _participant(participant_id)
    call.run(lambda session: state.merge_attributes(session, author_of(call), entity, {key: body.value}))
    return ok({"key": key, "value": body.value})


@router.delete(f"{BASE}/attributes/{{key}}", status_code=204, responses=errors(404), summary="Remove participant attribute")
def delete_attribute(participant_id: PathId, key: PathKey, call: CallDep) -> Response:
    """Also when absent."""
    call.run(lambda session: state.delete_attribute(session, author_of(call), _participant(participant_id), key))
    return no_content()


@router.get(
    "/v1/participants/{id}/activity/state-history",
    response_model=Paged[StateChangeRead],
    responses=errors(404),
    summary="Get participant state history",
)
def get_history(participant_id: PathId, query: Annotated[StateHistoryQuery, Query()], call: CallDep) -> Response:
    """Newest first: tags, counters, attributes and tiers in one timeline."""
    page = HISTORY.page(query, participant_id)
    entity, wanted = _participant(participant_id), query.to_filter()
    found = call.run(lambda session: state.list_changes(session, call.organization_id, entity, wanted, page.keyset))
    return page.answer(found, change_body)
