"""`balance.credited`, `.debited`, `.held`, `.released`, `.expired`: what an entry did to a holder (webhooks.md 5.1-5.5)."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from domain.ledger.accounts import AccountKey, AssetTerms, Bucket, negate, subtract, total
from domain.ledger.entries import ActionType, Entry, LotMove, Posting
from domain.messages.notices import Facts, Notice
from domain.messages.parts import balance_of, holder_of, moment_of, text_of
from domain.money import ZERO, format_amount
from domain.outbox import Message, MessageType

MOST_LOTS = 100
# What came in or went out is the sum of the holder's postings of one sign; moves have both.
_INCOMING = frozenset({MessageType.BALANCE_CREDITED, MessageType.BALANCE_HELD, MessageType.BALANCE_RELEASED})


def balance_message(notice: Notice, facts: Facts) -> Message:
    """The message about one holder of an entry."""
    entry, key = notice.entry, notice.holder
    assert key is not None, "a balance message is about a holder"
    asset = facts.asset_of(entry)
    lines = [posting for posting in entry.postings if posting.entity_id == key.holder_id]
    lots = _lots_of(entry, key, facts) if asset.is_lot else []
    data = _common(notice, key, asset, _moved(notice.type, lines), facts)
    if asset.is_lot:
        is_expiry = notice.type is MessageType.BALANCE_EXPIRED
        data["lots"] = [_lot(move, asset, is_expiry=is_expiry) for move in lots[:MOST_LOTS]]
    data["occurred_at"] = moment_of(entry.created_at)
    match notice.type:
        case MessageType.BALANCE_CREDITED:
            data |= _credited(entry, asset, lines, facts)
        case MessageType.BALANCE_DEBITED:
            data |= _debited(entry, key, asset, lines, facts)
        case MessageType.BALANCE_EXPIRED:
            data["lot_count"] = len(lots)
        case _:
            data |= _shifted(notice, lines, facts)
    return Message(notice.type, asset.organization_id, key.holder_id, data)


def _common(notice: Notice, key: AccountKey, asset: AssetTerms, amount: Decimal, facts: Facts) -> dict[str, object]:
    entry, origin = notice.entry, notice.entry.origin
    return {
        **holder_of(key.kind, key.holder_id, facts.external_ids),
        "program_id": str(origin.program_id),
        "asset_id": str(asset.id),
        "asset_symbol": asset.symbol,
        "amount": format_amount(amount, asset.scale),
        "balance": balance_of(entry.after[key], asset.scale),
        "action_type": entry.action_type.value,
        "journal_entry_id": str(entry.id),
        "description": origin.description,
        **({} if origin.reference_id is None else {"reference_id": origin.reference_id}),
        "event_id": text_of(origin.event_id),
        "rule_id": text_of(origin.rule_id),
        "created_by_api_key_id": text_of(origin.api_key_id),
    }


def _moved(type_: MessageType, lines: Iterable[Posting]) -> Decimal:
    """The amount, positive: what came in, or for the others what went out."""
    if type_ in _INCOMING:
        return total(posting.amount for posting in lines if posting.amount > 0)
    return negate(total(posting.amount for posting in lines if posting.amount < 0))


def _lots_of(entry: Entry, key: AccountKey, facts: Facts) -> list[LotMove]:
    """The holder's lots among those that the entry touched: the books know whose each of them is."""
    if len(entry.after) == 1:
        return list(entry.lots)
    books = facts.books
    return [move for move in entry.lots if (books.new_lots.get(move.lot_id) or books.changed_lots[move.lot_id])[0] == key]


def _lot(move: LotMove, asset: AssetTerms, *, is_expiry: bool) -> dict[str, object]:
    found: dict[str, object] = {"id": str(move.lot_id), "amount": format_amount(move.amount, asset.scale)}
    return found | {"bucket": move.bucket.value, "expires_at": moment_of(move.expires_at)} if is_expiry else found


def _credited(entry: Entry, asset: AssetTerms, lines: Iterable[Posting], facts: Facts) -> Iterator[tuple[str, object]]:
    [arrival] = (posting for posting in lines if posting.amount > 0)
    yield "bucket", arrival.bucket.value
    if asset.is_lot and entry.action_type in (ActionType.CREDIT, ActionType.SETTLE):
        _, lot = facts.books.new_lots[entry.lots[-1].lot_id]
        yield "expires_at", moment_of(lot.expires_at)
        yield "matures_at", moment_of(lot.matures_at)
    if entry.action_type is ActionType.SETTLE:
        held = negate(total(posting.amount for posting in lines if posting.amount < 0))
        delta = subtract(arrival.amount, held)
        yield "settle", {"held_amount": format_amount(held, asset.scale), "delta": format_amount(delta, asset.scale)}
    yield from _cause(entry, facts)


def _debited(
    entry: Entry, key: AccountKey, asset: AssetTerms, lines: Iterable[Posting], facts: Facts
) -> Iterator[tuple[str, object]]:
    [taken] = lines
    overdraft = ZERO
    if taken.bucket is Bucket.AVAILABLE:
        after = entry.after[key].available
        overdraft = max(ZERO, min(negate(after), negate(taken.amount)))
    yield "bucket", taken.bucket.value
    yield "overdraft", format_amount(overdraft, asset.scale)
    yield from _cause(entry, facts)


def _shifted(notice: Notice, lines: Iterable[Posting], facts: Facts) -> Iterator[tuple[str, object]]:
    for posting in sorted(lines, key=lambda line: line.amount):
        yield "from_bucket" if posting.amount < 0 else "to_bucket", posting.bucket.value
    if notice.type is MessageType.BALANCE_HELD:
        yield "hold_expires_at", moment_of(facts.hold_ends[notice.entry.id])
    else:
        yield "released_by", _released_by(notice.entry)


def _released_by(entry: Entry) -> str:
    if entry.origin.event_id is not None:
        return "RULE"
    return "DEADLINE" if entry.origin.api_key_id is None else "API"


def _cause(entry: Entry, facts: Facts) -> Iterator[tuple[str, object]]:
    cause = facts.causes.get(entry.id)
    if cause is not None:
        yield "redemption_id", str(cause.redemption_id)
        if cause.reversal_id is not None:
            yield "reversal_id", str(cause.reversal_id)
