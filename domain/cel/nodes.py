"""Syntax tree of an expression.

Chains (`a + b + c`, `a && b && c`, `a.b.c`, `!-!x`) are one flat node each, so the depth of a tree is that of its
brackets, calls and conditionals. Offsets count characters from 0. Nodes change only while the parser builds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Node:
    """Any expression: where it begins, and how deeply it nests brackets, calls and conditionals."""

    offset: int
    depth: int = field(default=0, kw_only=True)

    def children(self) -> list[Node]:
        """Sub-expressions in source order."""
        return []


@dataclass(slots=True, eq=False)
class Literal(Node):
    value: object


@dataclass(slots=True, eq=False)
class Name(Node):
    name: str


@dataclass(slots=True, eq=False)
class Unary(Node):
    """Prefix operators, the innermost first."""

    operators: list[str]
    operand: Node

    def children(self) -> list[Node]:
        return [self.operand]


@dataclass(slots=True, eq=False)
class Chain(Node):
    """Operators of one precedence, applied from left to right."""

    level: str
    first: Node
    rest: list[tuple[str, Node]]

    def children(self) -> list[Node]:
        return [self.first, *(operand for _, operand in self.rest)]


@dataclass(slots=True, eq=False)
class Logic(Node):
    """`&&` or `||` over two or more operands."""

    operator: str
    operands: list[Node]

    def children(self) -> list[Node]:
        return self.operands


@dataclass(slots=True, eq=False)
class Conditional(Node):
    condition: Node
    accepted: Node
    rejected: Node

    def children(self) -> list[Node]:
        return [self.condition, self.accepted, self.rejected]


@dataclass(slots=True, eq=False)
class ListLiteral(Node):
    items: list[Node]

    def children(self) -> list[Node]:
        return self.items


@dataclass(slots=True, eq=False)
class MapLiteral(Node):
    """Keys and values in turn."""

    items: list[Node]

    def children(self) -> list[Node]:
        return self.items


@dataclass(slots=True, eq=False)
class Call(Node):
    name: str
    arguments: list[Node]

    def children(self) -> list[Node]:
        return self.arguments


@dataclass(slots=True, eq=False)
class Has(Node):
    """`has(operand.name)`."""

    operand: Node
    name: str

    def children(self) -> list[Node]:
        return [self.operand]


@dataclass(slots=True, eq=False)
class Select(Node):
    """`.name` after an operand."""

    name: str


@dataclass(slots=True, eq=False)
class Index(Node):
    """`[key]` after an operand."""

    key: Node

    def children(self) -> list[Node]:
        return [self.key]


@dataclass(slots=True, eq=False)
class Method(Node):
    """`.name(arguments)` after an operand."""

    name: str
    arguments: list[Node]

    def children(self) -> list[Node]:
        return self.arguments


@dataclass(slots=True, eq=False)
class Macro(Node):
    """`.name(variable, bodies...)` after an operand."""

    name: str
    variable: str
    bodies: list[Node]

    def children(self) -> list[Node]:
        return self.bodies


Suffix = Select | Index | Method | Macro


@dataclass(slots=True, eq=False)
class Path(Node):
    """An operand followed by selections, indexes and calls."""

    base: Node
    suffixes: list[Suffix]

    def children(self) -> list[Node]:
        return [self.base, *(child for suffix in self.suffixes for child in suffix.children())]


def post_order(root: Node) -> list[Node]:
    """All expressions of the tree, children before parents; needs no recursion."""
    pending, found = [root], []
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(node.children())
    found.reverse()
    return found
