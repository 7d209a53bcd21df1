"""The working set of one batch of events: what is loaded, what the events done so far made of it, what is to be written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.ledger.accounts import AssetTerms, EntityType
from domain.ledger.books import Books
from domain.ledger.missing import MissingState
from domain.processing.failure import ActionFailed
from domain.processing.spending import Budgets
from domain.state import Changes, EntityState, StateChange


class MissingHolder(MissingState):
    """A participant or group that an event names isn't loaded yet: load and lock it, then evaluate again."""

    def __init__(self, holder_id: UUID) -> None:
        self.holder_id = holder_id
        super().__init__(f"holder {holder_id}")


class MissingExternalId(MissingState):
    """An external id that an event names isn't looked up yet."""

    def __init__(self, organization_id: UUID, external_id: str) -> None:
        self.organization_id = organization_id
        self.external_id = external_id
        super().__init__(f"external id in {organization_id}")


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted event; `data` has Decimal numbers, times are UTC."""

    id: UUID
    organization_id: UUID
    program_id: UUID
    participant_id: UUID | None
    recipient_id: UUID | None
    data: Mapping[str, object]
    timestamp: datetime
    created_at: datetime
    chain_depth: int = 0

    @property
    def type(self) -> str | None:
        """`event_data.type` when it is a text: what rules are indexed by."""
        kind = self.data.get("type")
        return kind if isinstance(kind, str) else None


@dataclass(frozen=True, slots=True)
class Holder:
    """What rules read of a participant or group besides its state and balances; `name` is a group's, `external_id` isn't."""

    id: UUID
    organization_id: UUID
    kind: EntityType
    external_id: str
    status: str
    created_at: datetime
    program_ids: tuple[UUID, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """A participant's place in an ACTIVE group."""

    group_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class Program:
    """What rules read of the event's program besides its state, and the assets linked to it."""

    id: UUID
    organization_id: UUID
    name: str
    asset_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedEvents:
    """The automation that SCHEDULE_EVENT or BROADCAST leaves behind; its SYSTEM events are made after the commit.

    With `participant_id` it makes one event, at `due_at`; without, one for each participant, at once. `chain_depth` is that of
    the events it makes, `payload` is JSON.
    """

    automation_id: UUID
    name: str
    cause: Event
    event_name: str
    payload: str
    due_at: datetime
    planned_at: datetime
    chain_depth: int
    participant_id: UUID | None = None


class StateOwner(StrEnum):
    """Whose state a change is recorded under."""

    PARTICIPANT = "PARTICIPANT"
    GROUP = "GROUP"
    PROGRAM = "PROGRAM"


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A row of the state history: a change with its owner, moment and cause."""

    owner: StateOwner
    owner_id: UUID
    change: StateChange
    at: datetime
    event: Event
    rule_id: UUID | None


@dataclass(slots=True)
class World:
    """Everything the events of a batch can see and change.

    `memberships` has the ACTIVE groups of participants, oldest membership first, where a rule set reads them. `absent` holds
    ids, and (organization, id) and (organization, external id) pairs, that were looked up and don't exist.
    """

    books: Books
    holders: dict[UUID, Holder] = field(default_factory=dict)
    external_ids: dict[tuple[UUID, str], UUID] = field(default_factory=dict)
    absent: set[object] = field(default_factory=set)
    memberships: dict[UUID, tuple[Membership, ...]] = field(default_factory=dict)
    programs: dict[UUID, Program] = field(default_factory=dict)
    states: dict[UUID, EntityState] = field(default_factory=dict)
    changed_states: dict[UUID, StateOwner] = field(default_factory=dict)
    history: list[RecordedChange] = field(default_factory=list)
    budgets: Budgets = field(default_factory=Budgets)
    planned: list[PlannedEvents] = field(default_factory=list)
    _undo: dict[UUID, tuple[EntityState, StateOwner | None]] = field(default_factory=dict)

    def holder(self, holder_id: UUID, organization_id: UUID) -> Holder | None:
        """The holder, None when the organization has none with this id; raises MissingHolder when not looked up yet."""
        found = self.holders.get(holder_id)
        if found is not None:
            return found if found.organization_id == organization_id else None
        if holder_id in self.absent or (organization_id, holder_id) in self.absent:
            return None
        raise MissingHolder(holder_id)

    def holder_by_external_id(self, external_id: str, organization_id: UUID) -> Holder | None:
        """As `holder`, by the client's name; raises MissingExternalId when not looked up yet."""
        key = (organization_id, external_id)
        found = self.external_ids.get(key)
        if found is not None:
            return self.holder(found, organization_id)
        if key in self.absent:
            return None
        raise MissingExternalId(organization_id, external_id)

    def asset_in_use(self, asset_id: UUID, program_id: UUID) -> AssetTerms:
        """The asset, for an action of the program's rules; ActionFailed when it is archived, or not linked any more."""
        asset = self.books.assets.get(asset_id)
        if asset is None or asset_id not in self.programs[program_id].asset_ids:
            raise ActionFailed("asset_not_linked", "the asset isn't linked to the program")
        if asset.is_archived:
            raise ActionFailed("asset_archived", f"{asset.symbol} is archived")
        return asset

    def change_state(
        self, owner: StateOwner, owner_id: UUID, new: EntityState, changes: Changes, *, at: datetime, event: Event, rule_id: UUID
    ) -> None:
        """Replace an entity's state and record why."""
        if new is self.states[owner_id]:
            return
        self._undo.setdefault(owner_id, (self.states[owner_id], self.changed_states.get(owner_id)))
        self.states[owner_id] = new
        self.changed_states[owner_id] = owner
        self.history.extend(RecordedChange(owner, owner_id, change, at, event, rule_id) for change in changes)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo all that the block did, in all of it, when it raises; costs what the block touches, not what is loaded."""
        written, planned = len(self.history), len(self.planned)
        self._undo.clear()
        try:
            with self.books.attempt(), self.budgets.attempt():
                yield
        except BaseException:
            del self.history[written:]
            del self.planned[planned:]
            for owner_id, (state, owner) in reversed(self._undo.items()):
                self.states[owner_id] = state
                if owner is None:
                    del self.changed_states[owner_id]
            raise
