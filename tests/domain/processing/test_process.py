"""One event through its rules: order, snapshot, windows, failure without trace, targets (events-rules.md 3.2, 3.3, 6)."""

import contextlib
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.ledger.accounts import Account, AssetTerms, Wallet
from domain.ledger.credit import credit as post_credit
from domain.ledger.entries import Origin
from domain.ledger.missing import MissingAccount, MissingLots, MissingState, MissingWallet
from domain.processing.process import process
from domain.processing.world import MissingExternalId, MissingHolder, StateOwner
from tests.domain.processing.worlds import (
    ANN,
    ASSETS,
    BOB,
    MILES,
    NOW,
    ORGANIZATION,
    PROGRAM,
    PTS,
    account,
    add_holder,
    available,
    fingerprint,
    make_event,
    make_rules,
    make_world,
    rows,
    run,
    verdicts,
)


def credit(amount: str = "10", **fields: Any) -> dict[str, Any]:
    return {"type": "CREDIT", "asset_id": str(PTS), "amount": amount, **fields}


def miles(amount: str = "10", **fields: Any) -> dict[str, Any]:
    return credit(amount, asset_id=str(MILES), **fields)


def debit(amount: str = "10", **fields: Any) -> dict[str, Any]:
    return {"type": "DEBIT", "asset_id": str(PTS), "amount": amount, **fields}


def counter(value: str = "1", **fields: Any) -> dict[str, Any]:
    return {"type": "COUNTER", "key": "n", "value": value, **fields}


def tag(name: str = "seen", **fields: Any) -> dict[str, Any]:
    return {"type": "TAG", "tag": name, **fields}


def attribute(key: str = "color", **fields: Any) -> dict[str, Any]:
    return {"type": "SET_ATTRIBUTE", "key": key, **fields}


class TestSnapshot:
    @pytest.mark.parametrize(
        ("effect", "reading"),
        [
            (counter(), 'get(participant.counters, "n", 0) > 0'),
            (tag(), '"seen" in participant.tags'),
            (attribute(value="red"), 'get(participant.attributes, "color", "") == "red"'),
            (credit(), "participant.balances.PTS.available > 0"),
            (tag(target={"type": "PROGRAM"}), '"seen" in program.tags'),
        ],
    )
    def test_rules_see_the_state_before_the_event(self, effect: dict[str, Any], reading: str) -> None:
        world = make_world()
        rules = make_rules({"actions": (effect,)}, {"condition": reading, "actions": (credit(),)})
        first, second = (run(world, rules, number=number) for number in (1, 2))
        assert verdicts(first, rules) == [("SUCCESS", None), ("NOT_MATCHED", None)]
        assert verdicts(second, rules)[1] == ("SUCCESS", None)

    def test_expressions_of_actions_see_it_too(self) -> None:
        world = make_world()
        rules = make_rules(
            {"actions": (counter("5"), credit('get(participant.counters, "n", 0) + 1'), counter("5"))},
        )
        for number in (1, 2):
            run(world, rules, number=number)
        assert world.states[ANN].counters["n"].value == 20
        assert available(world, ANN) == 1 + 11

    def test_now_is_the_events_own_time(self) -> None:
        world = make_world()
        rules = make_rules({"actions": (attribute(value_expression="now"),)})
        run(world, rules)
        assert world.states[ANN].attributes["color"].startswith("2026-03-05T12:00:00")

    def test_a_lapsed_counter_reads_zero_by_the_servers_clock(self) -> None:
        world = make_world()
        rules = make_rules(
            {"actions": (counter("3", reset_after="1h"),)},
            {"condition": 'get(participant.counters, "n", 0) == 3', "actions": (tag("full"),)},
        )
        run(world, rules)
        assert verdicts(run(world, rules, number=2, now=NOW + timedelta(minutes=59)), rules)[1][0] == "SUCCESS"
        assert verdicts(run(world, rules, number=3, now=NOW + timedelta(hours=1)), rules)[1][0] == "NOT_MATCHED"
        assert world.states[ANN].counters["n"].value == 3


