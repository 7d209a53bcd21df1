"""Events straight into lanes and out of them, without API and Temporal."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from activities.lanes import LaneActivities
from db.repositories import processing as rows
from db.repositories.ingest import create_participants
from db.session import Database, dumps
from domain.lanes import lane_of
from runtime.ids import new_id
from services.ingest import Accepted, Result, Submission, accept
from services.rules import NewRule, create_rule
from services.state import Author
from services.wallets import WalletChange, fund_program
from tests.services.rule_world import World, make_organization, make_world
from workflows.contracts import DrainInput, DrainReport

T = TypeVar("T")

LANES = 8
PATIENCE_SECONDS = 20.0
MOMENT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@dataclass
class Shop:
    """One organization's program whose events the test itself processes."""

    database: Database
    world: World
    numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    @property
    def organization_id(self) -> UUID:
        return self.world.organization_id

    # --------------------------------------------------------------- making
    def rule(self, *actions: dict[str, Any], condition: str = "true", **fields: Any) -> None:
        """Create a rule."""
        new = NewRule(self.world.program_id, "Rule", condition, list(actions), **fields)
        with self.database.session() as session:
            create_rule(session, self.organization_id, new)

    def submission(self, external_id: str = "ann", data: dict[str, Any] | None = None, **fields: Any) -> Submission:
        usual: dict[str, Any] = {
            "organization_id": self.organization_id,
            "program_id": self.world.program_id,
            "idempotency_key": f"key-{self.numbers()}",
            "event_timestamp": MOMENT,
            "event_data": dumps(data or {}),
            "external_id": external_id,
        }
        return Submission(**{**usual, **fields})

    def submit(self, submissions: Sequence[Submission]) -> list[Result]:
        """Accept a group in one transaction."""
        with self.database.connection() as conn:
            return accept(conn, submissions, LANES)

    def send(self, external_id: str = "ann", data: dict[str, Any] | None = None, **fields: Any) -> Accepted:
        """Accept one event."""
        [result] = self.submit([self.submission(external_id, data, **fields)])
        assert isinstance(result, Accepted), result
        return result

    def fund(self, asset_id: UUID, amount: int) -> None:
        """Make an asset PREFUNDED and fill the program's wallet."""
        with self.database.connection() as conn:
            conn.execute("UPDATE assets SET issuance_policy = 'PREFUNDED' WHERE id = %s", [asset_id])
        wanted = WalletChange(self.world.program_id, asset_id, Decimal(amount))
        with self.database.session() as session:
            fund_program(session, Author(self.organization_id, new_id()), wanted, is_strict=True)

    # ----------------------------------------------------------- processing
    def drain(self, lane: int) -> DrainReport:
        """What a worker does with one lane."""
        return LaneActivities(self.database).drain_lane(DrainInput(lane=lane))

    def drain_out(self, lane: int) -> None:
        """One lane until nothing is left but what waits; on a busy machine that may take more than one slice of time."""
        while self.drain(lane).more:
            pass

    def drain_all(self) -> list[DrainReport]:
        """Every lane, one after the other, until nothing is left but what waits for another attempt."""
        reports = []
        for lane in range(LANES):
            reports.append(self.drain(lane))
            while reports[-1].more:
                reports.append(self.drain(lane))
        return reports

    def drain_at_once(self) -> None:
        """All lanes at the same time, each until its queue is empty, as several workers would."""

        deadline = time.monotonic() + PATIENCE_SECONDS

        def one(lane: int) -> None:
            while (report := self.drain(lane)).more or report.busy or report.backlog:
                assert time.monotonic() < deadline, f"lane {lane} doesn't get done: {report}"

        together([lambda lane=lane: one(lane) for lane in range(LANES)])  # type: ignore[misc]

    # -------------------------------------------------------------- looking
    def fetch(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.database.connection() as conn:
            return conn.execute(statement, list(parameters)).fetchall()

    def value(self, statement: str, *parameters: object) -> Any:
        return self.fetch(statement, *parameters)[0][0]

    def status(self, event_id: UUID) -> str:
        return str(
            self.value(
                """
                SELECT coalesce(o.status, q.state) FROM event_identities i
                LEFT JOIN event_outcomes o ON o.event_id = i.id LEFT JOIN event_queue q ON q.event_id = i.id WHERE i.id = %s
                """,
                event_id,
            )
        )

    def participant_id(self, external_id: str) -> UUID:
        found: UUID = self.value(
            "SELECT id FROM participants WHERE organization_id = %s AND external_id = %s", self.organization_id, external_id
        )
        return found

    def balance(self, external_id: str, asset_id: UUID) -> Decimal:
        found = self.fetch(
            """
            SELECT b.available FROM balances b JOIN participants p ON p.id = b.holder_id
            WHERE p.organization_id = %s AND p.external_id = %s AND b.asset_id = %s
            """,
            self.organization_id,
            external_id,
            asset_id,
        )
        return found[0][0] if found else Decimal(0)

    def deadlocks(self) -> int:
        """How many deadlocks this database has had; the pool is emptied first, because a backend tells on leaving."""
        self.database.close()
        return int(self.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def make_shop(database: Database) -> Shop:
    """A fresh organization, and no event of anybody waiting."""
    with database.connection() as conn:
        conn.execute("DELETE FROM event_queue")
    world = make_world(database, make_organization(database))
    with database.connection() as conn:
        conn.execute(
            "INSERT INTO program_states (program_id, organization_id) VALUES (%s, %s)",
            [world.program_id, world.organization_id],
        )
    return Shop(database, world)


def together(work: Iterable[Callable[[], T]]) -> list[T]:
    """Run calls at the same moment, each in a thread; their results in order."""
    calls = list(work)
    start = threading.Barrier(len(calls))

    def go(call: Callable[[], T]) -> T:
        start.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def names_in_lane(shop: Shop, lane: int, wanted: int) -> list[str]:
    """New participants of one lane, each with an event waiting, in this order."""
    ids: list[UUID] = []
    while len(ids) < wanted:
        id_ = new_id()
        if lane_of(id_, LANES) == lane:
            ids.append(id_)
    names = [f"p-{id_}" for id_ in ids]
    with shop.database.connection() as conn:
        triples = [(id_, shop.organization_id, name) for id_, name in zip(ids, names, strict=True)]
        create_participants(conn, sorted(triples, key=lambda triple: triple[2]), rows.clock(conn))
    shop.submit([shop.submission(name) for name in names])
    return names
