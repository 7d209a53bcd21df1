"""Bodies and answers of trying out a rule (events-rules.md 4.12)."""

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.common import AttributeValue, CreateModel, Form, ResponseModel, StateKey, Tag, Text255, Timestamp, refuse
from api.schemas.events import Payload
from domain.ledger.accounts import Balance
from domain.money import CEILING, MAX_SCALE, ZERO, parse_signed, to_scale
from domain.processing.rule_simulation import RuleSimulation
from domain.rules.rule import Rule


def _counter(value: object) -> Decimal:
    """A JSON number or a decimal text, kept with at most 18 decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        refuse("invalid", "Must be a number or a decimal string")
    if isinstance(value, str):
        number = parse_signed(value)
    else:
        number = Decimal(value)
        if number.copy_abs() >= CEILING:
            refuse("out_of_range", "At most 20 digits before the point")
    return to_scale(number, MAX_SCALE)


def _balance(value: object) -> Decimal:
    found = parse_signed(value)
    if found < 0:
        refuse("out_of_range", "Must not be negative")
    return found


_DECIMAL = {"type": "string", "examples": ["12.50"]}
CounterNumber = Annotated[
    Decimal, Form(_counter, "number or decimal string", {"anyOf": [{"type": "number"}, {"type": "string"}], "examples": ["340"]})
]
SignedBalance = Annotated[Decimal, Form(parse_signed, "decimal string", _DECIMAL)]
BucketBalance = Annotated[Decimal, Form(_balance, "decimal string", _DECIMAL)]


class SimulatedBalance(CreateModel):
    """What the participant has of one asset; `available` may be negative."""

    available: SignedBalance = ZERO
    held: BucketBalance = ZERO
    deferred: BucketBalance = ZERO

    def to_balance(self) -> Balance:
        """The three buckets."""
        return Balance(self.available, self.held, self.deferred)


class SimulatedParticipant(CreateModel):
    """The participant that the rule sees; everything may be left out."""

    tags: list[Tag] = Field(default_factory=list)
    counters: dict[StateKey, CounterNumber] = Field(default_factory=dict)
    attributes: dict[StateKey, AttributeValue] = Field(default_factory=dict)
    tiers: dict[StateKey, Text255] = Field(default_factory=dict, description="Tier key -> level key of the program")
    balances: dict[Text255, SimulatedBalance] = Field(default_factory=dict, description="By symbol of a linked asset")


class RuleSimulate(CreateModel):
    """An event and a participant to try a rule on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "event": {"type": "purchase", "amount": 75.00},
                "now": "2026-01-15T10:30:00Z",
                "participant_state": {"tags": ["vip"], "counters": {"spend": "340"}, "balances": {"PTS": {"available": "750"}}},
            }
        }
    )

    event: Payload = Field(description="`event` in CEL; at most 64 KiB and 32 levels")
    now: Timestamp | None = Field(default=None, description="`now` in CEL; default: the present")
    participant_state: SimulatedParticipant = Field(default_factory=SimulatedParticipant)


class SimulatedRule(ResponseModel):
    id: UUID
    name: str
    condition: str
    order: int
    stop_after_match: bool


class SimulatedAction(ResponseModel):
    """One action, and what it would do: the fields of its type, or `error`."""

    action: dict[str, Any] = Field(description="As defined")
    result: dict[str, Any] = Field(
        examples=[{"amount": "750", "asset_symbol": "PTS", "description": "Credit 750 PTS to participant"}]
    )


class RuleVerdict(ResponseModel):
    """`reason` only when the condition failed, `results` only when it matched."""

    matched: bool
    status: str = Field(description="evaluated, or condition_failed: an error, a timeout or no boolean")
    reason: str = ""
    results: list[SimulatedAction] = Field(default_factory=list)


class RuleSimulationRead(ResponseModel):
    rule: SimulatedRule
    evaluation: RuleVerdict


def rule_simulation_body(rule: Rule, found: RuleSimulation) -> dict[str, Any]:
    """The answer of a rule's simulation."""
    names = ("id", "name", "condition", "order", "stop_after_match")
    evaluation: dict[str, Any] = {
        "matched": found.matched,
        "status": "evaluated" if found.failure is None else "condition_failed",
    }
    if found.failure is not None:
        evaluation["reason"] = found.failure
    if found.matched:
        pairs = zip(rule.actions, found.results, strict=True)
        evaluation["results"] = [{"action": action, "result": result} for action, result in pairs]
    return {"rule": {name: getattr(rule, name) for name in names}, "evaluation": evaluation}
