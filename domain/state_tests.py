"""The part of a filter that a database can answer: a conjunction's comparisons of tags, counters and attributes.

A conjunction is true exactly if each of its operands is, errors counting as false; so some of them may be asked of the database
and the rest evaluated for whom these leave.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from domain.cel.nodes import Call, Chain, Has, Index, Literal, Logic, Name, Node, Path, Select, Unary
from domain.cel.parser import parse
from domain.processing.expressions import is_storable

# So few can't come near the step limit of an evaluation, whatever a participant has.
MOST_TESTS = 50
ORDERINGS = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
COMPARISONS = {"==": "==", "!=": "!=", **ORDERINGS}


class StateKind(StrEnum):
    """Which part of a participant's state is looked at."""

    TAG = "tags"
    COUNTER = "counters"
    ATTRIBUTE = "attributes"


@dataclass(frozen=True, slots=True)
class StateTest:
    """One comparison. Without `operator`: whether the key is there, or with `is_negated` isn't.

    Otherwise what is stored under the key, `default` when nothing is, compared with `value`; false without either.
    """

    kind: StateKind
    key: str
    is_negated: bool = False
    operator: str | None = None
    value: Decimal | str | None = None
    default: Decimal | str | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """What a database can test; `is_complete` when that is all of the filter."""

    tests: tuple[StateTest, ...]
    is_complete: bool


NO_FILTER = Split((), is_complete=True)
_HINTS = {"has_tag": StateKind.TAG, "has_attribute": StateKind.ATTRIBUTE, "has_counter": StateKind.COUNTER}
_VALUES = {StateKind.COUNTER: Decimal, StateKind.ATTRIBUTE: str}


def hint_tests(hints: Iterable[Mapping[str, str]]) -> tuple[StateTest, ...]:
    """What filter hints ask for (automations.md 2.3)."""
    return tuple(StateTest(_HINTS[name], key) for hint in hints for name, key in hint.items())


def split(source: str | None) -> Split:
    """What of a filter that compiles can be tested by a database; None has nothing to test."""
    if source is None:
        return NO_FILTER
    root = parse(source)
    operands: Sequence[Node] = root.operands if isinstance(root, Logic) and root.operator == "&&" else [root]
    found = [_test(operand) for operand in operands]
    tests = tuple(dict.fromkeys(test for test in found if test is not None))
    return Split(tests[:MOST_TESTS], is_complete=None not in found and len(tests) <= MOST_TESTS)


def _test(node: Node) -> StateTest | None:
    found = _negated(node) if isinstance(node, Unary) else _plain(node)
    if found is None or not all(is_storable(text) for text in (found.key, found.value, found.default) if isinstance(text, str)):
        return None
    return found


def _negated(node: Unary) -> StateTest | None:
    inner = _plain(node.operand) if node.operators == ["!"] else None
    if inner is None or inner.operator is not None:
        return None
    return StateTest(inner.kind, inner.key, is_negated=True)


def _plain(node: Node) -> StateTest | None:
    if isinstance(node, Has):
        kind = _part(node.operand)
        return None if kind is None or kind is StateKind.TAG else StateTest(kind, node.name)
    if not isinstance(node, Chain) or len(node.rest) != 1:
        return None
    left, (operator, right) = node.first, node.rest[0]
    if operator == "in":
        kind = _part(right)
        return StateTest(kind, left.value) if kind and isinstance(left, Literal) and isinstance(left.value, str) else None
    if operator not in COMPARISONS:
        return None
    if isinstance(left, Literal):
        return _comparison(right, COMPARISONS[operator], left)
    return _comparison(left, operator, right)


def _comparison(operand: Node, operator: str, literal: Node) -> StateTest | None:
    read = _stored(operand)
    if read is None or not isinstance(literal, Literal):
        return None
    kind, key, default = read
    if kind is StateKind.TAG or type(literal.value) is not _VALUES[kind]:
        return None
    if default is not None and type(default) is not _VALUES[kind]:
        return None
    return StateTest(kind, key, operator=operator, value=literal.value, default=default)  # type: ignore[arg-type]


def _stored(node: Node) -> tuple[StateKind, str, object] | None:
    """Part, key and default of `participant.counters.k`, `participant.counters["k"]` or `get(participant.counters, "k", 0)`."""
    if isinstance(node, Path) and len(node.suffixes) == 2:
        kind, last = _part(Path(node.offset, node.base, node.suffixes[:1])), node.suffixes[1]
        key = last.name if isinstance(last, Select) else _text(last.key) if isinstance(last, Index) else None
        return None if kind is None or key is None else (kind, key, None)
    if isinstance(node, Call) and node.name == "get" and len(node.arguments) == 3:
        kind, key, default = _part(node.arguments[0]), _text(node.arguments[1]), node.arguments[2]
        if kind is not None and key is not None and isinstance(default, Literal) and default.value is not None:
            return kind, key, default.value
    return None


def _part(node: Node) -> StateKind | None:
    """The part of the state that `participant.tags` and the like name."""
    if not isinstance(node, Path) or len(node.suffixes) != 1 or not isinstance(node.base, Name):
        return None
    suffix = node.suffixes[0]
    if node.base.name != "participant" or not isinstance(suffix, Select):
        return None
    return StateKind(suffix.name) if suffix.name in set(StateKind) else None


def _text(node: Node) -> str | None:
    return node.value if isinstance(node, Literal) and isinstance(node.value, str) else None
