"""The schema: what migrations make is what is committed, and what the tables of the code say."""

import re
import subprocess
from pathlib import Path

import psycopg
from sqlmodel import SQLModel

import db
import db.tables.core
import db.tables.holders
import db.tables.rules
from db.migrate import is_current, upgrade
from runtime.cluster import find_binaries

SCHEMA = Path(db.__file__).parent / "schema.sql"
HOW_TO_RENEW = "run `python -m tests.db.write_schema` and commit db/schema.sql"


def dump(database_url: str) -> str:
    """The migrated schema without what varies: versions, owners, months' partitions."""
    command = [
        find_binaries(None) / "pg_dump",
        "--schema-only",
        "--no-owner",
        "--no-privileges",
        "--exclude-table=*_2*",
        database_url,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith(("--", "SET ", "SELECT pg_catalog", "\\"))]
    return "\n".join(line for line in kept if not re.search(r"_2\d{5}", line)) + "\n"


def test_migrated_schema_is_the_committed_one(database_url: str) -> None:
    assert dump(database_url) == SCHEMA.read_text(encoding="utf-8"), HOW_TO_RENEW


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = dump(database_url)
    upgrade(database_url)
    assert dump(database_url) == before
    assert is_current(database_url)


def test_tables_of_the_code_match_the_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT table_name, column_name, is_nullable FROM information_schema.columns").fetchall()
    present: dict[str, dict[str, str]] = {}
    for table, column, nullable in rows:
        present.setdefault(table, {})[column] = nullable
    for table in SQLModel.metadata.tables.values():
        declared = {column.name: "YES" if column.nullable else "NO" for column in table.columns}
        for name, nullable in declared.items():
            assert present[table.name].get(name) == nullable, f"{table.name}.{name}"


def test_code_is_imported_from_this_checkout() -> None:
    assert Path(db.__file__).resolve().is_relative_to(Path(__file__).resolve().parents[2])
