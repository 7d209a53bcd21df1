"""Keyset pagination for every list: the order of a page, the condition that continues it, and where it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import TextClause, text

Row = TypeVar("Row")
Value = str | None


@dataclass(frozen=True, slots=True)
class SortColumn:
    """A column of the order: its SQL as the statement names it, and the type its values are cast to."""

    sql: str
    type: str = "timestamptz"
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """The rows of one page, and the sort values of its last row when more follow."""

    rows: list[Row]
    last: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Keyset:
    """One page of a list: all columns run in one direction, nulls last in both.

    `after` holds the last page's sort values as text, one per column; only the first column may be nullable.
    """

    columns: tuple[SortColumn, ...]
    limit: int = 50
    is_descending: bool = True
    after: tuple[Value, ...] | None = None

    @property
    def fetch(self) -> int:
        """How many rows to ask for: one more than the page tells whether more follow."""
        return self.limit + 1

    def order_sql(self) -> str:
        """What follows ORDER BY."""
        direction = "DESC" if self.is_descending else "ASC"
        return ", ".join(f"{column.sql} {direction}{' NULLS LAST' if column.is_nullable else ''}" for column in self.columns)

    def where_sql(self) -> tuple[str, dict[str, Value]]:
        """The condition for rows after the last page and its named psycopg parameters `%(page_0)s` ...; TRUE at first."""
        condition, values = self._condition(lambda name: f"%({name})s")
        return condition, values

    def where(self) -> TextClause:
        """The same condition for a SQLAlchemy statement."""
        condition, values = self._condition(lambda name: f":{name}")
        return text(condition).bindparams(**values)

    def order(self) -> TextClause:
        """The order for a SQLAlchemy statement."""
        return text(self.order_sql())

    def cut(self, rows: Sequence[Row], values_of: Callable[[Row], tuple[Any, ...]] | None = None) -> Slice[Row]:
        """Cut what was fetched to the page.

        `values_of` gives a row's sort values in the order of the columns; by default its attributes of the same names.
        """
        page = list(rows[: self.limit])
        if len(rows) <= self.limit:
            return Slice(page, None)
        return Slice(page, self._attributes(page[-1]) if values_of is None else values_of(page[-1]))

    def _attributes(self, row: Row) -> tuple[Any, ...]:
        return tuple(getattr(row, column.sql.rpartition(".")[2]) for column in self.columns)

    def _condition(self, parameter: Callable[[str], str]) -> tuple[str, dict[str, Value]]:
        if self.after is None:
            return "TRUE", {}
        values: dict[str, Value] = {f"page_{index}": value for index, value in enumerate(self.after) if value is not None}
        marks = [f"CAST({parameter(f'page_{index}')} AS {column.type})" for index, column in enumerate(self.columns)]
        first, *rest = self.columns
        if not first.is_nullable:
            return self._beyond(self.columns, marks), values
        beyond_rest = self._beyond(tuple(rest), marks[1:])
        if self.after[0] is None:
            return f"({first.sql} IS NULL AND {beyond_rest})", values
        sign = "<" if self.is_descending else ">"
        return (
            f"({first.sql} {sign} {marks[0]} OR {first.sql} IS NULL OR ({first.sql} = {marks[0]} AND {beyond_rest}))",
            values,
        )

    def _beyond(self, columns: tuple[SortColumn, ...], marks: Sequence[str]) -> str:
        sign = "<" if self.is_descending else ">"
        return f"({', '.join(column.sql for column in columns)}) {sign} ({', '.join(marks)})"
