"""An organization's chain of hashes, walked: every link and every hash is computed again (ledger.md, Hash chain)."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from db.repositories import seals
from db.session import Connection
from domain.seals import BEGINNING, EntryText, Link, Seal, entry_hash

# Seals and entries in memory at once.
PAGE_SEALS = 500


@dataclass(frozen=True, slots=True)
class Step:
    """A seal with its entry, and what is wrong with it: no text when nothing is."""

    seal: Seal
    entry: EntryText | None
    fault: str = ""


def walk(conn: Connection, organization_id: UUID, after: int = 0, until: int | None = None) -> Iterator[Step]:
    """Each seal with a number above `after` and up to `until`, in sequence; from the genesis to the head without them.

    The seal before the first is taken for true.
    """
    head = seals.link(conn, organization_id, after) if after else BEGINNING
    while page := seals.page(conn, organization_id, after, PAGE_SEALS):
        entries = seals.entries(conn, organization_id, [seal.entry_id for seal in page])
        for seal in page:
            if until is not None and seal.sequence_number > until:
                return
            entry = entries.get(seal.entry_id)
            yield Step(seal, entry, _fault(head, seal, entry))
            head = Link(seal.sequence_number, seal.entry_hash)
        after = head.sequence_number


def _fault(head: Link, seal: Seal, entry: EntryText | None) -> str:
    """Against the chain as it is stored: what follows a wrong seal isn't wrong for that."""
    if seal.sequence_number != head.sequence_number + 1:
        return f"number {head.sequence_number + 1} is missing"
    if seal.previous_hash != head.hash:
        return "previous_hash isn't the entry_hash before it"
    if entry is None:
        return "the entry is missing"
    if entry_hash(entry, seal.sequence_number, seal.previous_hash) != seal.entry_hash:
        return "entry_hash doesn't recompute"
    return ""
