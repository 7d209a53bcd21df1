"""`participant.tier_changed`: a participant or a group has another level (webhooks.md 5.11)."""

from domain.messages.parts import holder_of, moment_of, text_of
from domain.outbox import Message, MessageType
from domain.tiers.changes import LevelChange


def tier_message(change: LevelChange) -> Message:
    """The message about a change of level."""
    holder, cause = change.holder, change.cause
    data: dict[str, object] = {
        **holder_of(holder.kind, holder.id, {holder.id: holder.external_id or ""}),
        "program_id": str(change.tier.program_id),
        "tier_key": change.tier.key,
        "from_level": change.from_level,
        "to_level": change.to_level,
        "from_rank": change.from_rank,
        "to_rank": change.to_rank,
        "change": change.change.value,
        "reason": cause.reason.value,
        "benefits": change.benefits,
        "expires_at": moment_of(change.expires_at),
        "event_id": text_of(cause.event_id),
        "rule_id": text_of(cause.rule_id),
        "changed_by_api_key_id": text_of(cause.api_key_id),
        "occurred_at": moment_of(cause.at),
    }
    return Message(MessageType.TIER_CHANGED, holder.organization_id, holder.id, data)
