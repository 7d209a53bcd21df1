"""Raw actions, as JSON gives them, to compiled ones by one table of the types and their fields (events-rules.md 6.1).

A new action type is a new row of `SPECIFICATIONS` and a dataclass in `actions.py`; nothing else here knows the types.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from domain.errors import Fault
from domain.ledger.accounts import Bucket
from domain.rules import forms
from domain.rules.actions import (
    Action,
    ActionType,
    AttributeAction,
    BroadcastAction,
    CounterAction,
    CreditAction,
    DebitAction,
    ForfeitAction,
    HoldAction,
    ReleaseAction,
    ScheduleAction,
    SetTierAction,
    TagAction,
    VoidHoldAction,
)
from domain.rules.forms import Flaw, Malformed
from domain.rules.specification import KNOWN_FIELDS, Assets, FieldFlaws, Fields, Reader, Specification
from domain.rules.targets import TargetKind, target

MAX_ACTIONS = 50
_bucket = forms.member(Bucket, frozenset({Bucket.AVAILABLE, Bucket.HELD}))
_holder = {"target": target(frozenset({TargetKind.PARTICIPANT, TargetKind.GROUP}))}
_participant = {"target": target(frozenset({TargetKind.PARTICIPANT}))}
_any_state = {"target": target(frozenset({TargetKind.PARTICIPANT, TargetKind.GROUP, TargetKind.PROGRAM}))}
_asset = {"asset_id": forms.identifier}
_money = {**_asset, "amount": forms.amount}
_any_amount = {"amount": forms.amount}
_reference = {"reference_id": forms.reference}
_described = {"description": forms.text(500), **_holder}


def _check_credit(found: Fields) -> FieldFlaws:
    expires_at, matures_at = found.get("expires_at"), found.get("matures_at")
    if matures_at is not None and found.get("bucket") is Bucket.HELD:
        yield "matures_at", Flaw("not_allowed", "Value credited into HELD doesn't mature")
    is_comparable = isinstance(expires_at, timedelta) == isinstance(matures_at, timedelta)
    if expires_at is not None and matures_at is not None and is_comparable and expires_at <= matures_at:
        yield "expires_at", Flaw("out_of_range", "Must be after matures_at")


def _check_debit(found: Fields) -> FieldFlaws:
    if found.get("allow_negative") and found.get("bucket") is Bucket.HELD:
        yield "allow_negative", Flaw("not_allowed", "Only AVAILABLE can be overdrawn")


def _check_forfeit(found: Fields) -> FieldFlaws:
    if "reference_id" in found and found.get("bucket", Bucket.AVAILABLE) is Bucket.AVAILABLE:
        yield "reference_id", Flaw("not_allowed", "Only HELD value is under a reference")


def _check_attribute(found: Fields) -> FieldFlaws:
    if "value" not in found and "value_expression" not in found:
        yield "value", Flaw("required", "Exactly one of value and value_expression is needed", "string")
    if "value" in found and "value_expression" in found:
        yield "value_expression", Flaw("not_allowed", "Only one of value and value_expression")


def _build_attribute(found: Fields) -> Action:
    value = found.pop("value_expression", None)
    return AttributeAction(**({**found, "value": value} if value is not None else found))


SPECIFICATIONS: Mapping[ActionType, Specification] = {
    ActionType.CREDIT: Specification(
        required=_money,
        optional={
            "bucket": _bucket,
            "expires_at": forms.moment,
            "matures_at": forms.moment,
            **_reference,
            **_described,
        },
        build=lambda found: CreditAction(**found),
        check=_check_credit,
        for_lots=("expires_at", "matures_at"),
    ),
    ActionType.DEBIT: Specification(
        required=_money,
        optional={"bucket": _bucket, "allow_negative": forms.boolean, **_described},
        build=lambda found: DebitAction(**found),
        check=_check_debit,
    ),
    ActionType.HOLD: Specification(
        required=_asset,
        optional={**_any_amount, "expires_at": forms.moment, **_reference, **_described},
        build=lambda found: HoldAction(**found),
    ),
    ActionType.RELEASE: Specification(
        required=_asset,
        optional={**_any_amount, **_reference, **_described},
        build=lambda found: ReleaseAction(**found),
    ),
    ActionType.FORFEIT: Specification(
        required=_asset,
        optional={**_any_amount, "bucket": _bucket, **_reference, **_described},
        build=lambda found: ForfeitAction(**found),
        check=_check_forfeit,
    ),
    ActionType.VOID_HOLD: Specification(
        required={**_asset, **_reference},
        optional=_described,
        build=lambda found: VoidHoldAction(**found),
        for_lots=("asset_id",),
    ),
    ActionType.TAG: Specification({"tag": forms.tag}, _any_state, lambda found: TagAction(**found)),
    ActionType.UNTAG: Specification({"tag": forms.tag}, _any_state, lambda found: TagAction(**found, remove=True)),
    ActionType.COUNTER: Specification(
        required={"key": forms.state_key, "value": forms.signed},
        optional={"reset_after": forms.reset_after, **_any_state},
        build=lambda found: CounterAction(**found),
    ),
    ActionType.SET_ATTRIBUTE: Specification(
        required={"key": forms.state_key},
        optional={"value": forms.text(4096), "value_expression": forms.expression, **_any_state},
        build=_build_attribute,
        check=_check_attribute,
    ),
    ActionType.SET_TIER: Specification(
        required={"tier": forms.text(100), "level": forms.text(100)},
        optional={"expires_at": forms.moment, **_holder},
        build=lambda found: SetTierAction(**found),
    ),
    ActionType.SCHEDULE_EVENT: Specification(
        required={"event_name": forms.text(255), "delay": forms.delay},
        optional={"payload": forms.payload, **_participant},
        build=lambda found: ScheduleAction(**found),
    ),
    ActionType.BROADCAST: Specification(
        required={"event_name": forms.text(255)},
        optional={"payload": forms.payload},
        build=lambda found: BroadcastAction(**found),
    ),
}
_type = forms.member(ActionType)


def parse_actions(raw: object, assets: Assets | None = None) -> tuple[tuple[Action, ...], list[Fault]]:
    """The compiled actions, or every fault found in them, with paths like `actions[1].amount`.

    `assets` are the active assets linked to the program; without them only the form is checked.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return (), [Fault("actions", "invalid", "Must be an array", "array of actions", forms.shorten(raw))]
    if not 1 <= len(raw) <= MAX_ACTIONS:
        reason = "too_long" if raw else "required"
        return (), [Fault("actions", reason, f"Between 1 and {MAX_ACTIONS} actions", f"1-{MAX_ACTIONS} actions")]
    actions: list[Action] = []
    faults: list[Fault] = []
    for index, item in enumerate(raw):
        action, found = _parse_action(item, f"actions[{index}]", assets)
        faults += found
        if action is not None:
            actions.append(action)
    return tuple(actions), faults