class TestOrder:
    def test_rules_run_by_order(self) -> None:
        world = make_world()
        rules = make_rules(
            {"order": 300, "actions": (attribute(value="third"),)},
            {"order": 7, "actions": (attribute(value="first"),)},
            {"order": 20, "actions": (attribute(value="second"),)},
        )
        run(world, rules)
        assert [change.change.new_value for change in world.history] == ["first", "second", "third"]

    def test_actions_run_by_position(self) -> None:
        world = make_world()
        rules = make_rules({"actions": (credit("30"), debit("10"), debit("20"))})
        assert run(world, rules).status == "COMPLETED"
        assert [entry.action_type.value for entry in world.books.entries] == ["CREDIT", "DEBIT", "DEBIT"]
        assert available(world, ANN) == 0

    def test_a_stopping_rule_ends_the_round(self) -> None:
        world = make_world()
        rules = make_rules(
            {"condition": "event.n == 1", "actions": (credit("5"),), "stop_after_match": True},
            {"actions": (credit("1"),)},
            {"condition": "event.missing == 1", "actions": (credit("1"),)},
        )
        outcome = run(world, rules, {"n": Decimal(1)})
        assert verdicts(outcome, rules) == [("SUCCESS", None), *[("SKIPPED", "STOPPED_BY_RULE")] * 2]
        assert {row["stopped_by_rule_id"] for row in rows(outcome, rules)[1:]} == {rules.rules[0].id}
        assert outcome.matched_rule_ids == (rules.rules[0].id,)
        other = run(world, rules, {"n": Decimal(2)}, number=2)
        assert [status for status, _ in verdicts(other, rules)] == ["NOT_MATCHED", "SUCCESS", "SKIPPED_ERROR"]
        assert available(world, ANN) == 6

    def test_windows_include_their_beginning_and_exclude_their_end(self) -> None:
        window = {"active_from": NOW, "active_to": NOW + timedelta(hours=1), "actions": (credit("1"),)}
        rules = make_rules(window)
        moments = [NOW - timedelta(microseconds=1), NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1)]
        found = [run(make_world(), rules, now=moment) for moment in moments]
        outside = ("SKIPPED", "OUTSIDE_TIME_WINDOW")
        assert [verdicts(outcome, rules)[0] for outcome in found] == [outside, *[("SUCCESS", None)] * 2, outside]

    def test_a_typed_rule_is_skipped_without_a_difference(self) -> None:
        rules = make_rules(
            {"condition": 'event.type == "purchase" && event.amount > 1', "actions": (credit("1"),)},
            {"condition": 'event.type == "visit"', "actions": (credit("2"),)},
        )
        purchase = run(make_world(), rules, {"type": "visit"})
        assert [status for status, _ in verdicts(purchase, rules)] == ["NOT_MATCHED", "SUCCESS"]
        untyped = run(make_world(), rules, {"type": Decimal(3)})
        assert [status for status, _ in verdicts(untyped, rules)] == ["NOT_MATCHED", "NOT_MATCHED"]
        missing = run(make_world(), rules, {})
        assert [status for status, _ in verdicts(missing, rules)] == ["SKIPPED_ERROR", "SKIPPED_ERROR"]


def busy_rules(*, failing: dict[str, Any]) -> Any:
    """Every kind of effect, and then a failure."""
    effects = (
        credit("30"),
        miles(amount="12.5"),
        miles(amount="4", bucket="HELD", reference_id="auth"),
        debit("5"),
        tag(),
        {"type": "UNTAG", "tag": "old"},
        counter("2"),
        attribute(value="red"),
        tag(target={"type": "PROGRAM"}),
        credit("7", target={"type": "PARTICIPANT", "external_id": "bob"}),
    )
    return make_rules({"actions": effects}, {"condition": "event.fail", "actions": (failing,)}, {"actions": effects})


