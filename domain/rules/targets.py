"""Whom an action concerns (events-rules.md 6.2, Targets)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, cast
from uuid import UUID

from domain.rules.forms import FieldParser, Flaw, Malformed, TextValue, literal_or_expression, mapping, member


class TargetKind(StrEnum):
    """DEFAULT is an action without `target`: the event's participant, for CREDIT the recipient when there is one."""

    DEFAULT = "DEFAULT"
    PARTICIPANT = "PARTICIPANT"
    GROUP = "GROUP"
    PROGRAM = "PROGRAM"


By = Literal["self", "participant_id", "external_id", "id"]
_ID_FIELDS = ("participant_id", "external_id", "id")
_TARGET_FIELDS = ("type", *_ID_FIELDS)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """`self` has no value: the event's own participant, or the rule's own program. `id` names what the kind says."""

    kind: TargetKind
    by: By = "self"
    value: TextValue | None = None


DEFAULT_TARGET = Target(TargetKind.DEFAULT)
PROGRAM_TARGET = Target(TargetKind.PROGRAM)


def target(allowed: frozenset[TargetKind]) -> FieldParser:
    """The parser of `target` for an action that may concern the kinds in `allowed`."""
    kind_of = member(TargetKind, allowed)

    def parse(value: object) -> Target:
        raw = {key: item for key, item in mapping(value).items() if item is not None}
        flaws = [Flaw("unknown_field", "Unknown field", at=f".{key}", value=raw[key]) for key in raw if key not in _TARGET_FIELDS]
        if "type" not in raw:
            flaws.insert(0, Flaw("required", "This field is required", "target type", at=".type"))
            raise Malformed(*flaws)
        try:
            kind = cast("TargetKind", kind_of(raw["type"]))
        except Malformed as error:
            raise Malformed(*(_at("type", raw["type"], flaw) for flaw in error.flaws), *flaws) from error
        return _SELECTORS[kind](raw, flaws)

    return parse


def _participant(raw: Mapping[str, object], flaws: list[Flaw]) -> Target:
    named = [key for key in raw if key in _ID_FIELDS]
    flaws += [
        Flaw("not_allowed", "At most one of participant_id, external_id, id", at=f".{key}", value=raw[key]) for key in named[1:]
    ]
    selected = _selected(TargetKind.PARTICIPANT, cast("By", named[0]), raw, flaws) if named else Target(TargetKind.PARTICIPANT)
    if flaws:
        raise Malformed(*flaws)
    return selected


def _group(raw: Mapping[str, object], flaws: list[Flaw]) -> Target:
    flaws += [_excluded(key, raw) for key in raw if key in ("participant_id", "external_id")]
    if "id" not in raw:
        raise Malformed(Flaw("required", "This field is required", "active group", at=".id"), *flaws)
    selected = _selected(TargetKind.GROUP, "id", raw, flaws)
    if isinstance(selected.value, str) and not _UUID.fullmatch(selected.value.strip()):
        flaws.append(no_group(raw["id"], at=".id"))
    if flaws:
        raise Malformed(*flaws)
    return selected


def no_group(value: object, *, at: str = "") -> Flaw:
    """An id that names no group, or an archived one."""
    return Flaw("invalid", "No such active group", "active group", at=at, value=value)


def group_ids(actions: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, UUID]]:
    """The groups that actions name outright, each with its action's place; the actions' form is checked."""
    for index, action in enumerate(actions):
        target = action.get("target") or {}
        if target.get("type") == TargetKind.GROUP and _UUID.fullmatch(target["id"].strip()):
            yield index, UUID(target["id"].strip())


def _program(raw: Mapping[str, object], flaws: list[Flaw]) -> Target:
    flaws += [_excluded(key, raw) for key in raw if key in _ID_FIELDS]
    if flaws:
        raise Malformed(*flaws)
    return PROGRAM_TARGET


_SELECTORS = {TargetKind.PARTICIPANT: _participant, TargetKind.GROUP: _group, TargetKind.PROGRAM: _program}


def _selected(kind: TargetKind, by: By, raw: Mapping[str, object], flaws: list[Flaw]) -> Target:
    try:
        value = literal_or_expression(raw[by])
    except Malformed as error:
        flaws += [_at(by, raw[by], flaw) for flaw in error.flaws]
        return Target(kind)
    return Target(kind, by, value)


def _excluded(key: str, raw: Mapping[str, object]) -> Flaw:
    return Flaw("not_allowed", "This target type has no such field", at=f".{key}", value=raw[key])


def _at(key: str, value: object, flaw: Flaw) -> Flaw:
    return Flaw(flaw.reason, flaw.message, flaw.expected, flaw.line, flaw.column, f".{key}{flaw.at}", value)
