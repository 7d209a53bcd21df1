"""Holders with lots that expire, the clock of their database, and what is announced at its midnights."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from temporalio.testing import ActivityEnvironment

from activities.expiry_notices import NoticeActivities
from db.session import Database
from runtime.ids import NIL, new_id
from services import balances, groups
from services.movements import Adjustment, AdjustType, Moved, Movement
from services.participants import ParticipantInput, upsert_participant
from services.state import Author, Entity, EntityKind
from services.transactions import transact
from tests.services.rule_world import World, make_organization, make_world, set_status
from tests.support.books import assert_books
from tests.support.message_book import assert_fits
from tests.support.outbox import make_endpoint, recorded
from workflows.contracts import DueReport

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass
class Calendar:
    """The clock of a database whose midnights are worked through: it only goes forward, each test to days of its own."""

    database: Database
    today: date = date(2030, 1, 1)

    def set(self, moment: datetime) -> None:
        with self.database.connection() as conn:
            conn.execute("UPDATE deployment SET clock_offset = %s::timestamptz - clock_timestamp()", [moment])

    def at(self, days: int, hours: float = 0) -> datetime:
        """A moment of the test's own time, which begins at noon of its day 0."""
        return datetime.combine(self.today, time.min, UTC) + days * DAY + hours * HOUR


@dataclass
class Notices:
    """One organization with an endpoint; its asset MILES has `days` of notice."""

    calendar: Calendar
    days: int | None = 7
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.calendar.today += 1000 * DAY
        self.calendar.set(self.calendar.at(0))
        assert self.run().failed == 0
        self.calendar.set(self.calendar.at(0, 12))
        self.world = make_world(self.database, make_organization(self.database))
        self.author = Author(self.world.organization_id, new_id())
        self.set_days(self.days)
        self.ann = self.person()

    @property
    def database(self) -> Database:
        return self.calendar.database

    def subscribe(self, *enabled: str) -> None:
        make_endpoint(self.database, self.world.organization_id, *(enabled or ("balance.expiring",)))

    def set_days(self, days: int | None) -> None:
        with self.database.connection() as conn:
            conn.execute("UPDATE assets SET expiry_notice_days = %s WHERE id = %s", [days, self.world.miles])

    def archive(self) -> None:
        set_status(self.database, "assets", self.world.miles, "ARCHIVED")

    # ------------------------------------------------------------ holders and what they do
    def person(self) -> Entity:
        with self.database.session() as session:
            made, _ = upsert_participant(session, self.author, f"p-{new_id()}", None, ParticipantInput())
        return Entity(EntityKind.PARTICIPANT, made.participant.id)

    def team(self) -> Entity:
        with self.database.session() as session:
            return Entity(EntityKind.GROUP, groups.create_group(session, self.world.organization_id, "team", [], None).id)

    def credit(self, who: Entity, amount: int, expires_at: datetime | None, **fields: Any) -> UUID:
        self._adjust(who, AdjustType.CREDIT, amount, expires_at=expires_at, **fields)
        return self.lots(who)[-1][0]

    def debit(self, who: Entity, amount: int) -> None:
        self._adjust(who, AdjustType.DEBIT, amount)

    def _adjust(self, who: Entity, type_: AdjustType, amount: int, **fields: Any) -> None:
        wanted = Adjustment(self.world.program_id, self.world.miles, type_, Decimal(amount), "test", **fields)
        transact(self.database, lambda session: balances.adjust(session, self.author, who, wanted, is_strict=False))

    def hold(self, who: Entity, amount: int | None, **fields: Any) -> Moved:
        return self._move(balances.hold_balance, who, amount, **fields)

    def release(self, who: Entity, amount: int | None = None, **fields: Any) -> Moved:
        return self._move(balances.release_balance, who, amount, **fields)

    def _move(self, operation: Any, who: Entity, amount: int | None, **fields: Any) -> Moved:
        size = None if amount is None else Decimal(amount)
        wanted = Movement(self.world.program_id, self.world.miles, "test", size, **fields)
        moved: Moved = transact(self.database, lambda session: operation(session, self.author, who, wanted, is_strict=False))
        return moved

    def lots(self, who: Entity) -> list[tuple[UUID, Decimal, str]]:
        """Id, remainder and status of a holder's lots, in the order in which they were made."""
        with self.database.connection() as conn:
            return conn.execute(
                "SELECT id, remaining, status FROM lots WHERE holder_id = %s ORDER BY created_at, id", [who.id]
            ).fetchall()

    # ------------------------------------------------------------ midnights
    def midnight(self, days: int) -> DueReport:
        """What a worker does at the beginning of a day, in one call."""
        self.calendar.set(self.calendar.at(days))
        return self.run()

    def run(self) -> DueReport:
        report = ActivityEnvironment().run(NoticeActivities(self.database).announce_expiry)
        assert not report.more
        return report

    def told(self) -> list[dict[str, Any]]:
        """The data of all messages, in order."""
        found = [each for each in recorded(self.database, self.world.organization_id) if each.type == "balance.expiring"]
        for each in found:
            assert_fits(each)
            assert str(each.entity_id) == each.data.get("participant_id", each.data.get("group_id"))
        return [each.data for each in found]

    def amounts(self) -> list[str]:
        return [data["amount"].removesuffix(".00") for data in self.told()]

    def close(self) -> None:
        """What is left doesn't concern the tests after this one."""
        assert_books(self.database, self.world.organization_id)
        self.archive()


@dataclass
class Ledger:
    """What must be announced, by the lots as they lie in the database before each midnight: a model in plain words."""

    notices: Notices
    announced: set[UUID] = field(default_factory=set)
    seen: set[UUID] = field(default_factory=set)

    def expected(self, midnight: datetime, days: int | None) -> dict[tuple[UUID, date], list[tuple[datetime, UUID, Decimal]]]:
        """By holder and day of expiry. To be asked at each midnight that is worked through, before that is done."""
        with self.notices.database.connection() as conn:
            rows = conn.execute(
                """
                SELECT id, parent_lot_id, holder_id, remaining, status, created_at, expires_at FROM lots
                WHERE asset_id = %s ORDER BY id
                """,
                [self.notices.world.miles],
            ).fetchall()
        found: dict[tuple[UUID, date], list[tuple[datetime, UUID, Decimal]]] = defaultdict(list)
        # parents have lower ids; what is new was split off since the midnight before
        for id_, parent, *_ in rows:
            if id_ not in self.seen and parent in self.announced:
                self.announced.add(id_)
            self.seen.add(id_)
        for id_, _, holder, remaining, status, created_at, expires_at in rows:
            if days is None or expires_at is None or status not in ("AVAILABLE", "DEFERRED") or id_ in self.announced:
                continue
            day = datetime.combine(expires_at.date(), time.min, UTC)
            if created_at <= midnight < expires_at and day - days * DAY <= midnight:
                self.announced.add(id_)
                found[holder, expires_at.date()].append((expires_at, id_, remaining))
        return {key: sorted(lots) for key, lots in found.items()}


def pair_of(notices: Notices, who: Entity) -> UUID:
    return NIL if who.kind is EntityKind.PARTICIPANT else notices.world.program_id
