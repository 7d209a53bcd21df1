"""Seals of the ledger; see the SQL beside this file.

Revision ID: 0017
Revises: 0016
"""

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'openscrip_app') THEN
        REVOKE UPDATE, DELETE ON entry_seals FROM openscrip_app;
    END IF;
END $$
"""


def upgrade() -> None:
    """Add seals, and note every entry that there is as unsealed."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
        cursor.execute(_APPEND_ONLY)
