"""The hash chain of an organization's entries: what is hashed, and how (ledger.md, Hash chain)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

VERSION = 1
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class EntryText:
    """An entry in the words in which the API prints it; `postings` have the keys that are hashed, in the order written."""

    id: str
    organization_id: str
    program_id: str
    action_type: str
    description: str
    event_id: str | None
    rule_id: str | None
    created_by_api_key_id: str | None
    reference_id: str | None
    created_at: str
    postings: list[dict[str, str | None]]


class Link(NamedTuple):
    """A place in the chain; `hash` is the entry's, in lower-case hex."""

    sequence_number: int
    hash: str


class Seal(NamedTuple):
    """What is stored of an entry that was sealed."""

    entry_id: str
    sequence_number: int
    previous_hash: str
    entry_hash: str


BEGINNING = Link(0, GENESIS)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def hashed(entry: EntryText, sequence_number: int, previous_hash: str) -> dict[str, object]:
    """What is hashed of an entry at its place in the chain."""
    return {
        "v": VERSION,
        "organization_id": entry.organization_id,
        "sequence_number": sequence_number,
        "previous_hash": previous_hash,
        "id": entry.id,
        "program_id": entry.program_id,
        "action_type": entry.action_type,
        "description": entry.description,
        "event_id": entry.event_id,
        "rule_id": entry.rule_id,
        "created_by_api_key_id": entry.created_by_api_key_id,
        "reference_id": entry.reference_id,
        "created_at": entry.created_at,
        "postings": sorted(entry.postings, key=lambda posting: posting["id"] or ""),
    }


def canonical(entry: EntryText, sequence_number: int, previous_hash: str) -> bytes:
    """The bytes that are hashed: the canonical JSON of RFC 8785.

    All keys are ASCII and all numbers small integers, so that sorted keys and minimal escapes are all it takes.
    """
    return _encode(hashed(entry, sequence_number, previous_hash)).encode()


def entry_hash(entry: EntryText, sequence_number: int, previous_hash: str) -> str:
    """The hash of an entry at its place in the chain, in lower-case hex."""
    return sha256(canonical(entry, sequence_number, previous_hash)).hexdigest()


def extend(head: Link, entries: Iterable[EntryText]) -> Iterator[Seal]:
    """The seals of entries that follow the head of a chain, in this order."""
    for entry in entries:
        number = head.sequence_number + 1
        digest = entry_hash(entry, number, head.hash)
        yield Seal(entry.id, number, head.hash, digest)
        head = Link(number, digest)
