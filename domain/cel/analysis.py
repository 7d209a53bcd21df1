"""What rules are indexed and loaded by: the parts of variables that are read, the event types that can match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.cel.nodes import Call, Chain, Index, ListLiteral, Literal, Logic, Name, Node, Path, Select

# Variables whose parts are loaded one by one; the others are loaded whole.
_LOADED_IN_PARTS: Final = frozenset({"participant", "recipient", "program"})


def reads_of_path(path: Path, base_reads: frozenset[str]) -> frozenset[str]:
    """What `base.suffix...` reads through its base: `participant.tags`, or all of it when the key isn't fixed."""
    first = path.suffixes[0]
    if isinstance(path.base, Name) and path.base.name in _LOADED_IN_PARTS:
        key = first.name if isinstance(first, Select) else first.key if isinstance(first, Index) else None
        if isinstance(key, Literal):
            key = key.value if isinstance(key.value, str) else None
        if isinstance(key, str):
            return frozenset({f"{path.base.name}.{key}"})
    return base_reads


def reads_of_call(call: Call, argument_reads: Sequence[frozenset[str]]) -> frozenset[str]:
    """What the arguments read; `get(participant, "tags", [])` reads `participant.tags` only."""
    reads = list(argument_reads)
    if call.name == "get" and isinstance(call.arguments[0], Name) and call.arguments[0].name in _LOADED_IN_PARTS:
        key = call.arguments[1]
        if isinstance(key, Literal) and isinstance(key.value, str):
            reads[0] = frozenset({f"{call.arguments[0].name}.{key.value}"})
    return frozenset().union(*reads)


def reads_of_has(name: str, operand: Node, operand_reads: frozenset[str]) -> frozenset[str]:
    """What `has(operand.name)` reads."""
    if isinstance(operand, Name) and operand.name in _LOADED_IN_PARTS:
        return frozenset({f"{operand.name}.{name}"})
    return operand_reads


def event_types(root: Node) -> frozenset[str] | None:
    """Types of events for which the condition can be true, where its first conjunct compares `event.type`."""
    while isinstance(root, Logic) and root.operator == "&&":
        root = root.operands[0]
    alternatives = root.operands if isinstance(root, Logic) else [root]
    found: set[str] = set()
    for alternative in alternatives:
        types = _compared_types(alternative)
        if types is None:
            return None
        found |= types
    return frozenset(found)


def _compared_types(node: Node) -> set[str] | None:
    if not isinstance(node, Chain) or len(node.rest) != 1:
        return None
    operator, right = node.rest[0]
    left = node.first
    if operator == "==":
        value = right if _is_event_type(left) else left if _is_event_type(right) else None
        return _strings([value]) if value is not None else None
    if operator == "in" and _is_event_type(left) and isinstance(right, ListLiteral):
        return _strings(right.items)
    return None


def _is_event_type(node: Node) -> bool:
    if not isinstance(node, Path) or len(node.suffixes) != 1:
        return False
    suffix = node.suffixes[0]
    is_event = isinstance(node.base, Name) and node.base.name == "event"
    return is_event and isinstance(suffix, Select) and suffix.name == "type"


def _strings(nodes: Sequence[Node]) -> set[str] | None:
    values = [node.value if isinstance(node, Literal) else None for node in nodes]
    texts = {value for value in values if isinstance(value, str)}
    return texts if all(isinstance(value, str) for value in values) else None
