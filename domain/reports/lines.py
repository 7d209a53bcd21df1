"""What each change of a holder's value counts as in the reports: one table for all of them (reporting.md, Rollforward)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from domain.ledger.accounts import EntityType, add, negate, subtract, total
from domain.ledger.entries import ActionType
from domain.money import ZERO

# Whose accounts make up the outstanding value.
HOLDERS = (EntityType.PARTICIPANT, EntityType.GROUP)
# An entry of this type counts by what it changes in all; of any other, each posting counts by itself.
BY_ENTRY = ActionType.SETTLE


class Line(StrEnum):
    ISSUED = "issued"
    REDEEMED = "redeemed"
    REDEMPTION_REVERSALS = "redemption_reversals"
    REDEMPTION_RECEIPTS = "redemption_receipts"
    DEBITED = "debited"
    FORFEITED = "forfeited"
    EXPIRED = "expired"
    HOLDS_VOIDED = "holds_voided"
    ISSUANCE_RETURNS = "issuance_returns"
    REVERSAL_CLAWBACKS = "reversal_clawbacks"
    TRANSFERS_NET = "transfers_net"
    BUCKET_MOVEMENTS_NET = "bucket_movements_net"
    ADJUSTMENTS_NET = "adjustments_net"


# (type of the entry, whether the holder gains) -> line. What isn't here must not occur.
LINES: Mapping[tuple[ActionType, bool], Line] = {
    (ActionType.CREDIT, True): Line.ISSUED,
    (ActionType.SETTLE, True): Line.ISSUED,
    (ActionType.SETTLE, False): Line.ISSUANCE_RETURNS,
    (ActionType.DEBIT, False): Line.DEBITED,
    (ActionType.VOID_HOLD, False): Line.HOLDS_VOIDED,
    (ActionType.FORFEIT, False): Line.FORFEITED,
    (ActionType.EXPIRY, False): Line.EXPIRED,
    (ActionType.REDEMPTION, False): Line.REDEEMED,
    (ActionType.REDEMPTION, True): Line.REDEMPTION_RECEIPTS,
    (ActionType.REDEMPTION_REVERSAL, True): Line.REDEMPTION_REVERSALS,
    (ActionType.REDEMPTION_REVERSAL, False): Line.REVERSAL_CLAWBACKS,
    **{(ActionType.TRANSFER, gains): Line.TRANSFERS_NET for gains in (True, False)},
    **{
        (type_, gains): Line.BUCKET_MOVEMENTS_NET
        for type_ in (ActionType.HOLD, ActionType.RELEASE, ActionType.MATURITY)
        for gains in (True, False)
    },
}
# Lines that are positive magnitudes of what holders lost.
SUBTRACTED = frozenset(
    {
        Line.REDEEMED,
        Line.DEBITED,
        Line.FORFEITED,
        Line.EXPIRED,
        Line.HOLDS_VOIDED,
        Line.ISSUANCE_RETURNS,
        Line.REVERSAL_CLAWBACKS,
    }
)
_NAMED_IN_PERIOD = (Line.ISSUED, Line.REDEEMED, Line.EXPIRED, Line.FORFEITED)


class UnknownActivity(ValueError):
    """A change of a holder's value that fits no line: a fault of ours, and no figures are better than wrong ones."""


class Change(NamedTuple):
    """The sum of what entries of one type changed in one direction; negative when holders lost it."""

    action_type: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Activity:
    """Changes of holders' value by line, as the reports show them: magnitudes on lines that are subtracted."""

    lines: Mapping[Line, Decimal] = field(default_factory=dict)

    def __getitem__(self, line: Line) -> Decimal:
        return self.lines.get(line, ZERO)

    @property
    def change(self) -> Decimal:
        """All lines together, with their signs: what the outstanding value rose by."""
        return total(negate(amount) if line in SUBTRACTED else amount for line, amount in self.lines.items())

    @property
    def issued_net(self) -> Decimal:
        """What was issued and not taken back to the source."""
        back = total(self[line] for line in (Line.ISSUANCE_RETURNS, Line.DEBITED, Line.HOLDS_VOIDED))
        return subtract(self[Line.ISSUED], back)

    @property
    def redeemed_net(self) -> Decimal:
        """What was redeemed and not returned, less what holders that are targets have of it."""
        taken = subtract(self[Line.REDEEMED], self[Line.REDEMPTION_REVERSALS])
        return subtract(taken, subtract(self[Line.REDEMPTION_RECEIPTS], self[Line.REVERSAL_CLAWBACKS]))

    @property
    def others_net(self) -> Decimal:
        """Everything but issued, redeemed, expired and forfeited, signed."""
        others = {line: amount for line, amount in self.lines.items() if line not in _NAMED_IN_PERIOD}
        return Activity(others).change


def activity_of(changes: Iterable[Change]) -> Activity:
    """Changes by line; UnknownActivity for one that has none."""
    lines: dict[Line, Decimal] = {}
    for action_type, amount in changes:
        if not amount:
            continue
        try:
            line = LINES[ActionType(action_type), amount > 0]
        except (KeyError, ValueError):
            raise UnknownActivity(f"{action_type} of {'+' if amount > 0 else '-'} on a holder fits no line") from None
        shown = negate(amount) if line in SUBTRACTED else amount
        lines[line] = add(lines.get(line, ZERO), shown)
    return Activity(lines)
