"""What the outbox must say of an organization's journal, made from the committed rows alone (webhooks.md 5.15)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker

from api.schemas.webhook_messages import posted
from db.session import Database
from domain.outbox import MessageType
from domain.timestamps import format_timestamp
from tests.support.entry_rows import EntryRow, Line, Rows, read
from tests.support.outbox import Recorded, recorded

TYPES = {
    **dict.fromkeys(("CREDIT", "SETTLE"), "balance.credited"),
    **dict.fromkeys(("DEBIT", "FORFEIT", "VOID_HOLD"), "balance.debited"),
    "HOLD": "balance.held",
    "RELEASE": "balance.released",
    "EXPIRY": "balance.expired",
    "TRANSFER": "transfer.completed",
    "FUND": "program.funded",
    "BURN": "program.burned",
}
REDEEMING = {"REDEMPTION": "redemption.completed", "REDEMPTION_REVERSAL": "redemption.reversed"}
OF_ENTRIES = frozenset({*TYPES.values(), *REDEEMING.values()})
WHOLE = ("transfer.completed", "program.funded", "program.burned")
COMMON = [
    "program_id",
    "asset_id",
    "asset_symbol",
    "amount",
    "balance",
    "action_type",
    "journal_entry_id",
    "description",
    "event_id",
    "rule_id",
    "created_by_api_key_id",
    "occurred_at",
]


def assert_told(database: Database, organization_id: UUID) -> list[Recorded]:
    """Each entry sent its messages and no others, in order and with the figures of the rows; the organization's messages."""
    told = recorded(database, organization_id)
    with database.connection() as conn:
        rows = read(conn, organization_id)
    for message in told:
        assert_fits(message)
    about: dict[UUID, list[Recorded]] = defaultdict(list)
    for message in told:
        if message.type in OF_ENTRIES:
            about[UUID(message.data["journal_entry_id"])].append(message)
    assert about.keys() <= rows.entries.keys()
    for entry in rows.entries.values():
        assert [(message.type, message.entity_id) for message in about[entry.id]] == expected(entry)
        for message in about[entry.id]:
            assert_says(message.data, message, entry, rows)
    assert_order(told, rows)
    return told


@cache
def validator(type_: str) -> Any:
    return Draft202012Validator(posted(MessageType(type_)).model_json_schema(), format_checker=FormatChecker())


def assert_fits(message: Recorded) -> None:
    """The message is what its schema says."""
    assert [error.message for error in validator(message.type).iter_errors(message.body)] == []


def expected(entry: EntryRow) -> list[tuple[str, UUID]]:
    """Type and entity of what an entry sends, in order."""
    if entry.action == "MATURITY":
        return []
    if entry.action in ("FUND", "BURN"):
        return [(TYPES[entry.action], entry.program_id)]
    holders = list(entry.balances)
    if entry.action == "TRANSFER":
        return [(TYPES[entry.action], holders[0])]
    if entry.action in TYPES:
        [holder] = holders
        return [(TYPES[entry.action], holder)]
    gained = [holder for holder in holders if entry.gain(holder) > 0]
    lost = [holder for holder in holders if entry.gain(holder) < 0]
    [redeemer] = lost if entry.action == "REDEMPTION" else gained
    found = [(REDEEMING[entry.action], redeemer), *(("balance.credited", holder) for holder in gained)]
    return found if entry.action == "REDEMPTION" else [*found, *(("balance.debited", holder) for holder in lost)]


def assert_says(data: Mapping[str, Any], message: Recorded, entry: EntryRow, rows: Rows) -> None:
    """Every figure is that of the committed rows."""
    assert data["program_id"] == str(entry.program_id)
    assert (data["asset_id"], data["asset_symbol"]) == (str(entry.asset_id), entry.symbol)
    assert data["occurred_at"] == format_timestamp(entry.created_at)
    assert data["created_by_api_key_id"] == (entry.api_key_id and str(entry.api_key_id))
    if message.type in REDEEMING.values():
        assert_redemption(data, message, entry, rows)
        return
    assert data["description"] == entry.description
    if message.type == "transfer.completed":
        assert_transfer(data, entry, rows)
    elif message.type in WHOLE:
        [line] = [line for line in entry.lines if line.kind == "PROGRAM"]
        assert line.after is not None
        assert (data["amount"], data["available"]) == (entry.shown(abs(line.amount)), entry.shown(line.after))
    else:
        assert_balance(data, message, entry, rows)


def party(line: Line, rows: Rows) -> dict[str, str]:
    assert line.entity_id is not None
    if line.kind == "GROUP":
        return {"group_id": str(line.entity_id)}
    return {"participant_id": str(line.entity_id), "external_id": rows.names[line.entity_id]}


def assert_transfer(data: Mapping[str, Any], entry: EntryRow, rows: Rows) -> None:
    source, *legs = entry.lines
    assert data["source"] == party(source, rows)
    assert data["recipients"] == [party(leg, rows) | {"amount": entry.shown(leg.amount)} for leg in legs]
    assert (data["recipient_count"], data["total_amount"]) == (len(legs), entry.shown(-source.amount))


def assert_redemption(data: Mapping[str, Any], message: Recorded, entry: EntryRow, rows: Rows) -> None:
    holder = message.entity_id
    assert (data["participant_id"], data["external_id"]) == (str(holder), rows.names[holder])
    assert data["amount"] == entry.shown(abs(entry.gain(holder)))
    assert data["balance"] == {name: entry.shown(amount) for name, amount in entry.balances[holder].items()}
    own = data.get("reversal", data["redemption"])
    assert (own["journal_entry_id"], own["amount"]) == (str(entry.id), data["amount"])