def validate_actions(raw: object, assets: Assets) -> list[Fault]:
    """Every fault of the actions, those that need the program's assets included."""
    return parse_actions(raw, assets)[1]


def stored_actions(raw: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Checked actions as they are stored and answered: only the fields that were set, ids in lower case."""
    return [{key: _stored(key, value) for key, value in item.items() if value is not None} for item in raw]


def _stored(key: str, value: object) -> object:
    if key == "target" and isinstance(value, Mapping):
        return {name: item for name, item in value.items() if item is not None}
    return value.lower() if key == "asset_id" and isinstance(value, str) else value


def _parse_action(raw: object, path: str, assets: Assets | None) -> tuple[Action | None, list[Fault]]:
    if not isinstance(raw, Mapping):
        return None, [Fault(path, "invalid", "Must be an object", "action", forms.shorten(raw))]
    given = {key: value for key, value in raw.items() if value is not None}
    if "type" not in given:
        words = "one of " + ", ".join(ActionType)
        return None, [Fault(f"{path}.type", "required", "This field is required", words), *_unknown(given, path)]
    try:
        specification = SPECIFICATIONS[ActionType(str(_type(given["type"])))]
    except Malformed as error:
        return None, [*error.faults(f"{path}.type", given["type"]), *_unknown(given, path)]
    return Reader(specification, given, path).read(assets)


def _unknown(given: Mapping[str, object], path: str) -> list[Fault]:
    return [
        Fault(f"{path}.{key}", "unknown_field", "Unknown field", None, forms.shorten(value))
        for key, value in given.items()
        if key not in KNOWN_FIELDS
    ]
