"""Conditions that several lists share."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import col, or_


def like_pattern(text: str) -> str:
    """The pattern of ILIKE, with a backslash as its escape, for what contains the text; `%` and `_` mean themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def contains(text: str, *columns: Any) -> ColumnElement[bool]:
    """Whether one of the columns contains the text, whatever the letter case; `%` and `_` mean themselves."""
    return or_(*(col(column).ilike(like_pattern(text), escape="\\") for column in columns))
