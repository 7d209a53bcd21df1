"""Refusals of the product, one class per stable code of conventions.md, "Catalogue".

    DomainError
     +- BadRequest                    400 bad_request: every fault of the form, or one that needs stored data
     |   +- InvalidScale              400 invalid_scale
     |   +- SelfTransfer              400 self_transfer
     +- NotInThisState                400 bad_request: see domain.automations
     +- NotFound                      404
     +- Conflict                      409: the request is sound, the present state excludes it
     |   +- IdempotencyConflict ... InvalidState
     +- Unprocessable                 422: amounts or stocks don't allow it
     |   +- InsufficientBalance ... ReversalExceedsRemaining
     +- ServiceUnavailable            503

A code maps to its HTTP status in one place, `api/errors.py`; here nobody knows HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class DomainError(Exception):
    """A refusal: `code` for machines, `message` for people, `details` as the catalogue lists them."""

    code = "internal_error"
    summary = "Internal error"

    def __init__(self, message: str | None = None, **details: object) -> None:
        self.message = message or self.summary
        self.details: dict[str, object] = details
        super().__init__(f"{self.code}: {self.message}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request's form: a path like `recipients[2].amount`, a reason of conventions.md, texts for people."""

    field: str
    reason: str
    message: str
    expected: str | None = None
    received: str | None = None
    line: int | None = None
    column: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The item of `details.fields`; `line` and `column` only where CEL gave them."""
        item: dict[str, object] = {
            "field": self.field,
            "reason": self.reason,
            "message": self.message,
            "expected": self.expected,
            "received": self.received,
        }
        if self.line is not None:
            item |= {"line": self.line, "column": self.column}
        return item


class BadRequest(DomainError):
    """A malformed or invalid request; carries every fault found, the first one repeated on top."""

    code = "bad_request"
    summary = "Invalid request parameters"

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0].as_dict()
        head = {name: first[name] for name in ("field", "reason", "expected", "received")}
        super().__init__(None, **head, fields=[fault.as_dict() for fault in faults])
        self.faults = tuple(faults)


def bad_request(field: str, reason: str, message: str, *, expected: str | None = None, received: str | None = None) -> BadRequest:
    """A `BadRequest` with one fault."""
    return BadRequest([Fault(field, reason, message, expected, received)])


class InvalidScale(DomainError):
    """`Prefer: handling=strict` and more decimals than the asset has: `field`, `asset_id`, `scale`, `received`."""

    code = "invalid_scale"
    summary = "The amount has more decimals than the asset's scale"


class SelfTransfer(DomainError):
    """The source of a transfer is also a recipient: `recipient_index`, `source_id`."""

    code = "self_transfer"
    summary = "The source of a transfer can't be a recipient"


class NotFound(DomainError):
    """Unknown, or of another organization: `resource`, `id`, and `field` when the id came from body or query."""

    code = "not_found"
    summary = "Not found"


def not_found(resource: str, id_: object, field: str | None = None) -> NotFound:
    """A `NotFound` for one resource; `field` names the body or query field that carried the id."""
    extra = {} if field is None else {"field": field}
    return NotFound(f"No such {resource}", resource=resource, id=str(id_), **extra)


class Conflict(DomainError):
    """409: the request is sound, but the present state excludes it."""


class IdempotencyConflict(Conflict):
    """A key used before with another payload: `idempotency_key`, `program_id`."""

    code = "idempotency_conflict"
    summary = "This idempotency key was used with another payload"


class ProgramInactive(Conflict):
    """The operation needs an ACTIVE program: `program_id`, `status`."""

    code = "program_inactive"
    summary = "The program isn't active"


class ProgramArchived(Conflict):
    """The program is ARCHIVED: `program_id`."""

    code = "program_archived"
    summary = "The program is archived"


class AssetArchived(Conflict):
    """The asset is ARCHIVED: `asset_id`."""

    code = "asset_archived"
    summary = "The asset is archived"


class AssetNotLinked(Conflict):
    """The asset isn't linked to the program: `asset_id`, `program_id`."""

    code = "asset_not_linked"
    summary = "The asset isn't linked to the program"


