"""`transfer.completed`: one message for all holders of a transfer, about its source (webhooks.md 5.8)."""

from domain.ledger.accounts import negate
from domain.ledger.entries import Posting
from domain.messages.notices import Facts, Notice
from domain.messages.parts import holder_of, moment_of, text_of
from domain.money import format_amount
from domain.outbox import Message


def transfer_message(notice: Notice, facts: Facts) -> Message:
    """The message about a TRANSFER, whose postings are the source's and then one for each leg, in the request's order."""
    entry, asset = notice.entry, facts.asset_of(notice.entry)
    source, *legs = entry.postings
    assert source.entity_id is not None, "holders transfer"
    data: dict[str, object] = {
        "program_id": str(entry.origin.program_id),
        "asset_id": str(asset.id),
        "asset_symbol": asset.symbol,
        "journal_entry_id": str(entry.id),
        "created_by_api_key_id": text_of(entry.origin.api_key_id),
        "source": _party(source, facts),
        "recipients": [_party(leg, facts) | {"amount": format_amount(leg.amount, asset.scale)} for leg in legs],
        "recipient_count": len(legs),
        "total_amount": format_amount(negate(source.amount), asset.scale),
        "description": entry.origin.description,
        "occurred_at": moment_of(entry.created_at),
    }
    return Message(notice.type, asset.organization_id, source.entity_id, data)


def _party(posting: Posting, facts: Facts) -> dict[str, object]:
    assert posting.entity_id is not None, "holders transfer"
    return holder_of(posting.entity_type, posting.entity_id, facts.external_ids)
