"""Raw actions, as JSON gives them, to compiled ones by one table of the types and their fields (events-rules.md 6.1).

A new action type is a new row of `SPECIFICATIONS` and a dataclass in `actions.py`; nothing else here knows the types.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.errors import Fault
from domain.ledger.accounts import AssetTerms, Bucket
from domain.money import CEILING, to_scale
from domain.rules import forms
from domain.rules.actions import (
    Action,
    ActionType,
    AttributeAction,
    BroadcastAction,
    CounterAction,
    CreditAction,
    DebitAction,
    ScheduleAction,
    TagAction,
)
from domain.rules.forms import FieldParser, Flaw, Malformed
from domain.rules.targets import TargetKind, target

MAX_ACTIONS = 50
# Fields of some action type, this release's or not: on another type they aren't unknown, but not allowed.
KNOWN_FIELDS = frozenset(
    [
        "type",
        "asset_id",
        "amount",
        "bucket",
        "allow_negative",
        "expires_at",
        "matures_at",
        "reference_id",
        "description",
        "target",
        "tag",
        "key",
        "value",
        "value_expression",
        "reset_after",
        "tier",
        "level",
        "event_name",
        "delay",
        "payload",
    ]
)

Assets = Mapping[UUID, AssetTerms]
Fields = dict[str, Any]
FieldFlaws = Iterator[tuple[str, Flaw]]


@dataclass(frozen=True, slots=True)
class Specification:
    """One action type: its fields in the order of the table, what excludes what between them, and its compiled form."""

    required: Mapping[str, FieldParser]
    optional: Mapping[str, FieldParser]
    build: Callable[[Fields], Action]
    check: Callable[[Fields], FieldFlaws] = field(default=lambda _: iter(()))

    def parser(self, name: str) -> FieldParser | None:
        """The parser of a field; None when this type has no such field."""
        return self.required.get(name) or self.optional.get(name)


_bucket = forms.member(Bucket, frozenset({Bucket.AVAILABLE, Bucket.HELD}))
_holder = {"target": target(frozenset({TargetKind.PARTICIPANT, TargetKind.GROUP}))}
_participant = {"target": target(frozenset({TargetKind.PARTICIPANT}))}
_any_state = {"target": target(frozenset({TargetKind.PARTICIPANT, TargetKind.GROUP, TargetKind.PROGRAM}))}
_money = {"asset_id": forms.identifier, "amount": forms.amount}


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
            "reference_id": forms.reference,
            "description": forms.text(500),
            **_holder,
        },
        build=lambda found: CreditAction(**found),
        check=_check_credit,
    ),
    ActionType.DEBIT: Specification(
        required=_money,
        optional={"bucket": _bucket, "allow_negative": forms.boolean, "description": forms.text(500), **_holder},
        build=lambda found: DebitAction(**found),
        check=_check_debit,
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
    return _Reader(specification, given, path).read(assets)


def _unknown(given: Mapping[str, object], path: str) -> list[Fault]:
    return [
        Fault(f"{path}.{key}", "unknown_field", "Unknown field", None, forms.shorten(value))
        for key, value in given.items()
        if key not in KNOWN_FIELDS
    ]


class _Reader:
    """Reads one action of a known type and gathers its faults: missing fields in table order, then others as sent."""

    def __init__(self, specification: Specification, given: Mapping[str, object], path: str) -> None:
        self.specification = specification
        self.given = given
        self.path = path
        self.found: Fields = {}
        self.faults: dict[str, list[Fault]] = {}

    def read(self, assets: Assets | None) -> tuple[Action | None, list[Fault]]:
        """The action, or None and its faults."""
        for name in self.specification.required:
            if name not in self.given:
                self.refuse(name, Flaw("required", "This field is required"))
        for name, value in self.given.items():
            if name != "type":
                self.field(name, value)
        # a malformed field counts as there, without a value
        for name, flaw in self.specification.check({name: self.found.get(name) for name in self.given}):
            if name not in self.faults:
                self.refuse(name, flaw)
        if assets is not None and "asset_id" in self.found:
            self.check_asset(assets.get(self.found["asset_id"]))
        if not self.faults:
            return self.specification.build(self.found), []
        order = [name for name in self.faults if name not in self.given] + [name for name in self.given if name in self.faults]
        return None, [fault for name in order for fault in self.faults[name]]

    def refuse(self, name: str, *flaws: Flaw) -> None:
        faults = Malformed(*flaws).faults(f"{self.path}.{name}", self.given.get(name))
        self.faults.setdefault(name, []).extend(faults)

    def field(self, name: str, value: object) -> None:
        parser = self.specification.parser(name)
        if parser is None:
            is_known = name in KNOWN_FIELDS
            no_such = (
                Flaw("not_allowed", "This action type has no such field") if is_known else Flaw("unknown_field", "Unknown field")
            )
            self.refuse(name, no_such)
            return
        try:
            self.found[name] = parser(value)
        except Malformed as error:
            self.refuse(name, *error.flaws)

    def check_asset(self, asset: AssetTerms | None) -> None:
        if asset is None:
            self.refuse("asset_id", Flaw("invalid", "Not an active asset linked to the program", "linked asset"))
            return
        amount = self.found.get("amount")
        if isinstance(amount, Decimal) and not 0 < to_scale(amount, asset.scale) < CEILING:
            self.refuse(
                "amount",
                Flaw("out_of_range", f"Out of bounds when rounded to {asset.scale} decimals", "decimal string"),
            )
        for name in ("expires_at", "matures_at"):
            if name in self.found and not asset.is_lot and name not in self.faults:
                self.refuse(name, Flaw("not_allowed", "Only for LOT assets"))
