"""A ledger of some size: 5,000 participants, 50,000 postings, a holder with thousands of lots, a group, a wallet, holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import psycopg

from db.session import Database, psycopg_of
from domain.ledger.credit import credit
from domain.ledger.entries import Origin
from domain.ledger.moves import hold
from domain.ledger.wallets import fund
from runtime.ids import new_id
from services.groups import NewMember, Role, create_group
from services.sealing import PAGE_ENTRIES, seal_page
from services.state import Author
from tests.services.rule_world import World, make_organization, make_world
from tests.support.bulk import Bulk, make_participants

ONE = Decimal(1)
PARTICIPANTS = 5_000
DAY = timedelta(days=1)
AT_ONCE = 2_500


@dataclass
class Volume:
    """One organization's program P (its assets in `world`) and program Q; PTS is PREFUNDED."""

    database: Database
    author: Author = field(init=False)
    world: World = field(init=False)
    other_program: UUID = field(init=False)
    people: list[UUID] = field(init=False)
    group: UUID = field(init=False)
    rules: list[UUID] = field(init=False)
    event: UUID = field(default_factory=new_id)
    reference: str = "stay-7"

    def __post_init__(self) -> None:
        organization_id = make_organization(self.database)
        self.author = Author(organization_id, new_id())
        self.world = make_world(self.database, organization_id)
        self.other_program = make_world(self.database, organization_id).program_id
        self.people = make_participants(self.database, organization_id, PARTICIPANTS)
        self.rules = [new_id() for _ in range(10)]
        with self.database.connection() as conn:
            conn.execute("UPDATE assets SET issuance_policy = 'PREFUNDED' WHERE id = %s", [self.world.pts])
            link = "INSERT INTO program_assets (program_id, asset_id, organization_id, linked_at) VALUES (%s, %s, %s, openscrip_now())"
            conn.execute(link, [self.other_program, self.world.cash, self.author.organization_id])
        with self.database.session() as session:
            members = [NewMember(self.whale, Role.ADMIN, "members[0]")]
            self.group = create_group(session, organization_id, "Group", members, None).id
        self._write()
        self._seal()
        with psycopg.connect(self.database.url, autocommit=True) as owner:
            owner.execute("ANALYZE")

    @property
    def whale(self) -> UUID:
        """The participant with the most of everything."""
        return self.people[0]

    @property
    def overdue(self) -> UUID:
        """A participant with a lot whose date has passed."""
        return self.people[-1]

    def bulk(self, asset_id: UUID, program_id: UUID | None = None) -> Bulk:
        return Bulk(self.database, self.author.organization_id, program_id or self.world.program_id, asset_id)

    def _seal(self) -> None:
        """All but the latest one or two thousand entries."""
        organization_id = self.author.organization_id
        with self.database.session() as session:
            row = psycopg_of(session).execute("SELECT count(*), openscrip_now() FROM unsealed_entries").fetchone()
            assert row is not None
            for _ in range(row[0] // PAGE_ENTRIES - 1):
                assert seal_page(session, organization_id, row[1]) == PAGE_ENTRIES

    def _write(self) -> None:
        cash, miles, pts = self.bulk(self.world.cash), self.bulk(self.world.miles), self.bulk(self.world.pts)
        self._credit_each(cash, self.people)
        self._credit_each(cash, self.people)
        self._credit_each(miles, self.people[:-20], expires_at=90 * DAY)
        self._credit_each(miles, self.people[-20:], expires_at=DAY)
        with pts.books() as (books, now):
            fund(books, pts.asset_id, Decimal(1_000_000), now=now - 40 * DAY, origin=pts.origin)
        self._credit_each(pts, self.people[:2_000])
        self._hold_each(miles, self.people[1_000:1_400])
        cash.credit(cash.of_participant(self.whale), 2_000)
        miles.spend(miles.of_participant(self.whale), 4_000, at_once=2_000)
        miles.credit(miles.of_participant(self.whale), 100)
        for bulk, count in ((cash, 1_500), (self.bulk(self.world.cash, self.other_program), 500), (miles, 500)):
            bulk.credit(bulk.of_group(self.group), count)

    def _credit_each(self, bulk: Bulk, people: Sequence[UUID], expires_at: timedelta | None = None) -> None:
        """One credit of each by a rule for an event, over the thirty days before now."""
        step = 30 * DAY / PARTICIPANTS
        for start in range(0, len(people), AT_ONCE):
            keys = [bulk.of_participant(id_) for id_ in people[start : start + AT_ONCE]]
            with bulk.books(keys) as (books, now):
                for number, key in enumerate(keys, start):
                    origin = Origin(
                        bulk.program_id, "Purchase", event_id=new_id(), rule_id=self.rules[number % 10], event_timestamp=now
                    )
                    at = now - 30 * DAY + number * step
                    credit(books, key, Decimal(100), now=at, origin=origin, expires_at=expires_at)

    def _hold_each(self, bulk: Bulk, people: Sequence[UUID]) -> None:
        keys = [bulk.of_participant(id_) for id_ in people]
        with bulk.books(keys) as (books, now):
            for number, key in enumerate(keys):
                reference = self.reference if number % 100 == 0 else None
                origin = Origin(bulk.program_id, "Stay", event_id=self.event, reference_id=reference)
                hold(books, key, ONE, now=now, origin=origin, expires_at=timedelta(hours=1))
