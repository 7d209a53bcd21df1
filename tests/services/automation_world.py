"""Automations straight in the database, made by rules or by hand, and what became of them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from db.repositories.ingest import create_participants, enroll
from db.repositories.processing import clock
from db.session import Database, dumps
from runtime.ids import new_id
from tests.services.lane_world import Shop


def pass_seconds(database: Database, seconds: float) -> None:
    """Move the clock of a database that a test has to itself."""
    with database.connection() as conn:
        conn.execute("UPDATE deployment SET clock_offset = clock_offset + make_interval(secs => %s)", [seconds])


def schedule(delay: str = "1h", name: str = "check", **fields: Any) -> dict[str, Any]:
    return {"type": "SCHEDULE_EVENT", "event_name": name, "delay": delay, **fields}


def broadcast(name: str = "gift", **fields: Any) -> dict[str, Any]:
    return {"type": "BROADCAST", "event_name": name, **fields}


def enrol(shop: Shop, number: int, prefix: str = "p") -> list[UUID]:
    """New ACTIVE participants of the shop's program."""
    names = sorted(f"{prefix}-{index:06d}" for index in range(number))
    with shop.database.connection() as conn:
        now = clock(conn)
        made = create_participants(conn, [(new_id(), shop.organization_id, name) for name in names], now)
        ids = sorted(row.id for row in made.values())
        enroll(conn, [(id_, shop.world.program_id, shop.organization_id) for id_ in ids], now)
    return ids


def start_broadcast(shop: Shop, **payload: Any) -> UUID:
    """One event whose rule broadcasts; gives the automation."""
    shop.rule(broadcast(payload=payload), condition='event.type == "start"')
    shop.send("starter", {"type": "start"})
    shop.drain_all()
    [(automation_id,)] = shop.fetch(
        "SELECT id FROM automations WHERE program_id = %s AND scope = 'participants'", shop.world.program_id
    )
    return UUID(str(automation_id))


def insert(shop: Shop, at: datetime, participant_id: UUID | None = None, **payload: Any) -> UUID:
    """A one_time automation of scope program, as the API would make it."""
    automation_id = new_id()
    with shop.database.connection() as conn:
        conn.execute(
            """
            INSERT INTO automations (id, organization_id, program_id, name, trigger_type, scope, source, event_name, payload,
                                     participant_id, trigger_at, created_at, updated_at)
            VALUES (%s, %s, %s, %s, 'one_time', 'program', 'api', 'tick', %s::json, %s, %s, openscrip_now(), openscrip_now())
            """,
            [automation_id, shop.organization_id, shop.world.program_id, str(automation_id), dumps(payload), participant_id, at],
        )
    return automation_id


def set_automation(shop: Shop, automation_id: UUID, status: str) -> None:
    with shop.database.connection() as conn:
        conn.execute("UPDATE automations SET status = %s WHERE id = %s", [status, automation_id])


def record(shop: Shop, automation_id: UUID, columns: str) -> tuple[Any, ...]:
    return shop.fetch(f"SELECT {columns} FROM automations WHERE id = %s", automation_id)[0]


def made_by(shop: Shop, automation_id: UUID) -> list[UUID | None]:
    """The participants of an automation's events, each as often as it has one."""
    rows = shop.fetch("SELECT participant_id FROM events WHERE automation_id = %s ORDER BY participant_id", automation_id)
    return [row[0] for row in rows]


def system_events(shop: Shop) -> int:
    return int(
        shop.value("SELECT count(*) FROM events WHERE event_type = 'SYSTEM' AND organization_id = %s", shop.organization_id)
    )


def now(shop: Shop) -> datetime:
    with shop.database.connection() as conn:
        return clock(conn)


HOUR = timedelta(hours=1)
