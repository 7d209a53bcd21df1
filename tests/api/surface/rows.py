"""Everything that the database has of one organization, as one checksum a table."""

from collections.abc import Mapping
from uuid import UUID

from db.session import Database

# tables whose rows belong to an organization by way of another table's; of the others each row says its organization
_BY_WAY_OF = {
    "event_identities": "id IN (SELECT id FROM events WHERE organization_id = {0})",
    "fan_out_candidates": "automation_id IN (SELECT id FROM automations WHERE organization_id = {0})",
    "redemption_lots": "redemption_id IN (SELECT id FROM redemptions WHERE organization_id = {0})",
    "reward_units": "reward_id IN (SELECT id FROM rewards WHERE organization_id = {0})",
    "rule_matches": "rule_id IN (SELECT id FROM rules WHERE organization_id = {0})",
    "tier_levels": "tier_id IN (SELECT id FROM tiers WHERE organization_id = {0})",
    "webhook_health": "endpoint_id IN (SELECT id FROM webhook_endpoints WHERE organization_id = {0})",
    "webhook_hours": "endpoint_id IN (SELECT id FROM webhook_endpoints WHERE organization_id = {0})",
    "organizations": "id = {0}",
}
# what belongs to nobody
_OF_ALL = {"alembic_version", "deployment", "expiry_notices", "lanes"}
# what follows in the background, whoever asks for what
_LATER = {"entry_seals", "unsealed_entries"}

# when somebody last looked whether a flow runs, which happens at any time
_NOTES = "{{flow_at,fulfillment_flow_at,last_evaluated_at}}"

_TABLES = """
    SELECT c.relname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id')
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
"""


def checksums(database: Database, organization_id: UUID) -> Mapping[str, tuple[int, str]]:
    """How many rows each table has of the organization, and a checksum of them."""
    with database.connection() as conn:
        parts = [
            _query(name, has_organization) for name, has_organization in conn.execute(_TABLES) if name not in _OF_ALL | _LATER
        ]
        text = " UNION ALL ".join(parts).format(f"'{organization_id}'::uuid")
        return {name: (count, checksum) for name, count, checksum in conn.execute(text.encode())}


def _query(table: str, has_organization: bool) -> str:
    assert has_organization or table in _BY_WAY_OF, f"whose are the rows of {table}?"
    where = "organization_id = {0}" if has_organization else _BY_WAY_OF[table]
    row = f"(to_jsonb(t) - '{_NOTES}'::text[])::text"
    return f"SELECT '{table}', count(*), md5(string_agg({row}, '|' ORDER BY {row})) FROM {table} t WHERE {where}"
