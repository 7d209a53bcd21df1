"""Actions as data: what is accepted, what it compiles to, and every fault with its path."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.cel import Expression
from domain.errors import Fault
from domain.ledger.accounts import Bucket
from domain.rules.actions import (
    Action,
    ActionType,
    AttributeAction,
    BroadcastAction,
    CounterAction,
    CreditAction,
    DebitAction,
    ForfeitAction,
    HoldAction,
    ReleaseAction,
    ScheduleAction,
    TagAction,
    VoidHoldAction,
)
from domain.rules.definitions import SPECIFICATIONS, parse_actions, stored_actions, validate_actions
from domain.rules.targets import DEFAULT_TARGET, Target, TargetKind
from tests.domain.rules.builders import ASSETS, CASH, MILES, PTS, credit, miles


def compiled(raw: dict[str, Any]) -> Action:
    """The one action that `raw` compiles to."""
    actions, faults = parse_actions([raw], ASSETS)
    assert faults == []
    return actions[0]


def fault(raw: dict[str, Any]) -> tuple[str, str]:
    """Path and reason of the only fault of `raw`."""
    [found] = validate_actions([raw], ASSETS)
    return found.field, found.reason


def moving(type_: str, **fields: Any) -> dict[str, Any]:
    """An action on PTS with nothing but what is required, changed by `fields`."""
    return {"type": type_, "asset_id": str(PTS), **fields}


def tagging(**fields: Any) -> dict[str, Any]:
    return {"type": "TAG", "tag": "vip", **fields}


class TestCompiledForm:
    def test_credit_has_defaults(self) -> None:
        assert compiled(credit()) == CreditAction(PTS, Decimal(10), Bucket.AVAILABLE, target=Target(TargetKind.DEFAULT))

    def test_credit_with_everything(self) -> None:
        action = compiled(
            miles(bucket="AVAILABLE", expires_at="48h", matures_at="24h", reference_id="auth-1", description="Bonus")
        )
        assert action == CreditAction(
            MILES, Decimal(10), Bucket.AVAILABLE, timedelta(hours=48), timedelta(hours=24), "auth-1", "Bonus"
        )

    def test_fixed_times_are_utc(self) -> None:
        action = compiled(miles(expires_at="2027-01-01T00:00:00+02:00"))
        assert isinstance(action, CreditAction)
        assert action.expires_at == datetime(2026, 12, 31, 22, tzinfo=UTC)

    def test_debit(self) -> None:
        raw = {"type": "DEBIT", "asset_id": str(CASH).upper(), "amount": "1.009", "allow_negative": True}
        assert compiled(raw) == DebitAction(CASH, Decimal("1.009"), Bucket.AVAILABLE, allow_negative=True)

    def test_hold_and_what_undoes_it(self) -> None:
        everything = {"reference_id": "auth-1", "description": "Order", "target": {"type": "PARTICIPANT"}}
        named = ("auth-1", "Order", Target(TargetKind.PARTICIPANT))
        hold = compiled(moving("HOLD", amount="5", expires_at="1h", **everything))
        assert hold == HoldAction(PTS, Decimal(5), timedelta(hours=1), *named)
        assert compiled(moving("RELEASE", amount="5", **everything)) == ReleaseAction(PTS, Decimal(5), *named)
        forfeit = compiled(moving("FORFEIT", amount="5", bucket="HELD", **everything))
        assert forfeit == ForfeitAction(PTS, Decimal(5), Bucket.HELD, *named)
        assert compiled(moving("VOID_HOLD", asset_id=str(MILES), **everything)) == VoidHoldAction(MILES, *named)

    def test_an_amount_left_out_means_everything(self) -> None:
        assert compiled(moving("HOLD")) == HoldAction(PTS, None, None, None, None, DEFAULT_TARGET)
        assert compiled(moving("RELEASE")) == ReleaseAction(PTS, None)
        assert compiled(moving("FORFEIT")) == ForfeitAction(PTS, None, Bucket.AVAILABLE)

    def test_tag_is_lowered(self) -> None:
        assert compiled(tagging(tag="VIP")) == TagAction("vip")
        assert compiled({"type": "UNTAG", "tag": "VIP"}) == TagAction("vip", remove=True)

    def test_counter_takes_negative_decimals_and_keeps_18(self) -> None:
        raw = {"type": "COUNTER", "key": "n", "value": "-0.0000000000000000005", "reset_after": "24h"}
        assert compiled(raw) == CounterAction("n", Decimal("-0.000000000000000001"), "24h")
        assert compiled({"type": "COUNTER", "key": "n", "value": "1", "reset_after": ""}) == CounterAction("n", Decimal(1), "")

    def test_expressions(self) -> None:
        action = compiled(credit(amount="event.amount * 10", reference_id="event.auth"))
        assert isinstance(action, CreditAction)
        assert isinstance(action.amount, Expression)
        assert isinstance(action.reference_id, Expression)

    @pytest.mark.example("events-rules.md", "7.4.8")
    def test_attribute_is_a_literal_unless_it_says_expression(self) -> None:
        plain = compiled({"type": "SET_ATTRIBUTE", "key": "k", "value": "event.amount"})
        assert plain == AttributeAction("k", "event.amount")
        computed = compiled({"type": "SET_ATTRIBUTE", "key": "k", "value_expression": "event.amount"})
        assert isinstance(computed, AttributeAction)
        assert isinstance(computed.value, Expression)

    def test_scheduled_events(self) -> None:
        raw = {"type": "SCHEDULE_EVENT", "event_name": "check", "delay": "1m30s", "payload": {"n": Decimal("1.50"), "x": None}}
        assert compiled(raw) == ScheduleAction("check", timedelta(seconds=90), '{"n":1.50,"x":null}')
        assert compiled({"type": "BROADCAST", "event_name": "all"}) == BroadcastAction("all", "{}")

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            ([], "invalid"),
            ("text", "invalid"),
            ({"x": "y" * 16_375}, None),
            ({"x": "y" * 16_377}, "too_long"),
            ({"x": "\u00e9" * 8_189}, "too_long"),
            ({"x": Decimal("1e200")}, "out_of_range"),
        ],
    )
    def test_payloads(self, payload: object, reason: str | None) -> None:
        raw = {"type": "BROADCAST", "event_name": "all", "payload": payload}
        if reason is None:
            compiled(raw)
        else:
            assert fault(raw) == ("actions[0].payload", reason)

    @pytest.mark.parametrize(
        ("delay", "reason"),
        [("1s", None), ("43800h", None), ("0s", "out_of_range"), ("999ms", "out_of_range"), ("43800h1s", "out_of_range")],
    )
    def test_delays(self, delay: str, reason: str | None) -> None:
        raw = {"type": "SCHEDULE_EVENT", "event_name": "check", "delay": delay}
        if reason is None:
            compiled(raw)
        else:
            assert fault(raw) == ("actions[0].delay", reason)

    def test_null_equals_leaving_out(self) -> None:
        assert compiled(credit(bucket=None, target=None, matures_at=None)) == compiled(credit())

    def test_every_type_knows_its_name(self) -> None:
        assert set(SPECIFICATIONS) == set(ActionType)
        assert [compiled(tagging(type=name)).type for name in ("TAG", "UNTAG")] == [ActionType.TAG, ActionType.UNTAG]


class TestTargets:
    @pytest.mark.parametrize(
        ("raw", "by", "value"),
        [
            ({}, "self", None),
            ({"external_id": "auth-1"}, "external_id", "auth-1"),
            ({"external_id": "42"}, "external_id", "42"),
            ({"participant_id": str(PTS)}, "participant_id", str(PTS)),
            ({"id": str(PTS)}, "id", str(PTS)),
        ],
    )
    def test_participant_literals(self, raw: dict[str, str], by: str, value: str | None) -> None:
        target = compiled(credit(target={"type": "PARTICIPANT", **raw})).target
        assert (target.kind, target.by, target.value) == (TargetKind.PARTICIPANT, by, value)

    @pytest.mark.example("events-rules.md", "7.4.15")
    @pytest.mark.parametrize("name", ["group", "event", "now"])
    def test_a_bare_variable_name_is_text(self, name: str) -> None:
        assert compiled(credit(target={"type": "PARTICIPANT", "external_id": name})).target.value == name

    @pytest.mark.parametrize("field", ["participant_id", "external_id", "id"])
    def test_expression(self, field: str) -> None:
        assert isinstance(compiled(credit(target={"type": "PARTICIPANT", field: "event.referrer"})).target.value, Expression)

    def test_program(self) -> None:
        assert compiled(tagging(target={"type": "PROGRAM"})).target == Target(TargetKind.PROGRAM)

    @pytest.mark.parametrize(
        ("target", "path", "reason"),
        [
            ({}, "type", "required"),
            ({"type": "WALLET"}, "type", "invalid"),
            ({"type": "DEFAULT"}, "type", "invalid"),
            ({"type": "PARTICIPANT", "id": str(PTS), "external_id": "a"}, "external_id", "not_allowed"),
            ({"type": "PARTICIPANT", "external_id": ""}, "external_id", "required"),
            ({"type": "PARTICIPANT", "external_id": 5}, "external_id", "invalid"),
            ({"type": "PARTICIPANT", "name": "a"}, "name", "unknown_field"),
            ({"type": "PROGRAM", "id": str(PTS)}, "id", "not_allowed"),
            ({"type": "GROUP", "id": "abc-1"}, "id", "invalid"),
            ({"type": "GROUP", "id": str(PTS), "external_id": "a"}, "external_id", "not_allowed"),
            ({"type": "GROUP"}, "id", "required"),
        ],
    )
    def test_faults(self, target: dict[str, Any], path: str, reason: str) -> None:
        assert fault(tagging(target=target)) == (f"actions[0].target.{path}", reason)

    def test_group_says_what_is_missing(self) -> None:
        [found] = validate_actions([credit(target={"type": "GROUP", "id": "abc-1"})], ASSETS)
        assert (found.expected, found.received) == ("active group", "abc-1")

    @pytest.mark.example("events-rules.md", "7.4.11")
    @pytest.mark.parametrize("type_", ["CREDIT", "DEBIT"])
    def test_money_has_no_program_target(self, type_: str) -> None:
        assert fault(credit(type=type_, target={"type": "PROGRAM"})) == ("actions[0].target.type", "invalid")

    @pytest.mark.parametrize("type_", ["HOLD", "RELEASE", "FORFEIT", "VOID_HOLD"])
    def test_holds_have_no_program_target_but_groups(self, type_: str) -> None:
        raw = moving(type_, asset_id=str(MILES), **({"reference_id": "a"} if type_ == "VOID_HOLD" else {}))
        assert fault({**raw, "target": {"type": "PROGRAM"}}) == ("actions[0].target.type", "invalid")
        group = compiled({**raw, "target": {"type": "GROUP", "id": str(PTS)}}).target
        assert (group.kind, group.value) == (TargetKind.GROUP, str(PTS))


class TestFaults:
    @pytest.mark.example("events-rules.md", "7.2.3")
    @pytest.mark.parametrize(
        ("raw", "path", "reason"),
        [
            ({"type": "CREDIT", "asset_id": str(PTS)}, "amount", "required"),
            (credit(amount="-5"), "amount", "invalid"),
            (credit(amount="0.4"), "amount", "out_of_range"),
            (credit(amount="0"), "amount", "out_of_range"),
            (credit(amount="9" * 21), "amount", "out_of_range"),
            (credit(amount="9" * 20 + ".5"), "amount", "out_of_range"),
            (credit(amount=5), "amount", "invalid"),
            (credit(amount="event."), "amount", "invalid"),
            (credit(amount=""), "amount", "required"),
            (credit(tag="vip"), "tag", "not_allowed"),
            (credit(delay="1s"), "delay", "not_allowed"),
            (credit(colour="red"), "colour", "unknown_field"),
            (credit(asset_id=str(PTS)[:-1] + "9"), "asset_id", "invalid"),
            (credit(asset_id="PTS"), "asset_id", "invalid"),
            (credit(bucket="DEFERRED"), "bucket", "invalid"),
            (credit(description=""), "description", "required"),
            (credit(description="x" * 501), "description", "too_long"),
            (credit(reference_id="a b"), "reference_id", "invalid"),
            (credit(allow_negative=True), "allow_negative", "not_allowed"),
            (credit(type="DEBIT", reference_id="a"), "reference_id", "not_allowed"),
            (credit(type="DEBIT", allow_negative="yes"), "allow_negative", "invalid"),
            (credit(type="DEBIT", allow_negative=True, bucket="HELD"), "allow_negative", "not_allowed"),
            ({"type": "HOLD"}, "asset_id", "required"),
            (moving("HOLD", amount="0.4"), "amount", "out_of_range"),
            (moving("HOLD", amount="-1"), "amount", "invalid"),
            (moving("HOLD", amount=1), "amount", "invalid"),
            (moving("HOLD", bucket="AVAILABLE"), "bucket", "not_allowed"),
            (moving("HOLD", matures_at="1h"), "matures_at", "not_allowed"),
            (moving("HOLD", expires_at="0s"), "expires_at", "out_of_range"),
            (moving("HOLD", allow_negative=True), "allow_negative", "not_allowed"),
            (moving("HOLD", reference_id="a b"), "reference_id", "invalid"),
            (moving("HOLD", asset_id=str(PTS)[:-1] + "9"), "asset_id", "invalid"),
            (moving("RELEASE", amount="0.4"), "amount", "out_of_range"),
            (moving("RELEASE", bucket="HELD"), "bucket", "not_allowed"),
            (moving("RELEASE", expires_at="1h"), "expires_at", "not_allowed"),
            (moving("FORFEIT", amount="0"), "amount", "out_of_range"),
            (moving("FORFEIT", bucket="DEFERRED"), "bucket", "invalid"),
            (moving("FORFEIT", bucket="DEFERRED", reference_id="a"), "bucket", "invalid"),
            (moving("FORFEIT", reference_id="a"), "reference_id", "not_allowed"),
            (moving("FORFEIT", reference_id="a", bucket="AVAILABLE"), "reference_id", "not_allowed"),
            (moving("FORFEIT", expires_at="1h"), "expires_at", "not_allowed"),
            (moving("VOID_HOLD", asset_id=str(MILES)), "reference_id", "required"),
            (moving("VOID_HOLD", asset_id=str(MILES), reference_id="a", amount="1"), "amount", "not_allowed"),
            (moving("VOID_HOLD", asset_id=str(MILES), reference_id="a", bucket="HELD"), "bucket", "not_allowed"),
            (moving("VOID_HOLD", reference_id="a"), "asset_id", "not_allowed"),
            (tagging(tag="a/b"), "tag", "invalid"),
            (tagging(tag=""), "tag", "required"),
            (tagging(tag=" a"), "tag", "invalid"),
            (tagging(tag="a\n"), "tag", "invalid"),
            (tagging(tag="x" * 256), "tag", "too_long"),
            ({"type": "COUNTER", "key": "n", "value": 5}, "value", "invalid"),
            ({"type": "COUNTER", "key": "n", "value": "1", "reset_after": "0s"}, "reset_after", "out_of_range"),
            ({"type": "COUNTER", "key": "n", "value": "1", "reset_after": "43801h"}, "reset_after", "out_of_range"),
            ({"type": "COUNTER", "key": "n", "value": "1", "reset_after": "1d"}, "reset_after", "invalid"),
            ({"type": "SET_ATTRIBUTE", "key": "k"}, "value", "required"),
            ({"type": "SET_ATTRIBUTE", "key": "k", "value": " "}, "value", "required"),
            ({"type": "SET_ATTRIBUTE", "key": "k", "value": "a\0b"}, "value", "invalid"),
            (
                {"type": "SET_ATTRIBUTE", "key": "k", "value": "a", "value_expression": "now"},
                "value_expression",
                "not_allowed",
            ),
            ({"type": "SET_ATTRIBUTE", "key": "k", "value_expression": "1 +"}, "value_expression", "invalid"),
        ],
    )
    def test_one_fault(self, raw: dict[str, Any], path: str, reason: str) -> None:
        assert fault(raw) == (f"actions[0].{path}", reason)

    @pytest.mark.example("events-rules.md", "7.4.11")
    @pytest.mark.parametrize("field", ["expires_at", "matures_at"])
    def test_dates_are_for_lots(self, field: str) -> None:
        assert fault(credit(**{field: "24h"})) == (f"actions[0].{field}", "not_allowed")

    @pytest.mark.parametrize(
        ("fields", "path", "reason"),
        [
            ({"expires_at": "0s"}, "expires_at", "out_of_range"),
            ({"expires_at": "876001h"}, "expires_at", "out_of_range"),
            ({"expires_at": "999999999999999h"}, "expires_at", "out_of_range"),
            ({"expires_at": "tomorrow"}, "expires_at", "invalid"),
            ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at", "out_of_range"),
            ({"matures_at": "24h", "bucket": "HELD"}, "matures_at", "not_allowed"),
            ({"matures_at": "24h", "expires_at": "24h"}, "expires_at", "out_of_range"),
            (
                {"matures_at": "2027-01-02T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z"},
                "expires_at",
                "out_of_range",
            ),
        ],
    )
    def test_dates(self, fields: dict[str, str], path: str, reason: str) -> None:
        assert fault(miles(**fields)) == (f"actions[0].{path}", reason)

    def test_a_duration_and_a_time_are_not_compared(self) -> None:
        compiled(miles(matures_at="876000h", expires_at="2020-01-01T00:00:00Z"))

    @pytest.mark.parametrize("type_", ["GRANT", "credit", 5])
    def test_other_types_are_refused(self, type_: object) -> None:
        [found] = validate_actions([{"type": type_, "delay": "1s"}], ASSETS)
        assert (found.field, found.reason) == ("actions[0].type", "invalid")
        assert found.expected == "one of " + ", ".join(ActionType)

    def test_all_faults_come_at_once(self) -> None:
        raw = [
            {"bucket": "?", "type": "CREDIT", "asset_id": str(PTS), "tag": "x", "expires_at": "1h"},
            "TAG",
            {"tag": "a"},
            credit(amount="event.a ="),
        ]
        found = validate_actions(raw, ASSETS)
        assert [(item.field, item.reason) for item in found] == [
            ("actions[0].amount", "required"),
            ("actions[0].bucket", "invalid"),
            ("actions[0].tag", "not_allowed"),
            ("actions[0].expires_at", "not_allowed"),
            ("actions[1]", "invalid"),
            ("actions[2].type", "required"),
            ("actions[3].amount", "invalid"),
        ]
        assert (found[-1].expected, found[-1].line, found[-1].column) == ("CEL expression", 1, 9)

    @pytest.mark.parametrize(
        ("raw", "reason"), [([], "required"), ([credit()] * 51, "too_long"), ("CREDIT", "invalid"), ({}, "invalid")]
    )
    def test_the_list(self, raw: object, reason: str) -> None:
        [found] = validate_actions(raw, ASSETS)
        assert (found.field, found.reason) == ("actions", reason)

    def test_received_is_shortened_and_printable(self) -> None:
        [found] = validate_actions([credit(amount="\ud800" * 200)], ASSETS)
        assert isinstance(found, Fault)
        assert found.received == "\N{REPLACEMENT CHARACTER}" * 100

    def test_the_form_needs_no_assets(self) -> None:
        assert parse_actions([credit(expires_at="1h", asset_id=str(CASH))])[1] == []


class TestStoredForm:
    def test_only_what_was_set(self) -> None:
        raw = credit(asset_id=str(MILES).upper(), bucket=None, amount="1.009", target={"type": "PARTICIPANT", "id": None})
        assert stored_actions([raw]) == [
            {"type": "CREDIT", "asset_id": str(MILES), "amount": "1.009", "target": {"type": "PARTICIPANT"}}
        ]
