"""The rewards catalog; see the SQL beside this file.

Revision ID: 0008
Revises: 0005
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add rewards and the units that participants have of them."""
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
