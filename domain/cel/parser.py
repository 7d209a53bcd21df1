"""Source text to a syntax tree, with the grammar and parser tables of cel-python."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedInput, UnexpectedToken
from lark.lexer import Lexer

from domain.cel.builder import TreeBuilder
from domain.cel.errors import SourceError
from domain.cel.lexer import Lexeme, tokenize
from domain.cel.nodes import Node

MAX_SOURCE = 16_384


class _Tokens(Lexer):
    """Hands ready tokens to the parser; the text given to it is their list."""

    __future_interface__ = 2

    def __init__(self, configuration: object) -> None:
        del configuration

    def lex(self, lexer_state: Any, parser_state: Any) -> Iterator[Token]:
        del parser_state
        yield from lexer_state.text


class Parser:
    """Parser tables; safe to share between threads, costly to make."""

    def __init__(self) -> None:
        self._lark = Lark(
            _grammar(),
            parser="lalr",
            lexer=_Tokens,
            start="expr",
            keep_all_tokens=True,
            maybe_placeholders=False,
            transformer=TreeBuilder(),
        )
        terminals = self._lark.terminals
        self._names = {term.pattern.value: term.name for term in terminals if term.pattern.type == "str"}

    def parse(self, source: str) -> Node:
        """Tree of the source; raises SourceError."""
        if len(source) > MAX_SOURCE:
            raise SourceError(f"longer than {MAX_SOURCE} characters", MAX_SOURCE)
        tokens: Any = [self._token(lexeme) for lexeme in tokenize(source)]
        try:
            root: Any = self._lark.parse(tokens)
        except UnexpectedInput as error:
            raise _syntax_error(error, source) from None
        if not isinstance(root, Node):
            raise SourceError("unexpected expression", 0)
        return root

    def _token(self, lexeme: Lexeme) -> Token:
        return Token(self._names.get(lexeme.kind, lexeme.kind), lexeme.text, start_pos=lexeme.offset)


def parse(source: str) -> Node:
    """Tree of the source; raises SourceError. The parser is made at the first call of the process."""
    return _shared_parser().parse(source)


_parsers: list[Parser] = []
_lock = Lock()


def _shared_parser() -> Parser:
    if not _parsers:
        with _lock:
            if not _parsers:
                _parsers.append(Parser())
    return _parsers[0]


def _grammar() -> str:
    # Importing celpy takes a while and fails in a workflow sandbox; only its grammar file is needed.
    spec = importlib.util.find_spec("celpy")
    if spec is None or spec.origin is None:
        raise ImportError("cel-python is not installed")
    return Path(spec.origin).with_name("cel.lark").read_text(encoding="utf-8")


def _syntax_error(error: UnexpectedInput, source: str) -> SourceError:
    if not isinstance(error, UnexpectedToken) or error.token.type == "$END":
        return SourceError("unexpected end of expression", len(source.rstrip()))
    text = str(error.token)
    shown = text if len(text) <= 40 else text[:40] + "..."
    return SourceError(f"unexpected {shown!a}", error.token.start_pos or 0)
