"""`program.funded` and `program.burned`: what became of a wallet (webhooks.md 5.12)."""

from domain.ledger.accounts import EntityType
from domain.messages.notices import Facts, Notice
from domain.messages.parts import moment_of, text_of
from domain.money import format_amount
from domain.outbox import Message


def wallet_message(notice: Notice, facts: Facts) -> Message:
    """The message about a FUND or a BURN."""
    entry, asset = notice.entry, facts.asset_of(notice.entry)
    [line] = (posting for posting in entry.postings if posting.entity_type is EntityType.PROGRAM)
    assert line.balance_after is not None, "wallets have balances"
    program_id = entry.origin.program_id
    data: dict[str, object] = {
        "program_id": str(program_id),
        "program_name": facts.program_names[program_id],
        "asset_id": str(asset.id),
        "asset_symbol": asset.symbol,
        "amount": format_amount(line.amount.copy_abs(), asset.scale),
        "available": format_amount(line.balance_after, asset.scale),
        "description": entry.origin.description,
        "journal_entry_id": str(entry.id),
        "created_by_api_key_id": text_of(entry.origin.api_key_id),
        "occurred_at": moment_of(entry.created_at),
    }
    return Message(notice.type, asset.organization_id, program_id, data)
