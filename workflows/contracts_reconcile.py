"""What the reconciliation hands from call to call and from run to run: ids, counts, and the rows that break a check."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

RECONCILE_FLOWS = "reconcile_flows"
CHECK_BOOKS = "check_books"


class Breach(BaseModel):
    """A row that breaks a check, as text: its columns, ids and amounts."""

    check: str
    organization_id: UUID
    row: str


class BooksPlace(BaseModel):
    """How far the checks of the books are in this round.

    `organization_id` is the last one that was looked at, and `since` where to go on in it; None when it is done. After the last
    organization `holder_id` is the last one whose accounts were looked at for postings. `found` counts the rows that break each
    check in this round so far, of which `breaches` names some; the others are of the round before.
    """

    organization_id: UUID | None = None
    since: datetime | None = None
    holder_id: UUID | None = None
    found: dict[str, int] = Field(default_factory=dict)
    breaches: list[Breach] = Field(default_factory=list)
    found_before: dict[str, int] = Field(default_factory=dict)
    breaches_before: list[Breach] = Field(default_factory=list)

    @property
    def broken(self) -> dict[str, int]:
        """How many rows break each check, as of this round or the one before: who isn't looked at yet counts as then."""
        names = sorted(self.found | self.found_before)
        return {name: max(self.found.get(name, 0), self.found_before.get(name, 0)) for name in names}

    @property
    def named(self) -> list[Breach]:
        """Some of these rows, those of this round first."""
        return self.breaches + [breach for breach in self.breaches_before if breach not in self.breaches]


class BooksReport(BaseModel):
    """What one call of `check_books` did: pages looked at, and pages that couldn't be; `is_round` when all is looked at."""

    place: BooksPlace = Field(default_factory=BooksPlace)
    pages: int = 0
    failed: int = 0
    is_round: bool = False


class ReconcileReport(BaseModel):
    """What a reconciliation made sure of: how many of each kind have a flow, and how many couldn't be given one.

    `lanes` and `endpoints` had something waiting and were woken; `more` when there are more of some kind than one pass takes.
    """

    holds: int = 0
    runs: int = 0
    fulfillments: int = 0
    tiers: int = 0
    automations: int = 0
    retries: int = 0
    lanes: int = 0
    endpoints: int = 0
    failed: int = 0
    more: bool = False
    books: BooksReport | None = None