class TestFailure:
    def test_it_leaves_the_world_as_it_was(self) -> None:
        rules = busy_rules(failing=debit("1000"))
        world = make_world()
        run(world, rules, {"fail": False})
        before = fingerprint(world)
        outcome = run(world, rules, {"fail": True}, number=2)
        assert outcome.error_code == "insufficient_balance"
        assert fingerprint(world) == before
        assert verdicts(outcome, rules) == [("FAILED", "ROLLED_BACK"), ("FAILED", "ACTION_FAILED")]
        assert run(world, rules, {"fail": False}, number=3).status == "COMPLETED"
        assert available(world, ANN) == 4 * 25

    def test_the_first_event_of_a_world_too(self) -> None:
        world = make_world()
        before = fingerprint(world)
        run(world, busy_rules(failing=debit("1000")), {"fail": True})
        assert fingerprint(world) == before

    @pytest.mark.parametrize(
        ("failing", "code", "text"),
        [
            (debit("1000"), "insufficient_balance", "action DEBIT failed: available 25, requested 1000 PTS"),
            (credit("event.none"), "expression_error", "action CREDIT failed: amount: "),
            (credit("0 - 1"), "invalid_amount", "action CREDIT failed: amount: negative (-1)"),
            (credit('"12"'), "invalid_amount", "action CREDIT failed: amount: not a number"),
            (counter("99999999999999999999"), "invalid_amount", "action COUNTER failed: "),
            (
                credit("1", target={"type": "PARTICIPANT", "external_id": "nobody"}),
                "target_not_found",
                "action CREDIT failed: ",
            ),
            (
                credit("1", target={"type": "PARTICIPANT", "participant_id": "event.type"}),
                "expression_error",
                "action CREDIT failed: target.participant_id: not a UUID",
            ),
            (attribute(value_expression="event.list"), "expression_error", "action SET_ATTRIBUTE failed: "),
            (
                miles(bucket="HELD", reference_id="event.type + ' '"),
                "expression_error",
                "action CREDIT failed: reference_id: ",
            ),
        ],
    )
    def test_code_and_message(self, failing: dict[str, Any], code: str, text: str) -> None:
        world = make_world()
        world.absent.add((ORGANIZATION, "nobody"))
        rules = busy_rules(failing=failing)
        outcome = run(world, rules, {"fail": True, "type": "x", "list": []})
        assert outcome.error_code == code
        assert outcome.error_message is not None
        assert outcome.error_message.startswith(f"{code}: {text}")
        assert rows(outcome, rules)[1]["error_message"] == outcome.error_message
        assert available(world, ANN) == 0

    def test_wallet_archive_link_and_ceiling(self) -> None:
        cases = {
            "insufficient_wallet": AssetTerms(PTS, "PTS", 0, is_lot=False, is_prefunded=True),
            "asset_archived": AssetTerms(PTS, "PTS", 0, is_lot=False, is_prefunded=False, is_archived=True),
            "max_transaction_amount_exceeded": AssetTerms(PTS, "PTS", 0, False, False, Decimal(9)),
        }
        for code, terms in cases.items():
            world = make_world(assets={**ASSETS, PTS: terms})
            with pytest.raises(MissingWallet) if terms.is_prefunded else nothing():
                run(world, make_rules({"actions": (credit(),)}))
            if terms.is_prefunded:
                world.books.add_wallet(Wallet(PROGRAM, PTS, Decimal(9)))
            assert run(world, make_rules({"actions": (credit(),)})).error_code == code
        unlinked = make_world(assets={MILES: ASSETS[MILES]})
        unlinked.books.add_asset(ASSETS[PTS])
        assert run(unlinked, make_rules({"actions": (credit(),)})).error_code == "asset_not_linked"

    @pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
    @pytest.mark.parametrize("action", [credit("1 - 1"), debit("1 - 1"), counter("0"), tag(), attribute(value="x")])
    def test_status_comes_before_the_amount(self, status: str, action: dict[str, Any]) -> None:
        outcome = run(make_world(status=status), make_rules({"actions": (action,)}))
        blocked = action["type"] in ("CREDIT", "DEBIT", "COUNTER")
        assert outcome.error_code == ("participant_inactive" if blocked else None)

    def test_what_was_due_stays(self) -> None:
        world = make_world()
        origin = Origin(PROGRAM, "Old")
        key = account(world, ANN, MILES).key
        post_credit(world.books, key, Decimal(5), now=NOW, origin=origin, expires_at=timedelta(hours=1))
        outcome = run(world, make_rules({"actions": (debit("1"),)}), now=NOW + timedelta(hours=2))
        assert outcome.error_code == "insufficient_balance"
        assert [entry.action_type.value for entry in world.books.entries] == ["CREDIT", "EXPIRY"]
        assert available(world, ANN, MILES) == 0


