"""Source text to tokens, and literals to values.

Own scanner instead of the grammar's terminals: those back-track exponentially on an unterminated string, and can't
tell a quote that ends a raw string. Every pattern here is linear.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from domain.cel.errors import SourceError

MAX_EXPONENT = 400
RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
KEYWORDS = {"true": "BOOL_LIT", "false": "BOOL_LIT", "null": "NULL_LIT", "in": "in"}

_STRING = (
    r"(?:[rR][bB]?|[bB][rR])(?:\"\"\"(?:[^\"]|\"(?!\"\"))*\"\"\"|'''(?:[^']|'(?!''))*'''|\"[^\"\r\n]*\"|'[^'\r\n]*')"
    r"|[bB]?(?:\"\"\"(?:[^\\\"]|\\[\s\S]|\"(?!\"\"))*\"\"\"|'''(?:[^\\']|\\[\s\S]|'(?!''))*'''"
    r"|\"(?:[^\\\"\r\n]|\\[^\r\n])*\"|'(?:[^\\'\r\n]|\\[^\r\n])*')"
)
_TOKEN = re.compile(
    rf"(?P<space>(?:[\t\n\f\r ]+|//[^\n]*)+)|(?P<string>{_STRING})"
    r"|(?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<int>(?:0[xX][0-9a-fA-F]+|[0-9]+)[uU]?)"
    r"|(?P<ident>[_a-zA-Z][_a-zA-Z0-9]*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,(){}\[\]])"
)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-3][0-7]{2})|[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})"
    r"|(?P<plain>[abfnrtv\\?\"'`])|(?P<bad>[\s\S]?))"
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Lexeme(NamedTuple):
    """A token: `kind` is a terminal's name of the grammar, or the text of a sign or keyword."""

    kind: str
    text: str
    offset: int


def tokenize(source: str) -> list[Lexeme]:
    """Tokens of the source; raises SourceError at the first character that begins none."""
    tokens: list[Lexeme] = []
    offset = 0
    while offset < len(source):
        match = _TOKEN.match(source, offset)
        if match is None:
            raise SourceError(f"unexpected character {source[offset]!a}", offset)
        group, text = match.lastgroup or "", match.group()
        if group != "space":
            tokens.append(Lexeme(_kind(group, text), text, offset))
        offset = match.end()
    return tokens


def _kind(group: str, text: str) -> str:
    if group == "ident":
        return KEYWORDS.get(text, "IDENT")
    if group == "string":
        return "BYTES_LIT" if "b" in _prefix_and_quote(text)[0] else "STRING_LIT"
    if group == "sign":
        return text
    return "FLOAT_LIT" if group == "float" else "UINT_LIT" if text[-1] in "uU" else "INT_LIT"


def number_value(text: str, offset: int) -> Decimal:
    """Value of a number literal; its type (int, uint, double) doesn't matter."""
    digits = text.rstrip("uU") if text[:2] not in ("0x", "0X") else text[2:].rstrip("uU")
    try:
        value = Decimal(digits) if text[:2] not in ("0x", "0X") else Decimal(int(digits, 16))
    except ArithmeticError:
        raise SourceError("number out of range", offset) from None
    if value and not -MAX_EXPONENT < value.adjusted() < 38:
        raise SourceError("number out of range", offset)
    return value


def string_value(text: str, offset: int) -> str | bytes:
    """Value of a string or bytes literal with its prefix and quotes."""
    prefix, quote = _prefix_and_quote(text)
    start = len(prefix) + len(quote)
    body = text[start : -len(quote)]
    is_bytes = "b" in prefix
    if "r" in prefix or "\\" not in body:
        return _encoded(body, offset + start) if is_bytes else _checked(body, offset + start)
    return _unescaped_bytes(body, offset + start) if is_bytes else _unescaped(body, offset + start)


def _prefix_and_quote(text: str) -> tuple[str, str]:
    prefix = text[: min(text.find(quote) for quote in "\"'" if quote in text)]
    quote = text[len(prefix) : len(prefix) + 3]
    is_triple = len(text) >= len(prefix) + 6 and quote in ('"""', "'''")
    return prefix.lower(), quote if is_triple else quote[0]


def _checked(text: str, offset: int) -> str:
    _encoded(text, offset)
    return text


def _encoded(text: str, offset: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise SourceError("unpaired surrogate", offset + error.start) from None


def _unescaped(body: str, offset: int) -> str:
    return _checked(_ESCAPE.sub(lambda match: _character(match, offset), body), offset)


def _unescaped_bytes(body: str, offset: int) -> bytes:
    parts: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(body):
        parts.append(_encoded(body[end : match.start()], offset))
        end = match.end()
        if match["u4"] or match["u8"]:
            raise SourceError("unicode escape in bytes", offset + match.start())
        parts.append(_character(match, offset).encode("latin-1"))
    return b"".join([*parts, _encoded(body[end:], offset)])


def _character(match: re.Match[str], offset: int) -> str:
    if match["plain"]:
        return _PLAIN.get(match["plain"], match["plain"])
    if match["octal"]:
        return chr(int(match["octal"], 8))
    code = match["hex"] or match["u4"] or match["u8"]
    if code is None or int(code, 16) > 0x10FFFF:
        raise SourceError("invalid escape sequence", offset + match.start())
    return chr(int(code, 16))
