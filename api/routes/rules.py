"""Rules over HTTP (events-rules.md 4)."""

from functools import partial
from typing import Annotated, Any

from fastapi import Body, Query

from api.deps import CallDep, PathId
from api.openapi import errors
from api.openapi import router as router_for
from api.pagination import CREATED_AT, ID, Listing
from api.responses import Json, created, ok
from api.schemas.common import Paged
from api.schemas.rule_examples import EXAMPLES
from api.schemas.rule_simulation import RuleSimulate, RuleSimulationRead, rule_simulation_body
from api.schemas.rules import (
    BudgetRead,
    BudgetResetQuery,
    ConditionBody,
    ConditionCheck,
    RuleCreate,
    RuleHistoryQuery,
    RuleHistoryRead,
    RuleQuery,
    RuleRead,
    RuleUpdate,
)
from domain.errors import BadRequest, Fault, bad_request
from domain.event_data import encode_event_data
from domain.rules.rule import Rule, RuleStatus
from services import budgets, rule_simulation
from services import rules as service
from services.paging import SortColumn

router = router_for("Rules")

RULES = Listing(
    "rules",
    {
        "order": (SortColumn('"order"', "integer"), CREATED_AT, ID),
        "created_at": (CREATED_AT, ID),
        "name": (SortColumn("name", "text"), CREATED_AT, ID),
    },
)
HISTORY = Listing("rule history", {"changed_at": (SortColumn("changed_at"), ID)})
NOTE = "Names of fields aren't checked: a condition that reads a field which an event lacks is skipped for that event"


@router.post("/v1/rules", status_code=201, summary="Create a rule", response_model=RuleRead, responses=errors(404, 409, 413, 415))
def create_rule(
    call: CallDep,
    body: Annotated[RuleCreate, Body(openapi_examples=EXAMPLES)],
) -> Json:
    """A CEL condition and the actions that run when it is true.

    Every fault of the body is answered at once, each with its path; CEL faults with `line` and `column`.
    """
    fields = body.model_dump(exclude={"status"})
    new = service.NewRule(**fields, status=RuleStatus(body.status))
    make = partial(service.create_rule, is_strict=call.is_strict)
    rule = call.run(lambda session: make(session, call.organization_id, new, call.api_key_id))
    return created(_body(rule))


@router.get("/v1/rules", summary="List rules", response_model=Paged[RuleRead], responses=errors())
def list_rules(call: CallDep, query: Annotated[RuleQuery, Query()]) -> Json:
    """By ascending order unless asked otherwise; archived rules only on demand."""
    page = RULES.page(query)
    filters = service.RuleFilters(query.program_id, query.status, query.include_archived, query.search)
    found = call.run(lambda session: service.list_rules(session, call.organization_id, filters, page.keyset, query.sort_by.value))
    return page.answer(found, _body)


@router.post("/v1/rules/validate", summary="Validate a CEL condition", response_model=ConditionCheck, responses=errors(413, 415))
def validate_condition(body: ConditionBody) -> Json:
    """Whether a condition compiles: the check that creating a rule does. 200 for valid and invalid ones alike."""
    error = service.compile_error_of(body.condition)
    if error is None:
        return ok({"valid": True, "message": "CEL condition is valid", "note": NOTE})
    return ok({"valid": False, "message": error.message, "line": error.line, "column": error.column})


@router.get("/v1/rules/{id}", summary="Get a rule", response_model=RuleRead, responses=errors(404))
def get_rule(call: CallDep, rule_id: PathId) -> Json:
    """A rule, archived or not."""
    return ok(_body(call.run(lambda session: service.get_rule(session, call.organization_id, rule_id))))


@router.patch("/v1/rules/{id}", summary="Update a rule", response_model=RuleRead, responses=errors(404, 409, 413, 415))
def update_rule(
    call: CallDep,
    rule_id: PathId,
    body: Annotated[RuleUpdate, Body(openapi_examples={"pause": {"summary": "Pause a rule", "value": {"status": "SUSPENDED"}}})],
) -> Json:
    """Change what is sent; it applies to every event whose processing begins afterwards. ARCHIVED is final."""
    changes = body.changes()
    if not changes:
        raise bad_request("body", "required", "At least one field is needed", expected="rule fields")
    update = partial(service.update_rule, is_strict=call.is_strict)
    rule = call.run(lambda session: update(session, call.organization_id, rule_id, changes, call.api_key_id))
    return ok(_body(rule))


@router.post("/v1/rules/{id}/reset-budget", summary="Reset a rule budget", response_model=BudgetRead, responses=errors(404, 409))
def reset_budget(call: CallDep, rule_id: PathId, query: Annotated[BudgetResetQuery, Query()]) -> Json:
    """Begin a new period of the budget for an asset, now, with nothing consumed. Not an entry of the rule's history."""
    asset_id, key = query.asset_id, call.api_key_id
    live = call.run(lambda session: budgets.reset_budget(session, call.organization_id, rule_id, asset_id, key))
    return ok(live.as_json())


@router.get(
    "/v1/rules/{id}/history",
    summary="Get rule change history",
    response_model=Paged[RuleHistoryRead],
    responses=errors(404),
)
def list_history(call: CallDep, rule_id: PathId, query: Annotated[RuleHistoryQuery, Query()]) -> Json:
    """Every version of a rule, newest first, with what changed and the whole rule after the change."""
    page = HISTORY.page(query, rule_id)
    filters = service.HistoryFilters(query.change_type, query.from_, query.to)
    found = call.run(lambda session: service.list_history(session, call.organization_id, rule_id, filters, page.keyset))
    return page.answer(found, _version)


@router.post(
    "/v1/rules/{id}/simulate",
    summary="Simulate a rule",
    response_model=RuleSimulationRead,
    responses=errors(404, 413, 415),
)
def simulate_rule(call: CallDep, rule_id: PathId, body: RuleSimulate) -> Json:
    """What a rule would do for a made-up event and participant; nothing is changed or stored.

    Status, window, budgets, balances and wallets aren't considered: `POST /v1/events/simulate` does that.
    """
    encoded = encode_event_data(body.event, "event")
    if isinstance(encoded, Fault):
        raise BadRequest([encoded])
    who = body.participant_state
    trial = rule_simulation.RuleTrial(
        event_data=encoded,
        now=body.now,
        tags=frozenset(who.tags),
        counters=who.counters,
        attributes=who.attributes,
        tiers=who.tiers,
        balances={symbol: balance.to_balance() for symbol, balance in who.balances.items()},
    )
    rule, found = call.run(lambda session: rule_simulation.simulate(session, call.organization_id, rule_id, trial))
    return ok(rule_simulation_body(rule, found))


def _body(rule: Rule) -> dict[str, object]:
    return rule.as_json()


def _version(row: service.RuleHistoryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "rule_id": row.rule_id,
        "program_id": row.program_id,
        "change_type": row.change_type,
        "changed_at": row.changed_at,
        "changed_by_api_key_id": row.changed_by_api_key_id,
        "changed_by_user_id": None,
        "changes": row.changes,
        "snapshot": row.snapshot,
    }
