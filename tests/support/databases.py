"""Further databases on the tests' Postgres server, for tests that want one to themselves."""

from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from db.migrate import upgrade


def make_database(server_url: str, name: str, *, lanes: int = 8) -> str:
    """Create a migrated database beside the one of `server_url`; returns its URL. It is the copy of one that was migrated once."""
    with closing(psycopg.connect(server_url, autocommit=True)) as connection:
        template = f"template_with_{lanes}_lanes"
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [template]).fetchone() is None:
            _migrate_template(connection, server_url, template, lanes)
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
    return beside(server_url, name)


def _migrate_template(connection: psycopg.Connection[Any], server_url: str, template: str, lanes: int) -> None:
    unfinished = f"{template}_unfinished"
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
    upgrade(beside(server_url, unfinished), lanes=lanes)
    renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    connection.execute(renamed.format(sql.Identifier(unfinished), sql.Identifier(template)))


def beside(server_url: str, name: str) -> str:
    """The URL of another database of the same server, whether it exists or not."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
