"""Budgets of rules and their periods; see the SQL beside this file.

Revision ID: 0004
Revises: 0003
"""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'openscrip_app') THEN
        REVOKE UPDATE, DELETE ON budget_periods FROM openscrip_app;
    END IF;
END $$
"""


def upgrade() -> None:
    """Add budgets; the application may only append to their periods."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
        cursor.execute(_APPEND_ONLY)
