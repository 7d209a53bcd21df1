"""Rules: their compiled form, their history, and what a set of them says of all its rules."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.rules.definitions import parse_actions, stored_actions
from domain.rules.rule import ChangeType, RuleStatus, change_type, changes_between, compile_rule, condition_faults
from domain.rules.ruleset import RuleSet
from domain.rules.targets import TargetKind
from tests.domain.rules.builders import ASSETS, CASH, MILES, MOMENT, PROGRAM, PTS, credit, miles, rule

VERSION = UUID(int=99)

_keys = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).filter(lambda key: len(key.lower()) <= 255)
_numbers = st.sampled_from(["1", "10.50", "event.amount * 10", "round(event.a, 2)"])
_references = st.sampled_from(["auth-1", "42", "event.auth", "group"])
_moments = st.sampled_from(["24h", "1h30m", "2031-01-01T00:00:00+02:00"])
_targets = st.one_of(
    st.just({"type": "PARTICIPANT"}),
    st.builds(lambda name: {"type": "PARTICIPANT", "external_id": name}, _references),
)
_actions = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("CREDIT"), "asset_id": st.just(str(MILES)), "amount": _numbers},
        optional={"expires_at": _moments, "reference_id": _references, "target": _targets, "bucket": st.just("HELD")},
    ),
    st.fixed_dictionaries(
        {"type": st.just("DEBIT"), "asset_id": st.sampled_from([str(CASH), str(CASH).upper()]), "amount": _numbers},
        optional={"allow_negative": st.booleans(), "description": st.just("Fee"), "target": _targets},
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["TAG", "UNTAG"]), "tag": _keys}, optional={"target": _targets}),
    st.fixed_dictionaries(
        {"type": st.just("COUNTER"), "key": _keys, "value": _numbers},
        optional={"reset_after": st.sampled_from(["", "24h"])},
    ),
    st.fixed_dictionaries({"type": st.just("SET_ATTRIBUTE"), "key": _keys, "value": _keys}),
    st.fixed_dictionaries({"type": st.just("SET_ATTRIBUTE"), "key": _keys, "value_expression": _numbers}),
)


class TestCompile:
    @settings(max_examples=200)
    @given(st.lists(_actions, min_size=1, max_size=5))
    def test_what_was_accepted_compiles_to_the_same_from_its_snapshot(self, raw: list[dict[str, Any]]) -> None:
        actions, faults = parse_actions(raw, ASSETS)
        assert faults == []
        stored = rule(actions=tuple(stored_actions(raw)))
        compiled = compile_rule(stored.snapshot(), VERSION)
        assert compiled.actions == actions
        again = compile_rule(rule(actions=tuple(stored_actions(stored.actions))).snapshot(), VERSION)
        assert again == compiled

    def test_the_record(self) -> None:
        window = {"active_from": datetime(1, 1, 1, tzinfo=UTC), "active_to": MOMENT}
        compiled = compile_rule(rule(**window, stop_after_match=True).snapshot(), VERSION)
        assert (compiled.id, compiled.history_id, compiled.program_id) == (UUID(int=1), VERSION, PROGRAM)
        assert (compiled.order, compiled.name, compiled.stop_after_match) == (10, "Points", True)
        assert (compiled.active_from, compiled.active_to) == (window["active_from"], MOMENT)

    def test_an_unchecked_rule_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"actions\[0\].amount"):
            compile_rule(rule(actions=({"type": "CREDIT", "asset_id": str(PTS)},)).snapshot(), VERSION)

    @pytest.mark.parametrize(("offset", "is_in"), [(-1, False), (0, True), (59, True), (60, False)])
    def test_the_window_is_half_open(self, offset: int, is_in: bool) -> None:
        compiled = compile_rule(rule(active_from=MOMENT, active_to=MOMENT + timedelta(minutes=1)).snapshot(), VERSION)
        assert compiled.is_in_window(MOMENT + timedelta(seconds=offset)) is is_in

    def test_no_window_is_always_open(self) -> None:
        assert compile_rule(rule().snapshot(), VERSION).is_in_window(MOMENT)


class TestCondition:
    @pytest.mark.example("events-rules.md", "7.2.2")
    def test_a_syntax_error_has_a_position(self) -> None:
        [fault] = condition_faults('event.type = "x"')
        assert (fault.field, fault.reason, fault.expected) == ("condition", "invalid", "CEL expression")
        assert (fault.line, fault.column) == (1, 12)

    @pytest.mark.example("events-rules.md", "7.3.6")
    @pytest.mark.parametrize("source", ["foo.bar == 1", "nosuch(1)", "1 + 1", '"x"'])
    def test_what_does_not_compile(self, source: str) -> None:
        [fault] = condition_faults(source)
        assert fault.reason == "invalid"

    @pytest.mark.example("events-rules.md", "7.3.9")
    @pytest.mark.parametrize(
        "source",
        [
            "event.l.all(a, event.l.all(b, event.l.all(c, event.l.all(d, true))))",
            f'event.s.matches("{"x" * 1001}")',
            "(" * 100 + "true" + ")" * 100,
        ],
    )
    def test_limits(self, source: str) -> None:
        assert [fault.reason for fault in condition_faults(source)] == ["invalid"]

    @pytest.mark.parametrize(
        ("source", "reason"), [("", "required"), (None, "invalid"), (5, "invalid"), ("true " * 3277, "too_long")]
    )
    def test_form(self, source: object, reason: str) -> None:
        assert [fault.reason for fault in condition_faults(source)] == [reason]


class TestHistory:
    def test_only_what_differs(self) -> None:
        old, new = rule(), rule(name="More", order=20, updated_at=MOMENT + timedelta(hours=1))
        assert changes_between(old, new) == {"name": {"from": "Points", "to": "More"}, "order": {"from": 10, "to": 20}}
        assert changes_between(old, rule(updated_at=MOMENT + timedelta(hours=1))) == {}

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            ("ACTIVE", "ACTIVE", ChangeType.UPDATED),
            ("ACTIVE", "SUSPENDED", ChangeType.SUSPENDED),
            ("SUSPENDED", "ACTIVE", ChangeType.ACTIVATED),
            ("SUSPENDED", "ARCHIVED", ChangeType.ARCHIVED),
        ],
    )
    def test_the_status_names_the_change(self, before: str, after: str, expected: ChangeType) -> None:
        assert change_type(rule(status=RuleStatus(before)), rule(status=RuleStatus(after))) is expected


def rule_set(*conditions: str, actions: tuple[Mapping[str, object], ...] = (credit(),)) -> RuleSet:
    """A set with one rule per condition, given in descending order."""
    rules = [rule(id=UUID(int=n), order=10 * n, condition=text, actions=actions) for n, text in enumerate(conditions, 1)]
    return RuleSet(1, PROGRAM, tuple(compile_rule(item.snapshot(), VERSION) for item in reversed(rules)))


class TestRuleSet:
    def test_candidates_keep_order_and_leave_out_only_what_cannot_match(self) -> None:
        rules = rule_set('event.type == "a"', "true", 'event.type == "b" && event.n > 1', 'event.type in ["a", "b"]')
        assert [item.order for item in rules.rules] == [10, 20, 30, 40]
        orders = {name: [item.order for item in rules.candidates(name)] for name in ("a", "b", "c", None)}
        assert orders["a"][:2] == [10, 20]
        assert 30 not in orders["a"]
        assert 20 in orders["b"]
        assert 30 in orders["b"]
        assert set(orders["c"]) <= {20, 40}
        assert orders[None] == [10, 20, 30, 40]

    @given(st.lists(st.sampled_from(['event.type == "a"', 'event.type == "b" && event.n', "event.n", "!event.n"]), max_size=6))
    def test_candidates_are_a_subsequence(self, conditions: list[str]) -> None:
        rules = rule_set(*conditions)
        for name in ("a", "b", "c"):
            orders = [item.order for item in rules.candidates(name)]
            assert orders == sorted(orders)
            skipped = [item for item in rules.rules if item not in rules.candidates(name)]
            assert all(item.condition.event_types is not None and name not in item.condition.event_types for item in skipped)

    def test_what_all_rules_read(self) -> None:
        action = credit(amount="participant.counters.n", target={"type": "PARTICIPANT", "external_id": "event.to"})
        assert {"participant.tags", "participant.counters", "event"} <= rule_set(
            '"vip" in participant.tags', actions=(action,)
        ).reads

    def test_what_all_rules_do(self) -> None:
        quiet = rule_set("true", actions=({"type": "TAG", "tag": "a", "target": {"type": "PROGRAM"}},))
        assert (quiet.may_credit, quiet.may_debit, quiet.needs_lots, quiet.names_targets) == (
            False,
            False,
            False,
            False,
        )
        assert quiet.asset_ids == frozenset()
        assert quiet.target_kinds == {TargetKind.PROGRAM}
        assert rule_set("true").asset_ids == {PTS}
        assert not rule_set("true", actions=(miles(reference_id="a", bucket="HELD"),)).needs_lots
        assert rule_set("true", actions=(miles(reference_id="a"),)).needs_lots
        debit = rule_set("true", actions=({"type": "DEBIT", "asset_id": str(PTS), "amount": "1"},))
        assert (debit.may_debit, debit.needs_lots) == (True, True)

    @pytest.mark.parametrize(
        ("type_", "fields", "may_debit"),
        [("HOLD", {}, False), ("RELEASE", {}, False), ("FORFEIT", {}, True), ("VOID_HOLD", {"reference_id": "a"}, True)],
    )
    def test_holds_need_assets_and_lots(self, type_: str, fields: dict[str, str], may_debit: bool) -> None:
        found = rule_set("true", actions=({"type": type_, "asset_id": str(MILES), **fields},))
        assert (found.asset_ids, found.needs_lots) == ({MILES}, True)
        assert (found.may_credit, found.may_debit) == (False, may_debit)

    def test_expressions_of_holds_are_known(self) -> None:
        texts = {"reference_id": "participant.attributes.auth", "target": {"type": "PARTICIPANT", "external_id": "event.to"}}
        for type_ in ("HOLD", "RELEASE", "FORFEIT", "VOID_HOLD"):
            action = {"type": type_, "asset_id": str(MILES), **texts}
            if type_ == "FORFEIT":
                action["bucket"] = "HELD"
            if type_ != "VOID_HOLD":
                action["amount"] = "participant.counters.n"
            reads = rule_set("true", actions=(action,)).reads
            assert {"participant.attributes", "event"} <= reads
            assert ("participant.counters" in reads) == ("amount" in action)

    def test_empty(self) -> None:
        empty = RuleSet(0, PROGRAM, ())
        assert (empty.reads, list(empty.candidates("a")), list(empty.candidates(None))) == (frozenset(), [], [])
