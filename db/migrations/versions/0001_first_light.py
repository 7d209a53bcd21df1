"""First light: tenants, programs, holders, the ledger, rules, events; see the SQL beside this file.

Revision ID: 0001
Revises:
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPLICATION_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'openscrip_app') THEN
        BEGIN
            CREATE ROLE openscrip_app NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role openscrip_app is missing and may not be created: append-only rests on the triggers alone';
                RETURN;
        END;
    END IF;
    BEGIN
        EXECUTE format('GRANT openscrip_app TO %I', current_user);
    EXCEPTION WHEN insufficient_privilege OR invalid_grant_operation THEN NULL;
    END;
    GRANT USAGE ON SCHEMA public TO openscrip_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO openscrip_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO openscrip_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO openscrip_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO openscrip_app;
    REVOKE UPDATE, DELETE ON journal_entries, postings, rule_history FROM openscrip_app;
    REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM openscrip_app;
END $$
"""


def upgrade() -> None:
    """Create everything, then the role that may only append to the ledger."""
    # the driver's own cursor: SQL with percent signs and many statements goes through as it is written
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
        cursor.execute(_APPLICATION_ROLE)
