"""A journal of any size, written by SQL alone: three programs, three assets."""

from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from db.session import Database
from runtime.ids import new_id

AT_ONCE = 50_000
# (name, mode) of the assets: the first has two thirds of the entries, the second a third, the last one in a thousand.
ASSETS = (("Common", "SIMPLE"), ("Miles", "LOT"), ("Rare", "SIMPLE"))
KINDS = ("CREDIT",) * 14 + ("HOLD", "RELEASE", "REDEMPTION", "REDEMPTION", "DEBIT", "EXPIRY")

_PROGRAMS = """
    INSERT INTO programs (id, organization_id, name, created_at, updated_at)
    SELECT id, %(organization)s, 'Program ' || n, now(), now() FROM unnest(%(programs)s::uuid[]) WITH ORDINALITY AS p (id, n)
"""
_ASSETS = """
    INSERT INTO assets (id, organization_id, name, symbol, inventory_mode, issuance_policy, scale, created_at, updated_at)
    SELECT id, %(organization)s, name, upper(name), mode, 'UNLIMITED', 2, now(), now()
    FROM unnest(%(assets)s::uuid[], %(names)s::text[], %(modes)s::text[]) AS a (id, name, mode)
"""
_LINKS = """
    INSERT INTO program_assets (program_id, asset_id, organization_id, linked_at)
    SELECT p, a, %(organization)s, now() FROM unnest(%(programs)s::uuid[]) AS p, unnest(%(assets)s::uuid[]) AS a
"""
_PEOPLE = """
    WITH made AS (INSERT INTO holders (id, organization_id, kind)
        SELECT uuidv7(), %(organization)s, 'PARTICIPANT' FROM generate_series(1, %(people)s) RETURNING id)
    INSERT INTO participants (id, organization_id, external_id, created_at, updated_at)
    SELECT id, %(organization)s, 'member-' || row_number() OVER (ORDER BY id), now(), now() FROM made
"""
_DRAFT = """
    CREATE TEMP TABLE draft AS
    SELECT n, uuidv7(interval '-400 days' + n * %(step)s) AS id, now() - interval '400 days' + n * %(step)s AS at,
           (%(programs)s::uuid[])[CASE WHEN n %% 10 < 7 THEN 1 WHEN n %% 10 < 9 THEN 2 ELSE 3 END] AS program,
           (%(assets)s::uuid[])[CASE WHEN n %% 1000 = 7 THEN 3 WHEN n %% 3 = 0 THEN 2 ELSE 1 END] AS asset,
           (%(ids)s::uuid[])[1 + ((n::bigint * 7919) %% %(people)s)::int] AS who,
           (%(kinds)s::text[])[1 + abs(hashint4(n)) %% 20] AS kind,
           (1 + (n::bigint * 31) %% 5000) / 100.0 AS amount
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
_ENTRIES = """
    INSERT INTO journal_entries (id, organization_id, program_id, action_type, description, created_at, rule_id, event_id, reference_id)
    SELECT id, %(organization)s, program, kind, 'Volume', at, CASE WHEN kind = 'CREDIT' THEN (%(rules)s::uuid[])[1 + n %% 10] END,
           CASE WHEN kind = 'CREDIT' THEN gen_random_uuid() END, CASE WHEN kind = 'HOLD' THEN 'r-' || n %% 1000 END
    FROM draft
"""
_POSTINGS = """
    INSERT INTO postings (entry_id, ordinal, id, organization_id, program_id, asset_id, entity_type, entity_id, bucket, amount,
                          account_seq, balance_after, total_after, created_at, action_type)
    SELECT id, line.ordinal, gen_random_uuid(), %(organization)s, program, asset, line.type,
           CASE WHEN line.type = 'PARTICIPANT' THEN who END, line.bucket, line.sign * amount,
           CASE WHEN line.type = 'PARTICIPANT' THEN 2 * n + line.ordinal END, 0, 0, at, kind
    FROM draft CROSS JOIN LATERAL (VALUES
        (0, 'PARTICIPANT', 'AVAILABLE', CASE WHEN kind IN ('CREDIT', 'RELEASE') THEN 1 ELSE -1 END),
        (1, CASE kind WHEN 'HOLD' THEN 'PARTICIPANT' WHEN 'RELEASE' THEN 'PARTICIPANT' WHEN 'REDEMPTION' THEN 'SYSTEM_REDEMPTION'
                      WHEN 'EXPIRY' THEN 'SYSTEM_BREAKAGE' ELSE 'SYSTEM_ISSUANCE' END,
         CASE WHEN kind IN ('HOLD', 'RELEASE') THEN 'HELD' ELSE 'AVAILABLE' END,
         CASE WHEN kind IN ('CREDIT', 'RELEASE') THEN -1 ELSE 1 END)) AS line (ordinal, type, bucket, sign)
"""
_LOTS = """
    INSERT INTO lots (id, organization_id, holder_id, asset_id, pair_program_id, program_id, amount, remaining, status, created_at,
                      expires_at, entry_id)
    SELECT gen_random_uuid(), %(organization)s, who, asset, '00000000-0000-0000-0000-000000000000', program, amount, amount,
           'AVAILABLE', at, CASE WHEN n %% 5 > 0 THEN at + interval '2 years' END, id
    FROM draft WHERE kind = 'CREDIT' AND asset = (%(assets)s::uuid[])[2]
"""
_BALANCES = """
    INSERT INTO balances (holder_id, asset_id, organization_id, available, held)
    SELECT entity_id, asset_id, organization_id, coalesce(sum(amount) FILTER (WHERE bucket = 'AVAILABLE'), 0),
           greatest(coalesce(sum(amount) FILTER (WHERE bucket = 'HELD'), 0), 0)
    FROM postings WHERE entity_type = 'PARTICIPANT' GROUP BY entity_id, asset_id, organization_id
"""


@dataclass
class ReportVolume:
    """`entries` journal entries of one organization over 400 days; what lots, balances and running figures say is rough."""

    database: Database
    organization_id: UUID
    entries: int
    programs: list[UUID] = field(default_factory=lambda: [new_id() for _ in range(3)])
    assets: list[UUID] = field(default_factory=lambda: [new_id() for _ in ASSETS])
    rules: list[UUID] = field(default_factory=lambda: [new_id() for _ in range(10)])
    people: list[UUID] = field(default_factory=list)

    def write(self) -> None:
        """Fill the database, and let the server know what it has."""
        count = max(10, self.entries // 10)
        names, modes = ([pair[place] for pair in ASSETS] for place in (0, 1))
        given = {
            "organization": self.organization_id,
            "programs": self.programs,
            "assets": self.assets,
            "rules": self.rules,
            "names": names,
            "modes": modes,
            "people": count,
            "kinds": list(KINDS),
        }
        step = f"interval '{400 * 86400 / self.entries} seconds'"
        with psycopg.connect(self.database.url, autocommit=True) as owner:
            for statement in (_PROGRAMS, _ASSETS, _LINKS, _PEOPLE):
                owner.execute(statement, given)
            people = owner.execute("SELECT id FROM participants WHERE organization_id = %s", [self.organization_id])
            self.people = [row[0] for row in people]
            for first in range(0, self.entries, AT_ONCE):
                last = min(first + AT_ONCE, self.entries) - 1
                owner.execute(_DRAFT.replace("%(step)s", step), given | {"first": first, "last": last, "ids": self.people})
                for statement in (_ENTRIES, _POSTINGS, _LOTS, "DROP TABLE draft"):
                    owner.execute(statement, given)
            owner.execute(_BALANCES)
            owner.execute("VACUUM ANALYZE")
