"""Stored sparsely, read whole: the record of an event against a plain evaluation of the same rules (events-rules.md 3.5)."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.processing.record import EvaluatedEvent, ExecutedAction, Record, evaluations
from domain.rules.ruleset import RuleSet
from tests.domain.processing.worlds import ANN, BOB, NOW, PROGRAM, PTS, make_rules, make_world, run

CONDITIONS = {
    "true": "true",
    "typed": 'event.type == "x"',
    "false": "false",
    "other": 'event.type == "y"',
    "error": "event.missing == 1",
    "text": "event.type",
    "timeout": "event.l.all(a, event.l.all(b, event.l.all(c, a + b + c >= 0)))",
}
MATCHING = ("true", "typed")
EVENT: dict[str, Any] = {"type": "x", "l": list(range(60))}
WINDOWS = {
    "open": {},
    "begun": {"active_from": NOW},
    "over": {"active_to": NOW},
    "ahead": {"active_from": NOW + timedelta(hours=1)},
}
ACTIONS: dict[str, dict[str, Any]] = {
    "credit": {"type": "CREDIT", "asset_id": str(PTS), "amount": "1"},
    "zero": {"type": "CREDIT", "asset_id": str(PTS), "amount": "1 - 1"},
    "gift": {
        "type": "CREDIT",
        "asset_id": str(PTS),
        "amount": "2",
        "target": {"type": "PARTICIPANT", "external_id": "bob"},
    },
    "tag": {"type": "TAG", "tag": "Seen"},
    "program": {"type": "COUNTER", "key": "n", "value": "1.50", "target": {"type": "PROGRAM"}},
    "fail": {"type": "DEBIT", "asset_id": str(PTS), "amount": "1000000"},
}
OUTCOMES = {
    "credit": ("CREDIT", "APPLIED", None, str(ANN)),
    "zero": ("CREDIT", "NO_OP", "ZERO_AMOUNT", str(ANN)),
    "gift": ("CREDIT", "APPLIED", None, str(BOB)),
    "program": ("COUNTER", "APPLIED", None, str(PROGRAM)),
}


@dataclass(frozen=True)
class Case:
    """One rule of a random set."""

    condition: str
    window: str
    stops: bool
    actions: tuple[str, ...]

    def definition(self) -> dict[str, Any]:
        return {
            "condition": CONDITIONS[self.condition],
            "actions": tuple(ACTIONS[name] for name in self.actions),
            "stop_after_match": self.stops,
            **WINDOWS[self.window],
        }


cases = st.builds(
    Case,
    st.sampled_from(sorted(CONDITIONS)) | st.sampled_from(MATCHING),
    st.sampled_from(sorted(WINDOWS)) | st.just("open"),
    st.booleans() | st.just(False),
    st.lists(st.sampled_from([name for name in ACTIONS if name != "fail"]), min_size=1, max_size=4).map(tuple)
    | st.just(("credit", "fail")),
)


def plainly(chosen: list[Case]) -> list[tuple[str, str | None, list[tuple[str, str, str | None, str]]]]:
    """What 3.2 says about each rule, in order: status, reason, executed actions."""
    found: list[tuple[str, str | None, list[tuple[str, str, str | None, str]]]] = []
    is_stopped, is_tagged = False, False
    for case in chosen:
        if is_stopped:
            found.append(("SKIPPED", "STOPPED_BY_RULE", []))
        elif case.window in ("over", "ahead"):
            found.append(("SKIPPED", "OUTSIDE_TIME_WINDOW", []))
        elif case.condition not in MATCHING:
            name = {"error": "SKIPPED_ERROR", "text": "SKIPPED_ERROR", "timeout": "SKIPPED_TIMEOUT"}
            found.append((name.get(case.condition, "NOT_MATCHED"), None, []))
        elif "fail" in case.actions:
            undone = [
                ("FAILED", "ROLLED_BACK", []) if status == "SUCCESS" else (status, reason, []) for status, reason, _ in found
            ]
            return [*undone, ("FAILED", "ACTION_FAILED", [])]
        else:
            done = []
            for action in case.actions:
                if action == "tag":
                    done.append(("TAG", *(("NO_OP", "ALREADY_SET") if is_tagged else ("APPLIED", None)), str(ANN)))
                    is_tagged = True
                else:
                    done.append(OUTCOMES[action])
            found.append(("SUCCESS", None, done))
            is_stopped = case.stops
    return found


def unpacked(packed: dict[str, Any], rules: RuleSet, event: EvaluatedEvent) -> list[dict[str, Any]]:
    """The rows, read from what the database keeps: JSON text."""
    return list(evaluations(json.loads(json.dumps(packed)), rules.rules, event))


# a condition that times out takes its hundred thousand steps
@settings(deadline=None)
@given(st.lists(cases, max_size=8))
def test_the_record_says_what_a_plain_evaluation_says(chosen: list[Case]) -> None:
    rules = make_rules(*(case.definition() for case in chosen))
    outcome = run(make_world(), rules, EVENT)
    context = EvaluatedEvent(outcome.event.id, ANN, PROGRAM, NOW)
    rows = unpacked(outcome.record.pack(), rules, context)
    assert [
        (
            row["status"],
            row["reason"],
            [
                (action["type"], action["outcome"], action["reason"], str(action["target"]["id"]))
                for action in row["executed_actions"]
            ],
        )
        for row in rows
    ] == plainly(chosen)
    matched = [rule.id for rule, row in zip(rules.rules, rows, strict=False) if row["status"] in ("SUCCESS", "FAILED")]
    assert list(outcome.matched_rule_ids) == matched
    assert outcome.record.count_reached(rules.rules) == len(rows)


@settings(deadline=None)
@given(st.lists(cases, min_size=1, max_size=5))
def test_ids_and_names_follow_from_the_rule(chosen: list[Case]) -> None:
    rules = make_rules(*(case.definition() for case in chosen))
    outcome = run(make_world(), rules, EVENT)
    for rule, row in zip(
        rules.rules, unpacked(outcome.record.pack(), rules, EvaluatedEvent(outcome.event.id, ANN, PROGRAM, NOW)), strict=False
    ):
        assert row["id"] == uuid5(outcome.event.id, str(rule.id))
        assert (row["rule_id"], row["rule_name"], row["rule_history_id"]) == (rule.id, rule.name, rule.history_id)
        assert row["created_at"] == NOW
        assert [action["index"] for action in row["executed_actions"]] == list(range(len(row["executed_actions"])))


amounts = st.none() | st.from_regex(r"[0-9]{1,4}\.[0-9]{2}", fullmatch=True)
executed = st.builds(
    ExecutedAction,
    outcome=st.sampled_from(["APPLIED", "NO_OP"]),
    reason=st.sampled_from([None, "ZERO_AMOUNT", "ALREADY_SET"]),
    target_type=st.sampled_from(["PARTICIPANT", "PROGRAM"]),
    target_id=st.sampled_from([ANN, BOB]) | st.uuids(),
    amount=amounts,
    bucket=st.sampled_from([None, "AVAILABLE", "HELD", "DEFERRED"]),
    reference_id=st.none() | st.text(min_size=1, max_size=5),
    journal_entry_id=st.none() | st.uuids(),
    value=amounts,
    new_value=st.none() | st.text(max_size=5),
)


@given(executed, st.sampled_from([ANN, None]))
def test_an_executed_action_survives_its_storage(action: ExecutedAction, participant: UUID | None) -> None:
    rules = make_rules({"actions": (ACTIONS["credit"],)})
    record = Record()
    record.matched(rules.rules[0], [action], participant)
    [row] = unpacked(record.pack(), rules, EvaluatedEvent(UUID(int=1), participant, PROGRAM, NOW))
    [read] = row["executed_actions"]
    assert (read["outcome"], read["reason"]) == (action.outcome, action.reason)
    assert (read["target"]["type"], str(read["target"]["id"])) == (action.target_type, str(action.target_id))
    for name in ("amount", "bucket", "reference_id", "journal_entry_id", "value", "new_value"):
        value = getattr(action, name)
        assert read.get(name) == (str(value) if isinstance(value, UUID) else value)


def test_two_hundred_rules_that_did_not_match_cost_nothing() -> None:
    rules = make_rules(*({"condition": "false", "actions": (ACTIONS["credit"],)} for _ in range(200)))
    outcome = run(make_world(), rules, EVENT)
    assert outcome.record.pack() == {"i": {}}
    assert len(unpacked(outcome.record.pack(), rules, EvaluatedEvent(outcome.event.id, ANN, PROGRAM, NOW))) == 200
