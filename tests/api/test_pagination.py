"""Keyset pages over a table with ties and nulls: every row once, in every direction, for both kinds of statements."""

from typing import Any, NamedTuple

import pytest
from psycopg.rows import namedtuple_row
from sqlalchemy import literal_column, select, text
from sqlmodel import Session

from api.pagination import Listing
from api.schemas.common import Choice, ListQuery, SortDirection
from db.session import Database, psycopg_of
from services.paging import Keyset, SortColumn

LISTING = Listing(
    "things", {"rank": (SortColumn("rank", "integer", is_nullable=True), SortColumn("name", "text"), SortColumn("id", "uuid"))}
)


class Query(ListQuery):
    sort_dir: Choice[SortDirection] = SortDirection.ASC
    word: str | None = None


class Thing(NamedTuple):
    rank: int | None
    name: str
    id: Any


def _fill(session: Session) -> list[Thing]:
    connection = psycopg_of(session)
    connection.execute("CREATE TEMP TABLE things (rank int, name text, id uuid) ON COMMIT DROP")
    connection.execute(
        "INSERT INTO things SELECT nullif(n % 4, 3), 'n' || n % 3, md5(n::text)::uuid FROM generate_series(1, 60) n"
    )
    return [Thing(*row) for row in connection.execute("SELECT rank, name, id FROM things")]


def _by_psycopg(session: Session, keyset: Keyset) -> Any:
    condition, values = keyset.where_sql()
    with psycopg_of(session).cursor(row_factory=namedtuple_row) as cursor:
        statement = f"SELECT rank, name, id FROM things WHERE {condition} ORDER BY {keyset.order_sql()} LIMIT {keyset.fetch}"
        return cursor.execute(statement, values).fetchall()


def _by_sqlalchemy(session: Session, keyset: Keyset) -> Any:
    columns = [literal_column(name) for name in ("rank", "name", "id")]
    statement = select(*columns).select_from(text("things")).where(keyset.where()).order_by(keyset.order())
    return session.connection().execute(statement.limit(keyset.fetch)).all()


@pytest.mark.parametrize("fetch", [_by_psycopg, _by_sqlalchemy])
@pytest.mark.parametrize("direction", list(SortDirection))
@pytest.mark.parametrize("limit", [1, 7, 60])
def test_every_row_once(database: Database, fetch: Any, direction: SortDirection, limit: int) -> None:
    seen: list[Thing] = []
    cursor = None
    with database.session() as session:
        rows = _fill(session)
        while True:
            page = LISTING.page(Query(limit=limit, cursor=cursor, sort_dir=direction))
            found = page.keyset.cut(fetch(session, page.keyset))
            seen += [Thing(*row) for row in found.rows]
            assert len(found.rows) <= limit
            if found.last is None:
                break
            cursor = page.cursor(found.last)
    nulls_last = sorted(rows, key=lambda row: (row.rank or 0, row.name, row.id), reverse=direction is SortDirection.DESC)
    assert [str(row.id) for row in seen] == [str(row.id) for row in sorted(nulls_last, key=lambda row: row.rank is None)]
