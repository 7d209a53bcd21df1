"""Renew db/schema.sql after a migration: python -m tests.db.write_schema"""

import tempfile
from pathlib import Path

from db.migrate import upgrade
from runtime.embedded import EmbeddedPostgres
from tests.db.test_schema import SCHEMA, dump

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder), ephemeral=True) as server:
        upgrade(server.dsn)
        SCHEMA.write_text(dump(server.dsn), encoding="utf-8")