class TestTargets:
    def test_credits_go_to_the_recipient_and_nothing_else_does(self) -> None:
        world = make_world()
        rules = make_rules({"actions": (credit("10"), counter(), credit("1", target={"type": "PARTICIPANT"}), tag())})
        outcome = run(world, rules, recipient_id=BOB)
        assert (available(world, BOB), available(world, ANN)) == (10, 1)
        assert (world.states[ANN].tags, world.states[BOB].tags) == ({"seen"}, frozenset())
        targets = [action["target"]["id"] for action in rows(outcome, rules)[0]["executed_actions"]]
        assert [UUID(str(id_)) for id_ in targets] == [BOB, ANN, ANN, ANN]

    @pytest.mark.parametrize("by", ["participant_id", "id", "external_id"])
    def test_named_participants(self, by: str) -> None:
        world = make_world()
        rules = make_rules({"actions": (credit("10", target={"type": "PARTICIPANT", by: "event.to"}),)})
        run(world, rules, {"to": "bob" if by == "external_id" else str(BOB)})
        assert available(world, BOB) == 10

    def test_another_organizations_participant_is_not_found(self) -> None:
        world = make_world()
        add_holder(world, UUID(int=0xF0), organization_id=UUID(int=0x0B))
        rules = make_rules({"actions": (credit("1", target={"type": "PARTICIPANT", "id": "event.to"}),)})
        assert run(world, rules, {"to": str(UUID(int=0xF0))}).error_code == "target_not_found"

    def test_an_event_without_participant(self) -> None:
        world = make_world()
        rules = make_rules(
            {"actions": (counter(target={"type": "PROGRAM"}),)}, {"condition": "event.n == 1", "actions": (credit(),)}
        )
        done = run(world, rules, {"n": Decimal(0)}, participant_id=None)
        assert done.status == "COMPLETED"
        assert world.states[PROGRAM].counters["n"].value == 1
        target = rows(done, rules)[0]["executed_actions"][0]["target"]
        assert (target["type"], UUID(str(target["id"]))) == ("PROGRAM", PROGRAM)
        assert run(world, rules, {"n": Decimal(1)}, participant_id=None).error_code == "target_required"

    def test_the_history_names_event_rule_and_owner(self) -> None:
        world = make_world()
        rules = make_rules({"actions": (tag(), counter(target={"type": "PROGRAM"}))})
        outcome = run(world, rules)
        assert [(row.owner, row.owner_id, row.rule_id, row.at) for row in world.history] == [
            (StateOwner.PARTICIPANT, ANN, rules.rules[0].id, NOW),
            (StateOwner.PROGRAM, PROGRAM, rules.rules[0].id, NOW),
        ]
        assert [row.event for row in world.history] == [outcome.event] * 2


class TestMissingState:
    def test_rounds_until_everything_is_there(self) -> None:
        """Each round names one thing; nothing has happened before the last one."""
        world = make_world(ANN)
        key = account(world, ANN).key
        world.books._accounts.pop(key)
        target = {"type": "PARTICIPANT", "external_id": "bob"}
        rules = make_rules({"actions": (tag(), credit("5"), credit("7", target=target))})
        before = (dict(world.states), list(world.history), list(world.books.entries))
        seen: list[str] = []
        for _ in range(10):
            try:
                outcome = process(make_event(), rules, world, NOW)
                break
            except MissingState as missing:
                assert (dict(world.states), world.history, world.books.entries) == before
                assert world.changed_states == {}
                seen.append(type(missing).__name__)
                load(world, missing)
                before = (dict(world.states), list(world.history), list(world.books.entries))
        assert outcome.status == "COMPLETED"
        assert seen == ["MissingAccount", "MissingExternalId"]
        assert (available(world, ANN), available(world, BOB)) == (5, 7)

    def test_an_unknown_holder_is_asked_for_once(self) -> None:
        world = make_world(ANN)
        rules = make_rules({"actions": (credit("1", target={"type": "PARTICIPANT", "id": str(BOB)}),)})
        with pytest.raises(MissingHolder):
            run(world, rules)
        world.absent.add(BOB)
        assert run(world, rules).error_code == "target_not_found"

    def test_lots_are_asked_for_before_they_are_spent(self) -> None:
        world = make_world()
        found = account(world, ANN, MILES)
        found.lots_loaded, found.available, found.version = False, Decimal(5), 1
        rules = make_rules({"actions": ({**debit("5"), "asset_id": str(MILES)},)})
        with pytest.raises(MissingLots):
            run(world, rules)
        assert found.available == 5


def load(world: Any, missing: MissingState) -> None:
    """What the service would do, from a database in which bob exists."""
    if isinstance(missing, MissingAccount):
        world.books.add_account(Account(missing.key, lots_loaded=True))
    elif isinstance(missing, MissingExternalId):
        add_holder(world, BOB)
    else:
        raise missing


def nothing() -> Any:
    """A context that expects nothing."""
    return contextlib.nullcontext()
