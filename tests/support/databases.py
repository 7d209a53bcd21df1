"""Further databases on the tests' Postgres server, for tests that want one to themselves."""

from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from db.migrate import upgrade


def make_database(server_url: str, name: str, *, lanes: int = 8) -> str:
    """Create and migrate a database beside the one of `server_url`; returns its URL."""
    with closing(psycopg.connect(server_url, autocommit=True)) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    upgrade(url, lanes=lanes)
    return url
