"""Trying out one rule: what each action would do for a made-up participant."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.ledger.accounts import Balance
from domain.processing.rule_simulation import SIMULATORS, Case, RuleSimulation, simulate_rule
from domain.processing.world import Program
from domain.rules.actions import ActionType
from domain.rules.rule import CompiledRule, compile_rule
from domain.state import Counter, EntityState
from tests.domain.processing.worlds import ASSETS, MILES, MOMENT, NOW, ORGANIZATION, PROGRAM, PTS
from tests.domain.rules.builders import credit, rule

CASE = Case(
    program=Program(PROGRAM, ORGANIZATION, "P", tuple(ASSETS)),
    program_state=EntityState(tags=frozenset({"summer"})),
    assets=ASSETS,
    event={"type": "purchase", "amount": Decimal(75)},
    now=MOMENT,
    clock=NOW,
    state=EntityState(frozenset({"vip"}), {"n": Counter(Decimal(2))}, {"colour": "red"}),
    balances={PTS: Balance(Decimal(40), Decimal(5), Decimal(0))},
)


def compiled(*actions: dict[str, Any], condition: str = "true", **fields: Any) -> CompiledRule:
    return compile_rule(rule(condition=condition, actions=actions or (credit(),), **fields).snapshot(), UUID(int=2))


def tried(*actions: dict[str, Any], case: Case = CASE, **fields: Any) -> RuleSimulation:
    return simulate_rule(compiled(*actions, **fields), case)


def result(action: dict[str, Any], case: Case = CASE) -> dict[str, object]:
    [found] = tried(action, case=case).results
    return found


def test_every_action_type_can_be_tried() -> None:
    assert {kind.value for kind in ActionType} <= SIMULATORS.keys()


class TestCondition:
    @pytest.mark.parametrize(
        "condition",
        [
            "event.amount == 75",
            f'now == timestamp("{MOMENT.isoformat()}")',
            'participant.tags == ["vip"] && participant.counters.n == 2 && participant.attributes.colour == "red"',
            "participant.balances.PTS.available == 40 && participant.balances.PTS.held == 5",
            "participant.balances.MILES.available == 0 && participant.balances.size() == 3",
            'participant.status == "ACTIVE" && participant.program_ids == [program.id]',
            'program.name == "P" && program.tags == ["summer"]',
            "recipient == null && group == null && groups == []",
        ],
    )
    def test_what_it_sees(self, condition: str) -> None:
        assert tried(condition=condition).matched

    def test_false_is_evaluated(self) -> None:
        assert tried(condition="event.amount > 100") == RuleSimulation(matched=False)

    @pytest.mark.parametrize("condition", ["event.coupon == 1", "event.amount", "event.l.all(a, event.l.all(b, a + b >= 0))"])
    def test_what_fails_has_a_reason(self, condition: str) -> None:
        case = replace(CASE, event={"amount": Decimal(1), "l": [Decimal(n) for n in range(400)]})
        found = tried(condition=condition, case=case)
        assert not found.matched
        assert found.failure
        assert found.results == ()

    def test_status_and_window_do_not_matter(self) -> None:
        assert tried(active_to=MOMENT.replace(year=2000), active_from=MOMENT.replace(year=1999)).matched


class TestMoney:
    def test_credit_and_debit(self) -> None:
        assert result(credit(amount="event.amount * 10")) == {
            "amount": "750",
            "asset_symbol": "PTS",
            "description": "Credit 750 PTS to participant",
        }
        debit = {"type": "DEBIT", "asset_id": str(PTS), "amount": "5000"}
        assert result(debit)["description"] == "Debit 5000 PTS from participant"

    @pytest.mark.parametrize(("kind", "verb"), [("HOLD", "Hold"), ("RELEASE", "Release"), ("FORFEIT", "Forfeit")])
    def test_moves_of_an_amount_or_of_everything(self, kind: str, verb: str) -> None:
        move = {"type": kind, "asset_id": str(PTS)}
        assert result(move | {"amount": "event.amount"}) == {
            "amount": "75",
            "asset_symbol": "PTS",
            "description": f"{verb} 75 PTS of participant",
        }
        assert result(move) == {"amount": None, "asset_symbol": "PTS", "description": f"{verb} all PTS of participant"}

    def test_void_hold_says_that_it_is_not_simulated(self) -> None:
        void = {"type": "VOID_HOLD", "asset_id": str(MILES), "reference_id": '"auth-" + event.type'}
        text = "Void what participant holds of MILES under auth-purchase; VOID_HOLD isn't simulated"
        assert result(void) == {"description": text}

    def test_rounded_as_it_would_be_recorded(self) -> None:
        assert [result(credit(amount=amount))["amount"] for amount in ("event.amount / 10", "event.amount / 1000")] == ["8", "0"]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"amount": "event.nothing"}, "expression_error: action CREDIT failed: amount: "),
            ({"amount": "event.type"}, "invalid_amount: action CREDIT failed: amount: not a number"),
            ({"amount": "-event.amount"}, "invalid_amount: action CREDIT failed: amount: negative (-75)"),
            ({"reference_id": '"a b"'}, "expression_error: action CREDIT failed: reference_id: "),
            ({"target": {"type": "PARTICIPANT", "id": "event.type"}}, "expression_error: action CREDIT failed: target.id: "),
        ],
    )
    def test_an_expression_that_fails(self, fields: dict[str, Any], message: str) -> None:
        found = tried(credit(**fields), {"type": "TAG", "tag": "x"})
        error = found.results[0].pop("error")
        assert str(error).startswith(message)
        assert found.results[0] == {}
        assert "error" not in found.results[1]

    def test_an_asset_that_takes_nothing_more(self) -> None:
        unlinked = replace(CASE, program=replace(CASE.program, asset_ids=()))
        assert str(result(credit(), unlinked)["error"]).startswith("asset_not_linked: ")
        archived = replace(CASE, assets={**ASSETS, PTS: replace(ASSETS[PTS], is_archived=True)})
        assert str(result(credit(), archived)["error"]).startswith("asset_archived: ")


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "name"),
        [
            ({"type": "PARTICIPANT"}, "participant"),
            ({"type": "PARTICIPANT", "participant_id": "participant.id"}, "participant"),
            ({"type": "PARTICIPANT", "external_id": "participant.external_id"}, "participant"),
            ({"type": "PARTICIPANT", "external_id": "bob"}, "participant bob"),
            ({"type": "PARTICIPANT", "id": str(UUID(int=7))}, f"participant {UUID(int=7)}"),
            ({"type": "GROUP", "id": str(UUID(int=7))}, f"group {UUID(int=7)}"),
        ],
    )
    def test_who_it_is_for(self, target: dict[str, Any], name: str) -> None:
        assert result(credit(target=target))["description"] == f"Credit 10 PTS to {name}"
        tag = result({"type": "TAG", "tag": "new", "target": target})
        assert tag["description"] == f"Add tag new to {name}"
        assert ("would_add" in tag) == (name == "participant")

    def test_the_program(self) -> None:
        target = {"type": "PROGRAM"}
        assert result({"type": "COUNTER", "key": "n", "value": "1", "target": target}) == {
            "value": "1",
            "description": "Add 1 to counter n of program",
        }


class TestState:
    def test_tags(self) -> None:
        there, new = ({"type": "TAG", "tag": tag} for tag in ("VIP", "new"))
        assert result(there) == {"current_tags": ["vip"], "would_add": False, "description": "Add tag vip to participant"}
        assert result(new)["would_add"] is True
        gone = result({"type": "UNTAG", "tag": "vip"})
        assert gone == {"current_tags": ["vip"], "would_remove": True, "description": "Remove tag vip from participant"}
        assert result({"type": "UNTAG", "tag": "new"})["would_remove"] is False

    def test_counters(self) -> None:
        assert result({"type": "COUNTER", "key": "n", "value": "event.amount / 2"}) == {
            "value": "37.5",
            "current_value": "2",
            "projected_value": "39.5",
            "description": "Add 37.5 to counter n of participant",
        }
        fresh = result({"type": "COUNTER", "key": "m", "value": "-1"})
        assert (fresh["current_value"], fresh["projected_value"]) == ("0", "-1")

    def test_a_counter_that_would_overflow(self) -> None:
        full = EntityState(counters={"n": Counter(Decimal(10**20 - 1))})
        found = result({"type": "COUNTER", "key": "n", "value": "1"}, replace(CASE, state=full))
        assert str(found["error"]).startswith("invalid_amount: action COUNTER failed: ")

    def test_attributes(self) -> None:
        same = {"type": "SET_ATTRIBUTE", "key": "colour", "value": "red"}
        assert result(same) == {
            "current_value": "red",
            "would_change": False,
            "description": "Set attribute colour of participant to red",
        }
        other = result({"type": "SET_ATTRIBUTE", "key": "size", "value_expression": "event.amount"})
        assert (other["current_value"], other["would_change"]) == (None, True)

    def test_actions_see_the_state_before_the_event(self) -> None:
        tag = {"type": "TAG", "tag": "new"}
        assert [found["would_add"] for found in tried(tag, tag).results] == [True, True]