class AlreadyLinked(Conflict):
    """The asset is linked already: `asset_id`, `program_id`."""

    code = "already_linked"
    summary = "The asset is linked to the program already"


class SymbolConflict(Conflict):
    """Another asset has this symbol: `symbol`."""

    code = "symbol_conflict"
    summary = "Another asset of the organization has this symbol"


class NameConflict(Conflict):
    """The name or key is taken in its scope: `field`, `value`."""

    code = "name_conflict"
    summary = "The name is taken"


class ExternalIdConflict(Conflict):
    """The `external_id` is in use: `external_id`."""

    code = "external_id_conflict"
    summary = "Another participant has this external id"


class ParticipantInactive(Conflict):
    """A SUSPENDED or CLOSED participant where ACTIVE is needed: `participant_id`, `status`."""

    code = "participant_inactive"
    summary = "The participant isn't active"


class GroupArchived(Conflict):
    """Any change of an ARCHIVED group: `group_id`."""

    code = "group_archived"
    summary = "The group is archived"


class AlreadyMember(Conflict):
    """Adding ACTIVE members: `group_id`, `participant_ids`."""

    code = "already_member"
    summary = "Already a member of the group"


class LastAdmin(Conflict):
    """Removing or demoting the last ADMIN: `group_id`, `participant_id`."""

    code = "last_admin"
    summary = "A group needs an ADMIN"


class OrderConflict(Conflict):
    """Another active rule has this order: `order`, `rule_id`."""

    code = "order_conflict"
    summary = "Another active rule of the program has this order"


class RuleArchived(Conflict):
    """Changing an ARCHIVED rule: `rule_id`."""

    code = "rule_archived"
    summary = "The rule is archived"


class TierArchived(Conflict):
    """Assigning, changing or archiving an ARCHIVED tier: `tier_key`."""

    code = "tier_archived"
    summary = "The tier is archived"


class LevelConflict(Conflict):
    """A level key or rank collides within its tier: `key`, `rank`."""

    code = "level_conflict"
    summary = "Another level of the tier has this key or rank"


class InvalidState(Conflict):
    """The state excludes the operation and no other code says it better: `status` or `reason`."""

    code = "invalid_state"
    summary = "The present state doesn't allow this"


class Unprocessable(DomainError):
    """422: the amounts or stocks don't allow it."""


class InsufficientBalance(Unprocessable):
    """The bucket, or the selection in it, is too small: `asset_id`, `bucket`, `available`, `requested`."""

    code = "insufficient_balance"
    summary = "Insufficient balance"


class InsufficientWallet(Unprocessable):
    """A PREFUNDED wallet can't cover it: `asset_id`, `program_id`, `available`, `requested`."""

    code = "insufficient_wallet"
    summary = "The program's wallet can't cover this"


class MaxTransactionAmountExceeded(Unprocessable):
    """Over the asset's ceiling: `asset_id`, `max_transaction_amount`, `requested`."""

    code = "max_transaction_amount_exceeded"
    summary = "The amount is over the asset's ceiling"


class BalanceOutOfRange(Unprocessable):
    """More than 20 integer digits: `asset_id`, `entity_type`, `entity_id`, `requested`."""

    code = "balance_out_of_range"
    summary = "The balance would have more than 20 integer digits"


class OutOfStock(Unprocessable):
    """`reward_id`, `available`, `requested`."""

    code = "out_of_stock"
    summary = "The reward is out of stock"


class ParticipantLimitReached(Unprocessable):
    """`reward_id`, `limit`, `redeemed`, `requested`."""

    code = "participant_limit_reached"
    summary = "The participant's limit for this reward is reached"


class RewardUnavailable(Unprocessable):
    """`reward_id`, `status`."""

    code = "reward_unavailable"
    summary = "The reward isn't available"


class ReversalExceedsRemaining(Unprocessable):
    """`redemption_id`, `remaining`, `requested`."""

    code = "reversal_exceeds_remaining"
    summary = "More than is left of the redemption"


class ServiceUnavailable(DomainError):
    """The database, or a worker this answer needs, can't be reached in time; safe to repeat with the same key."""

    code = "service_unavailable"
    summary = "Temporarily unavailable, please retry"