def assert_balance(data: Mapping[str, Any], message: Recorded, entry: EntryRow, rows: Rows) -> None:
    holder = message.entity_id
    lines = [line for line in entry.lines if line.entity_id == holder]
    who = party(lines[0], rows)
    assert {name: data[name] for name in ("participant_id", "external_id", "group_id") if name in data} == who
    assert data["balance"] == {name: entry.shown(amount) for name, amount in entry.balances[holder].items()}
    assert data["action_type"] == entry.action
    assert (data["event_id"], data["rule_id"]) == (entry.event_id and str(entry.event_id), entry.rule_id and str(entry.rule_id))
    assert data.get("reference_id") == entry.reference_id
    incoming = [line for line in lines if line.amount > 0]
    outgoing = [line for line in lines if line.amount < 0]
    moved = incoming if message.type in ("balance.credited", "balance.held", "balance.released") else outgoing
    amount = abs(sum((line.amount for line in moved), Decimal(0)))
    assert data["amount"] == entry.shown(amount)
    special = specials(data, message, entry, rows, moved[0])
    in_lots = amount + sum((-line.amount for line in outgoing if entry.action == "SETTLE"), Decimal(0))
    if entry.is_lot:
        special["lots"] = data["lots"]
        in_lots -= Decimal(data.get("overdraft", 0))
        assert sum((Decimal(lot["amount"]) for lot in data["lots"]), Decimal(0)) == in_lots
        assert {rows.lots[UUID(lot["id"])]["holder_id"] for lot in data["lots"]} <= {holder}
    reference = () if entry.reference_id is None else ("reference_id",)
    assert {name: data[name] for name in special} == special
    assert set(data) == {*COMMON, *who, *special, *reference}


def specials(data: Mapping[str, Any], message: Recorded, entry: EntryRow, rows: Rows, moved: Line) -> dict[str, Any]:
    """What messages of its type say beside the common fields."""
    match message.type:
        case "balance.credited":
            return credited(data, entry, rows, moved) | cause(data, entry)
        case "balance.debited":
            over = Decimal(0)
            if moved.bucket == "AVAILABLE" and moved.after is not None:
                over = min(max(-moved.after, Decimal(0)), -moved.amount)
            return {"bucket": moved.bucket, "overdraft": entry.shown(over)} | cause(data, entry)
        case "balance.expired":
            for lot in data["lots"]:
                assert lot["expires_at"] == format_timestamp(rows.lots[UUID(lot["id"])]["expires_at"])
            taken = {line.bucket for line in entry.lines if line.entity_id is not None}
            assert {lot["bucket"] for lot in data["lots"]} == taken
            return {"lot_count": len(data["lots"])}
        case "balance.held":
            ends = rows.holds[entry.id]
            ends_at = None if ends is None else format_timestamp(ends)
            return {"from_bucket": "AVAILABLE", "to_bucket": "HELD", "hold_expires_at": ends_at}
    by = "RULE" if entry.rule_id is not None else "DEADLINE" if entry.api_key_id is None else "API"
    return {"from_bucket": "HELD", "to_bucket": "AVAILABLE", "released_by": by}


def credited(data: Mapping[str, Any], entry: EntryRow, rows: Rows, moved: Line) -> dict[str, Any]:
    found: dict[str, Any] = {"bucket": moved.bucket}
    if entry.is_lot and entry.action in ("CREDIT", "SETTLE"):
        lot = rows.lots[UUID(data["lots"][-1]["id"])]
        assert (lot["entry_id"], lot["created_at"]) == (entry.id, entry.created_at)
        found |= {name: lot[name] and format_timestamp(lot[name]) for name in ("expires_at", "matures_at")}
    if entry.action == "SETTLE":
        held = -sum((line.amount for line in entry.lines if line.bucket == "HELD"), Decimal(0))
        found["settle"] = {"held_amount": entry.shown(held), "delta": entry.shown(moved.amount - held)}
    return found


def cause(data: Mapping[str, Any], entry: EntryRow) -> dict[str, Any]:
    names = {"REDEMPTION": ("redemption_id",), "REDEMPTION_REVERSAL": ("redemption_id", "reversal_id")}
    return {name: data[name] for name in names.get(entry.action, ())}


def assert_order(told: Sequence[Recorded], rows: Rows) -> None:
    """Messages about one account are in the order of its entries; an event's comes after those of its entries."""
    last: dict[tuple[object, ...], tuple[datetime, UUID]] = {}
    seen: set[UUID] = set()
    for message in told:
        if message.type in OF_ENTRIES:
            entry = rows.entries[UUID(message.data["journal_entry_id"])]
            place = (message.entity_id, entry.asset_id, entry.program_id if "group_id" in message.data else None)
            before = last.get(place)
            assert before is None or before[0] < entry.created_at or before[1] == entry.id
            last[place] = (entry.created_at, entry.id)
            seen.add(entry.id)
        elif message.type == "event.completed":
            own = {entry.id for entry in rows.entries.values() if str(entry.event_id) == message.data["event_id"]}
            assert {UUID(id_) for id_ in message.data["journal_entry_ids"]} == own
            assert {id_ for id_ in own if expected(rows.entries[id_])} <= seen
