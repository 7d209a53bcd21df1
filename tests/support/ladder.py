"""Members with levels by the thousand, made straight in the database: what a period end finds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.session import Database
from runtime.ids import new_id
from services import tier_steps
from services.tiers import NewTier, TierRecord, create_tier
from services.transactions import transact

THRESHOLDS = {"bronze": 100, "silver": 500, "gold": 1000}


def calendar_year(**parts: Any) -> dict[str, Any]:
    """The stored lifecycle of a tier that rolls `points` over, EXCESS."""
    usual = {
        "retention": {"mode": "PERIOD_BASED", "duration": None},
        "qualification_period": {"type": "CALENDAR_YEAR", "start_month": None, "start_day": None},
        "status_validity": {"extend_months": 0},
        "downgrade_policy": {"mode": "DROP_TO_QUALIFYING", "grace_days": 0, "min_level": None},
        "counters": {"qualifying": ["points"], "rollover": "EXCESS"},
        "timezone": "UTC",
    }
    return usual | parts


def of_points(threshold: int) -> dict[str, Any]:
    """The stored qualification by one counter."""
    return {"mode": "ALL", "criteria": [{"counter": "points", "operator": ">=", "threshold": str(threshold)}]}


@dataclass(frozen=True)
class Crowd:
    """A tier of an organization's program, and participants of it."""

    database: Database
    organization_id: UUID
    program_id: UUID
    tier: TierRecord

    def enter(self, counters: Collection[int], level: str = "gold") -> list[UUID]:
        """New participants who hold a level since now, one for each value of `points`."""
        ids = join(self.database, self.organization_id, self.program_id, counters)
        with self.database.connection() as conn:
            conn.execute(
                """
                INSERT INTO tier_states (holder_id, tier_id, organization_id, program_id, level_key, acquired_at,
                                         lifecycle_expires_at, steps_done_through, next_due_at)
                SELECT id, %s, %s, %s, %s, openscrip_now(), ends.at, openscrip_now(), ends.at
                FROM unnest(%s::uuid[]) AS id,
                     (SELECT date_trunc('year', openscrip_now(), 'UTC') + interval '1 year' AS at) AS ends
                """,
                [self.tier.id, self.organization_id, self.program_id, level, ids],
            )
        return ids

    def settle(self, holder_ids: Collection[UUID]) -> tier_steps.Steps:
        """Carry out what is due for some of them."""
        return transact(self.database, lambda session: tier_steps.settle_all(session, self.organization_id, holder_ids))

    def standing(self) -> Mapping[tuple[str | None, str], int]:
        """How many have which level and counter."""
        with self.database.connection() as conn:
            rows = conn.execute(
                """
                SELECT s.level_key, h.counters ->> 'points', count(*) FROM tier_states s JOIN holders h ON h.id = s.holder_id
                WHERE s.tier_id = %s GROUP BY 1, 2
                """,
                [self.tier.id],
            )
            return {(row[0], row[1]): row[2] for row in rows}

    def resets(self) -> tuple[int, int]:
        """How many roll-overs are recorded, and how many different ones."""
        with self.database.connection() as conn:
            row = conn.execute(
                "SELECT count(*), count(DISTINCT (entity_id, old_value, new_value)) FROM state_history"
                " WHERE organization_id = %s AND operation = 'auto_reset'",
                [self.organization_id],
            ).fetchone()
        assert row is not None
        return row[0], row[1]


def join(database: Database, organization_id: UUID, program_id: UUID, counters: Collection[int]) -> list[UUID]:
    """New participants of a program, one for each value of `points`, without a level."""
    ids = [new_id() for _ in counters]
    with database.connection() as conn:
        conn.execute(
            """
            WITH made AS (
                INSERT INTO holders (id, organization_id, kind, counters)
                SELECT id, %(organization)s, 'PARTICIPANT', jsonb_build_object('points', points::text)
                FROM unnest(%(ids)s::uuid[], %(points)s::integer[]) AS new (id, points) RETURNING id
            ), named AS (
                INSERT INTO participants (id, organization_id, external_id, status, created_at, updated_at)
                SELECT id, %(organization)s, id::text, 'ACTIVE', openscrip_now(), openscrip_now() FROM made RETURNING id
            )
            INSERT INTO enrollments (participant_id, program_id, organization_id, status, enrolled_at, updated_at)
            SELECT id, %(program)s, %(organization)s, 'ACTIVE', openscrip_now(), openscrip_now() FROM named
            """,
            {"organization": organization_id, "program": program_id, "ids": ids, "points": list(counters)},
        )
    return ids


def make_crowd(database: Database, organization_id: UUID, program_id: UUID, lifecycle: dict[str, Any] | None) -> Crowd:
    """A tier of three levels in a program."""
    levels = [{"key": key, "rank": rank, "qualification": of_points(at)} for rank, (key, at) in enumerate(THRESHOLDS.items(), 1)]
    new = NewTier(key="club", levels=levels, lifecycle=lifecycle)
    tier = transact(database, lambda session: create_tier(session, organization_id, program_id, new))
    return Crowd(database, organization_id, program_id, tier)
