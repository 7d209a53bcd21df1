"""Raw budgets of a rule, as JSON gives them, to definitions, or every fault found in them (events-rules.md 4.5)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from domain.durations import DurationError, parse_duration
from domain.errors import Fault
from domain.ledger.accounts import AssetTerms
from domain.money import CEILING, AmountError, parse_amount, to_scale
from domain.recurrence import CronError, parse_cron
from domain.rules import forms
from domain.rules.budgets import Budget, ScheduleType
from domain.rules.forms import Flaw, Malformed

MIN_INTERVAL = timedelta(minutes=1)
_ASSET_NEEDED = Flaw("invalid", "Not an active asset linked to the program", "linked asset")
_SCHEDULE_FIELDS = {"cron_expression": ScheduleType.CRON, "interval": ScheduleType.INTERVAL}


def _limit(value: object) -> Decimal:
    try:
        return parse_amount(value)
    except AmountError as error:
        raise forms.malformed(error.reason, f"Amount {error}", "decimal string") from error


def _cron_expression(value: object) -> str:
    if not isinstance(value, str):
        raise forms.malformed("invalid", "Must be a string", "cron expression")
    try:
        parse_cron(value)
    except CronError as error:
        raise forms.malformed("invalid", str(error), "cron expression") from error
    return value


def _interval(value: object) -> str:
    if not isinstance(value, str):
        raise forms.malformed("invalid", "Must be a string", "duration")
    try:
        length = parse_duration(value)
    except DurationError as error:
        raise forms.malformed(error.reason, str(error), "duration") from error
    if not MIN_INTERVAL <= length <= forms.MAX_LIFETIME:
        raise forms.malformed("out_of_range", "Must lie between 1m and 876000h", "duration")
    return value


_PARSERS: Mapping[str, Callable[[object], Any]] = {
    "asset_id": forms.identifier,
    "limit": _limit,
    "schedule_type": forms.member(ScheduleType),
    "cron_expression": _cron_expression,
    "interval": _interval,
}
_REQUIRED = {"asset_id": "uuid", "limit": "decimal string"}


def parse_budgets(raw: object, assets: Mapping[UUID, AssetTerms] | None = None) -> tuple[tuple[Budget, ...], list[Fault]]:
    """The budgets, or every fault found in them, with paths like `budgets[0].limit`.

    `assets` are the active assets linked to the program: limits are rounded to their scales. Without them only the form is
    checked, and limits stay as written.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return (), [Fault("budgets", "invalid", "Must be an array", "array of budgets", forms.shorten(raw))]
    budgets: list[Budget] = []
    faults: list[Fault] = []
    seen: set[UUID] = set()
    for index, item in enumerate(raw):
        budget, found = _parse(item, f"budgets[{index}]", assets, seen)
        faults += found
        if budget is not None:
            budgets.append(budget)
    return tuple(budgets), faults


def _parse(
    raw: object, path: str, assets: Mapping[UUID, AssetTerms] | None, seen: set[UUID]
) -> tuple[Budget | None, list[Fault]]:
    if not isinstance(raw, Mapping):
        return None, [Fault(path, "invalid", "Must be an object", "budget", forms.shorten(raw))]
    given = {key: value for key, value in raw.items() if value is not None}
    found: dict[str, Any] = {}
    flaws: list[tuple[str, Flaw]] = [
        (name, Flaw("required", "This field is required", expected)) for name, expected in _REQUIRED.items() if name not in given
    ]
    for name, value in given.items():
        try:
            found[name] = _parsed(name, value)
        except Malformed as error:
            flaws += [(name, flaw) for flaw in error.flaws]
    flaws += [*_misplaced(given, found), *_of_asset(found, assets, seen)]
    if not flaws:
        return Budget(**found), []
    return None, [fault for name, flaw in flaws for fault in Malformed(flaw).faults(f"{path}.{name}", given.get(name))]


def _parsed(name: str, value: object) -> object:
    parser = _PARSERS.get(name)
    if parser is None:
        raise forms.malformed("unknown_field", "Unknown field")
    return parser(value)


def _misplaced(given: Mapping[str, object], found: Mapping[str, Any]) -> list[tuple[str, Flaw]]:
    """A schedule's own field is needed with its type, and only there; nothing is said when the type itself is wrong."""
    if "schedule_type" in given and "schedule_type" not in found:
        return []
    flaws = []
    for name, type_ in _SCHEDULE_FIELDS.items():
        if found.get("schedule_type") is type_ and name not in given:
            flaws.append((name, Flaw("required", f"Needed with schedule_type {type_}", name.replace("_", " "))))
        elif found.get("schedule_type") is not type_ and name in given:
            flaws.append((name, Flaw("not_allowed", f"Only with schedule_type {type_}")))
    return flaws


def _of_asset(found: dict[str, Any], assets: Mapping[UUID, AssetTerms] | None, seen: set[UUID]) -> list[tuple[str, Flaw]]:
    """One budget for each linked asset; brings the limit to the asset's scale."""
    asset_id = found.get("asset_id")
    if asset_id in seen:
        return [("asset_id", Flaw("duplicate", "Another budget of the rule is for this asset"))]
    if asset_id is not None:
        seen.add(asset_id)
    if asset_id is None or assets is None:
        return []
    asset = assets.get(asset_id)
    return [("asset_id", _ASSET_NEEDED)] if asset is None else _scaled(found, asset.scale)


def _scaled(found: dict[str, Any], scale: int) -> list[tuple[str, Flaw]]:
    if "limit" in found:
        found["limit"] = to_scale(found["limit"], scale)
        if not 0 < found["limit"] < CEILING:
            return [("limit", Flaw("out_of_range", f"Out of bounds when rounded to {scale} decimals", "decimal string"))]
    return []
