"""Tiers, the levels that holders have of them, and their history; see the SQL beside this file.

Revision ID: 0009
Revises: 0008
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEEP = """
DO $$
BEGIN
    -- without the role (0001 may not create it) there is nothing to take from it
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'openscrip_app') THEN
        REVOKE DELETE ON tiers, tier_levels FROM openscrip_app;
        REVOKE UPDATE, DELETE ON tier_history FROM openscrip_app;
    END IF;
END $$
"""


def upgrade() -> None:
    """Add tiers; the default privileges of 0001 give the application more than it needs."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
        cursor.execute(_KEEP)
