"""Tree builder: one method for each rule of the grammar, called while the source is parsed.

Building bottom-up keeps chains flat and finds expressions that nest too deeply without recursion.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lark import Token

from domain.cel.errors import SourceError
from domain.cel.lexer import RESERVED, number_value, string_value
from domain.cel.nodes import (
    Call,
    Chain,
    Conditional,
    Has,
    Index,
    ListLiteral,
    Literal,
    Logic,
    Macro,
    MapLiteral,
    Method,
    Name,
    Node,
    Path,
    Select,
    Suffix,
    Unary,
)
from domain.cel.values import DURATION_TYPE, TIMESTAMP_TYPE

MAX_DEPTH = 64
MACROS = {"all": (2, 2), "exists": (2, 2), "exists_one": (2, 2), "filter": (2, 2), "map": (2, 3)}
NAMESPACES = frozenset({"sets"})
WELL_KNOWN = {("protobuf", "Timestamp"): TIMESTAMP_TYPE, ("protobuf", "Duration"): DURATION_TYPE}

Parts = list[Any]


def _nested(node: Node, parts: list[Node]) -> Node:
    """Set the depth of a node that nests `parts` one level deeper."""
    node.depth = max((part.depth for part in parts), default=0) + 1
    if node.depth > MAX_DEPTH:
        raise SourceError(f"nested more than {MAX_DEPTH} deep", node.offset)
    return node


def _only(parts: Parts) -> Any:
    return parts[0]


def _offset(token: Token) -> int:
    return token.start_pos or 0


class TreeBuilder:
    """Callbacks named as the grammar's rules; each takes the rule's parts and gives its node."""

    def expr(self, parts: Parts) -> Node:
        if len(parts) == 1:
            return _node(parts[0])
        condition, _, accepted, _, rejected = parts
        node = Conditional(condition.offset, condition, accepted, rejected)
        return _nested(node, [condition, accepted, rejected])

    def conditionalor(self, parts: Parts) -> Node:
        return self._logic("||", parts)

    def conditionaland(self, parts: Parts) -> Node:
        return self._logic("&&", parts)

    def _logic(self, operator: str, parts: Parts) -> Node:
        left, right = parts[0], parts[-1]
        if len(parts) == 1:
            return _node(right)
        if not isinstance(left, Logic) or left.operator != operator:
            left = Logic(left.offset, operator, [left], depth=left.depth)
        left.operands.append(right)
        left.depth = max(left.depth, right.depth)
        return left

    def relation(self, parts: Parts) -> Node:
        return self._chain("relation", parts)

    def addition(self, parts: Parts) -> Node:
        return self._chain("addition", parts)

    def multiplication(self, parts: Parts) -> Node:
        return self._chain("multiplication", parts)

    def _chain(self, level: str, parts: Parts) -> Node:
        if len(parts) == 1:
            return _node(parts[0])
        (left, operator), right = parts
        if not isinstance(left, Chain) or left.level != level:
            left = Chain(left.offset, level, left, [], depth=left.depth)
        left.rest.append((operator, right))
        left.depth = max(left.depth, right.depth)
        return left

    def _operator(self, parts: Parts) -> tuple[Node, str]:
        left, operator = parts
        return _node(left), str(operator)

    relation_lt = relation_le = relation_gt = relation_ge = relation_eq = relation_ne = relation_in = _operator
    addition_add = addition_sub = multiplication_mul = multiplication_div = multiplication_mod = _operator

    def unary(self, parts: Parts) -> Node:
        if len(parts) == 1:
            return _node(parts[0])
        operator, operand = parts
        offset = _offset(operator)
        value = operand.value if isinstance(operand, Literal) else None
        if operator == "-" and isinstance(value, Decimal):
            return Literal(offset, value.copy_negate(), depth=operand.depth)
        if isinstance(operand, Unary):
            operand.operators.append(str(operator))
            operand.offset = offset
            return operand
        return Unary(offset, [str(operator)], operand, depth=operand.depth)

    unary_not = unary_neg = staticmethod(_only)
    member = primary = staticmethod(_only)

    def member_dot(self, parts: Parts) -> Node:
        target, _, name = parts
        if isinstance(target, Path) and isinstance(target.base, Name) and target.base.name == "google":
            first = target.suffixes[0]
            known = WELL_KNOWN.get((first.name, str(name))) if isinstance(first, Select) else None
            if known is not None and len(target.suffixes) == 1:
                return Literal(target.offset, known)
        return _with_suffix(target, Select(_offset(name), str(name)))

    def member_dot_arg(self, parts: Parts) -> Node:
        target, _, name, *rest = parts
        arguments = _arguments(rest)
        offset = _offset(name)
        if isinstance(target, Name) and target.name in NAMESPACES:
            return _nested(Call(target.offset, f"{target.name}.{name}", arguments), arguments)
        if name in MACROS:
            return _with_suffix(target, _macro(offset, str(name), arguments))
        method = Method(offset, str(name), arguments)
        _nested(method, arguments)
        return _with_suffix(target, method)

    def member_index(self, parts: Parts) -> Node:
        target, bracket, key, _ = parts
        index = Index(_offset(bracket), key)
        _nested(index, [key])
        return _with_suffix(target, index)

    def member_object(self, parts: Parts) -> Node:
        raise SourceError("messages can't be built", parts[0].offset)

    def ident(self, parts: Parts) -> Node:
        return Name(_offset(parts[0]), str(parts[0]))

    def dot_ident(self, parts: Parts) -> Node:
        return Name(_offset(parts[0]), str(parts[1]))

    def ident_arg(self, parts: Parts) -> Node:
        name, *rest = parts
        arguments = _arguments(rest)
        if name == "has":
            return _has(_offset(name), arguments)
        return _nested(Call(_offset(name), str(name), arguments), arguments)

    def dot_ident_arg(self, parts: Parts) -> Node:
        return self.ident_arg(parts[1:])

    def paren_expr(self, parts: Parts) -> Node:
        opening, inner, _ = parts
        inner.depth += 1
        if inner.depth > MAX_DEPTH:
            raise SourceError(f"nested more than {MAX_DEPTH} deep", _offset(opening))
        return _node(inner)

    def list_lit(self, parts: Parts) -> Node:
        items = _arguments(parts)
        return _nested(ListLiteral(_offset(parts[0]), items), items)

    def map_lit(self, parts: Parts) -> Node:
        items = _arguments(parts)
        return _nested(MapLiteral(_offset(parts[0]), items), items)

    def exprlist(self, parts: Parts) -> list[Node]:
        return [part for part in parts if not isinstance(part, Token)]

    mapinits = fieldinits = exprlist

    def literal(self, parts: Parts) -> Node:
        lexeme = parts[0]
        offset = _offset(lexeme)
        if lexeme.type == "NULL_LIT":
            return Literal(offset, None)
        if lexeme.type == "BOOL_LIT":
            return Literal(offset, lexeme == "true")
        if lexeme.type in ("STRING_LIT", "BYTES_LIT"):
            return Literal(offset, string_value(str(lexeme), offset))
        return Literal(offset, number_value(str(lexeme), offset))


def _node(part: Any) -> Node:
    if isinstance(part, Node):
        return part
    raise SourceError("unexpected expression", 0)


def _arguments(parts: Parts) -> list[Node]:
    """The expressions between brackets, out of a rule's parts."""
    return next((part for part in parts if isinstance(part, list)), [])


def _with_suffix(target: Node, suffix: Suffix) -> Path:
    path = target if isinstance(target, Path) else Path(target.offset, target, [], depth=target.depth)
    path.suffixes.append(suffix)
    path.depth = max(path.depth, suffix.depth)
    return path


def _macro(offset: int, name: str, arguments: list[Node]) -> Macro:
    least, most = MACROS[name]
    if not least <= len(arguments) <= most:
        raise SourceError(f"wrong number of arguments of {name}", offset)
    variable, *bodies = arguments
    if not isinstance(variable, Name) or variable.name in RESERVED or variable.depth:
        raise SourceError(f"the first argument of {name} must be a variable name", variable.offset)
    macro = Macro(offset, name, variable.name, bodies)
    _nested(macro, bodies)
    return macro


def _has(offset: int, arguments: list[Node]) -> Node:
    if len(arguments) != 1:
        raise SourceError("wrong number of arguments of has", offset)
    path = arguments[0]
    last = path.suffixes.pop() if isinstance(path, Path) else None
    if not isinstance(path, Path) or not isinstance(last, Select):
        raise SourceError("the argument of has must be a field, as in has(event.coupon)", path.offset)
    operand = path if path.suffixes else path.base
    return _nested(Has(offset, operand, last.name), [path])
