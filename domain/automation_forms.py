"""What is wrong with the definition of an automation (automations.md 1.1, 2.2, 2.3, 4.1, 4.4); form only, nothing stored."""

from collections.abc import Iterator, Mapping

from domain.automations import Scope, TriggerType
from domain.cel import AUTOMATION_VARIABLES, CompileError, Expression, compile_condition
from domain.errors import Fault
from domain.rules.forms import MAX_EXPRESSION_LENGTH, Malformed, malformed, shorten, state_key, tag
from domain.subscription_forms import schedule_faults

MAX_HINTS = 10
CEL = "CEL expression"
# Trigger fields: what they are required and allowed with.
_REQUIRED = {
    "cron_expression": {TriggerType.CRON},
    "trigger_at": {TriggerType.ONE_TIME},
    "schedule_type": {TriggerType.PARTICIPANT_STATE},
    "schedule_config": {TriggerType.PARTICIPANT_STATE},
}
_ALLOWED = {
    "cron_expression": {TriggerType.CRON},
    "timezone": {TriggerType.CRON, TriggerType.PARTICIPANT_STATE},
    "trigger_at": {TriggerType.ONE_TIME},
    "schedule_type": {TriggerType.PARTICIPANT_STATE},
    "schedule_config": {TriggerType.PARTICIPANT_STATE},
}
# lists, not sets: what was sent may be anything
_NOT_ONE_TIME = [kind for kind in TriggerType if kind != TriggerType.ONE_TIME]
_PARTICIPANTS_ONLY = ("participant_filter", "guard_condition", "filter_hints")
_CONDITIONS = ("participant_filter", "guard_condition")
_HINTS = {"has_tag": tag, "has_attribute": state_key, "has_counter": state_key}


def automation_condition(source: str) -> Expression:
    """A filter or guard, compiled; CompileError."""
    return compile_condition(source, AUTOMATION_VARIABLES)


def trigger_faults(given: Mapping[str, object]) -> Iterator[Fault]:
    """Fields of a create body's `trigger` that are missing or out of place, with paths relative to it."""
    kind = given.get("type")
    if kind not in list(TriggerType):
        return
    for name, kinds in _REQUIRED.items():
        if kind in kinds and name not in given:
            yield Fault(name, "required", f"Needed with {kind}", None, None)
    for name, kinds in _ALLOWED.items():
        if kind not in kinds and name in given:
            yield Fault(name, "not_allowed", f"Not with {kind}", None, shorten(given[name]))
    if kind == TriggerType.PARTICIPANT_STATE:
        yield from schedule_faults(given.get("schedule_type"), given.get("schedule_config"), "schedule_config")


def definition_faults(given: Mapping[str, object]) -> Iterator[Fault]:
    """Fields of a create body that scope or trigger exclude, and conditions and hints that aren't any."""
    trigger = given.get("trigger")
    kind = trigger.get("type") if isinstance(trigger, Mapping) else None
    scope = given.get("scope")
    if scope == Scope.PROGRAM:
        if kind in (TriggerType.IMMEDIATE, TriggerType.PARTICIPANT_STATE):
            yield Fault("scope", "not_allowed", f"Not with {kind}", Scope.PARTICIPANTS, str(scope))
        for name in _PARTICIPANTS_ONLY:
            if name in given:
                yield Fault(name, "not_allowed", "Only with scope participants", None, shorten(given[name]))
    if "participant_id" in given and (scope == Scope.PARTICIPANTS or kind in _NOT_ONE_TIME):
        message = "Only with scope program and a one_time trigger"
        yield Fault("participant_id", "not_allowed", message, None, shorten(given["participant_id"]))
    yield from condition_faults(given)


def change_faults(trigger_type: TriggerType, scope: Scope, names: Mapping[str, object]) -> Iterator[Fault]:
    """Fields of a PATCH that this automation doesn't have."""
    for name, value in names.items():
        needed = _ALLOWED.get(name)
        if needed is not None and trigger_type not in needed:
            yield Fault(name, "not_allowed", f"Only with {' and '.join(sorted(needed))}", None, shorten(value))
        if name in _PARTICIPANTS_ONLY and scope is not Scope.PARTICIPANTS:
            yield Fault(name, "not_allowed", "Only with scope participants", None, shorten(value))


def condition_faults(given: Mapping[str, object]) -> Iterator[Fault]:
    """Filters and guards that don't compile, with line and column, and hints that aren't any."""
    for name in _CONDITIONS:
        source = given.get(name)
        if isinstance(source, str) and 0 < len(source) <= MAX_EXPRESSION_LENGTH:
            try:
                automation_condition(source)
            except CompileError as error:
                yield Fault(name, "invalid", error.message, CEL, shorten(source), error.line, error.column)
    hints = given.get("filter_hints")
    if isinstance(hints, list):
        yield from parse_hints(hints)[1]


def parse_hints(raw: list[object]) -> tuple[list[dict[str, str]], list[Fault]]:
    """Filter hints as they are stored, and every fault in them."""
    hints: list[dict[str, str]] = []
    faults: list[Fault] = []
    if len(raw) > MAX_HINTS:
        faults.append(Fault("filter_hints", "too_long", f"At most {MAX_HINTS} hints", None, str(len(raw))))
    for index, item in enumerate(raw[:MAX_HINTS]):
        path = f"filter_hints[{index}]"
        try:
            name, value = _hint(item)
        except Malformed as error:
            faults += error.faults(path, item)
            continue
        try:
            hints.append({name: _HINTS[name](value)})
        except Malformed as error:
            faults += error.faults(f"{path}.{name}", value)
    return hints, faults


def _hint(item: object) -> tuple[str, object]:
    expected = "object with one of has_tag, has_attribute, has_counter"
    if not isinstance(item, Mapping) or len(item) != 1:
        raise malformed("invalid", "Must be an object with exactly one key", expected)
    [(name, value)] = item.items()
    if name not in _HINTS:
        raise malformed("invalid", "Not a hint", expected)
    return name, value
