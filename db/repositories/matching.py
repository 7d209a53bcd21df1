"""Conditions that several lists share."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import col, or_


def contains(text: str, *columns: Any) -> ColumnElement[bool]:
    """Whether one of the columns contains the text, whatever the letter case; `%` and `_` mean themselves."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return or_(*(col(column).ilike(f"%{escaped}%", escape="\\") for column in columns))
