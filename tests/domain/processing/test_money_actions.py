"""HOLD, RELEASE, FORFEIT, VOID_HOLD in rules: whole balances, no-ops, status, deadlines (events-rules.md 6.3-6.9)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ledger.accounts import Account, AccountKey, AssetTerms, Bucket, EntityType, LotStatus, Wallet
from domain.ledger.credit import credit as post_credit
from domain.ledger.entries import Origin
from domain.ledger.moves import hold as post_hold
from domain.processing.process import Outcome
from domain.processing.world import World
from domain.timestamps import format_timestamp
from tests.domain.processing.worlds import (
    ANN,
    ASSETS,
    BOB,
    MILES,
    MOMENT,
    NOW,
    PROGRAM,
    PTS,
    account,
    add_holder,
    fingerprint,
    make_rules,
    make_world,
    rows,
    run,
)

FAMILY = UUID(int=0xFA)
OTHER_PROGRAM = UUID(int=0x99)
MOVES = ("HOLD", "RELEASE", "FORFEIT", "VOID_HOLD")
BOTH = pytest.mark.parametrize("asset", [PTS, MILES], ids=["SIMPLE", "LOT"])


def act(type_: str, asset: UUID = PTS, **fields: Any) -> dict[str, Any]:
    """An action with what its type requires, and `fields`."""
    required = {"VOID_HOLD": {"reference_id": "auth"}, "CREDIT": {"amount": "1"}, "DEBIT": {"amount": "1"}}
    return {"type": type_, "asset_id": str(asset), **required.get(type_, {}), **fields}


def give(world: World, asset: UUID, amount: str, bucket: Bucket = Bucket.AVAILABLE, **origin: Any) -> None:
    """Credit ann; in HELD with a reference on a LOT asset that is provisional."""
    origin = {"program_id": PROGRAM, "description": "Before", **origin}
    post_credit(world.books, account(world, ANN, asset).key, Decimal(amount), now=MOMENT, origin=Origin(**origin), bucket=bucket)


def reserve(world: World, asset: UUID, amount: str, **origin: Any) -> None:
    """Hold what ann was given."""
    origin = {"program_id": PROGRAM, "description": "Before", **origin}
    give(world, asset, amount)
    post_hold(world.books, account(world, ANN, asset).key, Decimal(amount), now=MOMENT, origin=Origin(**origin))


def try_(world: World, *actions: dict[str, Any], **event: Any) -> tuple[Outcome, list[dict[str, Any]]]:
    """Process an event with a rule of these actions; its outcome, and the executed actions as they are read back."""
    rules = make_rules({"actions": actions})
    outcome = run(world, rules, **event)
    return outcome, rows(outcome, rules)[0]["executed_actions"]


def do(world: World, *actions: dict[str, Any], **event: Any) -> list[dict[str, Any]]:
    """As `try_`, and the event completes."""
    outcome, executed = try_(world, *actions, **event)
    assert outcome.status == "COMPLETED", outcome.error_message
    return executed


def verdict(executed: dict[str, Any]) -> tuple[str, str | None, str | None]:
    return executed["outcome"], executed["reason"], executed.get("amount")


def buckets(world: World, asset: UUID) -> tuple[Decimal, Decimal]:
    found = account(world, ANN, asset)
    return found.available, found.held


def journal(world: World) -> list[str]:
    return [entry.action_type.value for entry in world.books.entries]


class TestAmounts:
    @BOTH
    def test_without_an_amount_everything_moves(self, asset: UUID) -> None:
        world = make_world()
        give(world, asset, "30")
        [held] = do(world, act("HOLD", asset), number=1)
        assert (verdict(held)[:2], Decimal(held["amount"]), buckets(world, asset)) == (("APPLIED", None), 30, (0, 30))
        [released] = do(world, act("RELEASE", asset), number=2)
        assert (Decimal(released["amount"]), buckets(world, asset)) == (30, (30, 0))
        do(world, act("HOLD", asset, amount="12"), number=3)
        [forfeited] = do(world, act("FORFEIT", asset), number=4)
        assert (Decimal(forfeited["amount"]), buckets(world, asset)) == (18, (0, 12))
        do(world, act("FORFEIT", asset, bucket="HELD"), number=5)
        assert buckets(world, asset) == (0, 0)

    def test_what_a_row_shows(self) -> None:
        world = make_world()
        give(world, MILES, "30")
        [held] = do(world, act("HOLD", MILES, amount="event.n", reference_id="event.auth"), data={"n": Decimal(5), "auth": "a1"})
        entry = world.books.entries[-1]
        assert {name: str(held[name]) for name in ("type", "amount", "reference_id", "journal_entry_id", "asset_id")} == {
            "type": "HOLD",
            "amount": "5.00",
            "reference_id": "a1",
            "journal_entry_id": str(entry.id),
            "asset_id": str(MILES),
        }
        assert "bucket" not in held
        assert [do(world, act("FORFEIT", MILES, bucket=name), number=2)[0]["bucket"] for name in ("AVAILABLE", "HELD")] == [
            "AVAILABLE",
            "HELD",
        ]

    def test_the_entry_names_event_rule_and_text(self) -> None:
        world = make_world()
        give(world, PTS, "30")
        outcome, _ = try_(world, act("HOLD", amount="5", description="For the order"), act("RELEASE"))
        hold, release = (entry.origin for entry in world.books.entries[-2:])
        assert (hold.description, release.description) == ("For the order", "Rule 1")
        assert {(origin.event_id, origin.program_id, origin.api_key_id) for origin in (hold, release)} == {
            (outcome.event.id, PROGRAM, None)
        }
        assert hold.rule_id == release.rule_id == outcome.matched_rule_ids[0]

    @pytest.mark.parametrize("type_", ["HOLD", "RELEASE", "FORFEIT"])
    def test_zero_after_rounding_is_a_no_op(self, type_: str) -> None:
        world = make_world()
        reserve(world, MILES, "5")
        give(world, MILES, "5")
        [executed] = do(world, act(type_, MILES, amount="0.001 * 4"))
        assert verdict(executed) == ("NO_OP", "ZERO_AMOUNT", "0.00")
        assert (journal(world)[3:], buckets(world, MILES)) == ([], (5, 5))

    @pytest.mark.parametrize("amount", [{}, {"amount": "5"}], ids=["everything", "some"])
    @pytest.mark.parametrize("type_", MOVES)
    def test_nothing_there_is_a_no_op(self, type_: str, amount: dict[str, str]) -> None:
        world = make_world()
        fields = {} if type_ == "VOID_HOLD" else amount
        [executed, tagged] = do(world, act(type_, MILES, **fields), {"type": "TAG", "tag": "seen"})
        assert verdict(executed) == ("NO_OP", "NOTHING_TO_MOVE", "0.00")
        assert "journal_entry_id" not in executed
        assert (tagged["outcome"], journal(world)) == ("APPLIED", [])

    @BOTH
    def test_an_overdrawn_balance_has_nothing_to_hold(self, asset: UUID) -> None:
        world = make_world()
        do(world, act("DEBIT", asset, amount="5", allow_negative=True))
        executed = do(world, act("HOLD", asset), act("FORFEIT", asset), number=2)
        assert [row["reason"] for row in executed] == ["NOTHING_TO_MOVE"] * 2
        assert buckets(world, asset) == (-5, 0)

    def test_a_debit_of_nothing_still_fails(self) -> None:
        assert try_(make_world(), act("DEBIT", amount="5"))[0].error_code == "insufficient_balance"

    @BOTH
    @pytest.mark.parametrize(
        "action",
        [
            {"type": "HOLD"},
            {"type": "FORFEIT"},
            {"type": "FORFEIT", "bucket": "HELD"},
            {"type": "FORFEIT", "bucket": "HELD", "reference_id": "auth"},
        ],
        ids=["hold", "forfeit", "forfeit-held", "forfeit-reference"],
    )
    def test_more_than_there_is_fails(self, asset: UUID, action: dict[str, Any]) -> None:
        world = make_world()
        reserve(world, asset, "5", reference_id="auth")
        give(world, asset, "5")
        before = fingerprint(world)
        outcome, _ = try_(world, {**act(type_=action["type"], asset=asset), **action, "amount": "5.01 + 1"})
        assert outcome.error_code == "insufficient_balance"
        assert outcome.error_message is not None
        assert f"action {action['type']} failed: available 5" in outcome.error_message
        assert fingerprint(world) == before

    @pytest.mark.parametrize(
        ("asset", "reference", "code"),
        [
            (PTS, {}, "insufficient_balance"),
            (PTS, {"reference_id": "auth"}, None),
            (MILES, {}, None),
            (MILES, {"reference_id": "auth"}, None),
        ],
    )
    def test_a_release_gives_back_up_to_its_amount(self, asset: UUID, reference: dict[str, str], code: str | None) -> None:
        world = make_world()
        reserve(world, asset, "5", reference_id="auth")
        outcome, executed = try_(world, act("RELEASE", asset, amount="6", **reference))
        assert outcome.error_code == code
        assert buckets(world, asset) == ((0, 5) if code else (5, 0))
        assert [Decimal(row["amount"]) for row in executed] == ([] if code else [5])

    @pytest.mark.parametrize("type_", ["HOLD", "RELEASE", "FORFEIT"])
    @pytest.mark.parametrize(
        ("amount", "code"),
        [
            ("0 - 1", "invalid_amount"),
            ('"5"', "invalid_amount"),
            ("event.big", "invalid_amount"),
            ("event.none", "expression_error"),
        ],
    )
    def test_amounts_that_are_none(self, type_: str, amount: str, code: str) -> None:
        world = make_world()
        reserve(world, PTS, "5")
        big = Decimal("99999999999999999999.5")
        assert try_(world, act(type_, amount=amount), data={"big": big})[0].error_code == code


class TestReferences:
    @BOTH
    def test_they_select_within_the_program(self, asset: UUID) -> None:
        world = make_world()
        reserve(world, asset, "1", reference_id="auth")
        reserve(world, asset, "2", reference_id="other")
        reserve(world, asset, "4", reference_id="auth", program_id=OTHER_PROGRAM)
        reserve(world, asset, "8")
        [released] = do(world, act("RELEASE", asset, reference_id="auth"), number=1)
        assert (Decimal(released["amount"]), buckets(world, asset)) == (1, (1, 14))
        [forfeited] = do(world, act("FORFEIT", asset, bucket="HELD", reference_id="event.r"), number=2, data={"r": "other"})
        assert (Decimal(forfeited["amount"]), forfeited["reference_id"]) == (2, "other")
        [nothing] = do(world, act("RELEASE", asset, reference_id="auth"), number=3)
        assert nothing["reason"] == "NOTHING_TO_MOVE"
        [rest] = do(world, act("RELEASE", asset), number=4)
        assert (Decimal(rest["amount"]), buckets(world, asset)) == (12, (13, 0))

    def test_a_hold_is_stamped(self) -> None:
        world = make_world()
        give(world, MILES, "5")
        do(world, act("HOLD", MILES, amount="2", reference_id="auth"))
        found = account(world, ANN, MILES)
        [record] = found.holds.values()
        assert (record.reference_id, record.program_id, record.remaining) == ("auth", PROGRAM, 2)
        assert [lot.reference_id for lot in found.open_lots(LotStatus.HELD)] == ["auth"]

    def test_a_computed_reference_must_have_the_form(self) -> None:
        world = make_world()
        reserve(world, MILES, "5")
        for type_ in MOVES:
            bucket = {"bucket": "HELD"} if type_ == "FORFEIT" else {}
            outcome, _ = try_(world, act(type_, MILES, reference_id="event.r + ' '", **bucket), data={"r": "a"})
            assert outcome.error_code == "expression_error"


class TestVoidHold:
    @pytest.mark.example("events-rules.md", "7.4.3")
    def test_it_takes_back_what_is_provisional_and_nothing_else(self) -> None:
        world = make_world()
        give(world, MILES, "10", Bucket.HELD, reference_id="auth")
        give(world, MILES, "20", Bucket.HELD, reference_id="other")
        give(world, MILES, "40", Bucket.HELD, reference_id="auth", program_id=OTHER_PROGRAM)
        reserve(world, MILES, "80", reference_id="auth")
        [voided] = do(world, act("VOID_HOLD", MILES), number=1)
        assert verdict(voided) == ("APPLIED", None, "10.00")
        entry = world.books.entries[-1]
        assert (entry.action_type.value, entry.origin.reference_id) == ("VOID_HOLD", "auth")
        assert buckets(world, MILES) == (0, 140)
        [again] = do(world, act("VOID_HOLD", MILES), number=2)
        assert verdict(again) == ("NO_OP", "NOTHING_TO_MOVE", "0.00")

    def test_a_prefunded_wallet_gets_it_back(self) -> None:
        funded = AssetTerms(MILES, "MILES", 2, is_lot=True, is_prefunded=True)
        world = make_world(assets={**ASSETS, MILES: funded})
        world.books.add_wallet(Wallet(PROGRAM, MILES, Decimal(50)))
        give(world, MILES, "10", Bucket.HELD, reference_id="auth")
        do(world, act("VOID_HOLD", MILES))
        assert world.books.wallet(PROGRAM, MILES).available == 50


class TestStatus:
    @pytest.mark.parametrize("status", ["SUSPENDED", "CLOSED"])
    @pytest.mark.parametrize("type_", MOVES)
    def test_only_a_void_runs_for_others_than_active(self, status: str, type_: str) -> None:
        world = make_world(status=status)
        give(world, MILES, "10", Bucket.HELD, reference_id="auth")
        give(world, MILES, "5")
        outcome, executed = try_(world, act(type_, MILES))
        assert outcome.error_code == (None if type_ == "VOID_HOLD" else "participant_inactive")
        assert [row["outcome"] for row in executed] == (["APPLIED"] if type_ == "VOID_HOLD" else [])

    @pytest.mark.parametrize("type_", ["HOLD", "RELEASE", "FORFEIT"])
    def test_status_comes_before_expressions(self, type_: str) -> None:
        assert try_(make_world(status="SUSPENDED"), act(type_, amount="event.none"))[0].error_code == "participant_inactive"

    @pytest.mark.parametrize("type_", MOVES)
    def test_groups_have_accounts_of_the_events_program(self, type_: str) -> None:
        world = make_world()
        family = with_family(world)
        target = {"type": "GROUP", "id": str(FAMILY)}
        held = act("CREDIT", MILES, amount="10", bucket="HELD", reference_id="auth", target=target)
        do(world, act("CREDIT", MILES, amount="5", target=target), held, number=1)
        [executed] = do(world, act(type_, MILES, target=target), number=2)
        assert (executed["outcome"], executed["target"]) == ("APPLIED", {"type": "GROUP", "id": str(FAMILY)})
        assert (family.available, family.held) == {"HOLD": (0, 15), "RELEASE": (15, 0), "FORFEIT": (0, 10), "VOID_HOLD": (5, 0)}[
            type_
        ]

    @pytest.mark.parametrize("type_", MOVES)
    def test_archived_groups_fail_everything(self, type_: str) -> None:
        world = make_world()
        with_family(world, status="ARCHIVED")
        assert try_(world, act(type_, MILES, target={"type": "GROUP", "id": str(FAMILY)}))[0].error_code == "group_archived"

    @pytest.mark.parametrize("type_", MOVES)
    def test_archived_and_unlinked_assets_fail_everything(self, type_: str) -> None:
        archived = AssetTerms(MILES, "MILES", 2, is_lot=True, is_prefunded=False, is_archived=True)
        assert try_(make_world(assets={**ASSETS, MILES: archived}), act(type_, MILES))[0].error_code == "asset_archived"
        unlinked = make_world(assets={PTS: ASSETS[PTS]})
        unlinked.books.add_asset(ASSETS[MILES])
        assert try_(unlinked, act(type_, MILES))[0].error_code == "asset_not_linked"

    @pytest.mark.parametrize("type_", MOVES)
    def test_the_recipient_is_for_credits_only(self, type_: str) -> None:
        world = make_world()
        give(world, MILES, "10", Bucket.HELD, reference_id="auth")
        give(world, MILES, "5")
        [executed] = do(world, act(type_, MILES), recipient_id=BOB)
        assert (executed["outcome"], UUID(str(executed["target"]["id"]))) == ("APPLIED", ANN)


def with_family(world: World, status: str = "ACTIVE") -> Account:
    """A group and its MILES account in the program."""
    add_holder(world, FAMILY, kind=EntityType.GROUP, external_id="", name="Rossi", status=status)
    key = AccountKey(EntityType.GROUP, FAMILY, MILES, PROGRAM)
    world.books.add_account(Account(key, lots_loaded=True))
    return world.books.account(key)


class TestDeadlines:
    @BOTH
    def test_a_hold_is_due_at_its_deadline(self, asset: UUID) -> None:
        world = make_world()
        give(world, asset, "10")
        do(world, act("HOLD", asset, amount="4", expires_at="1h"))
        assert account(world, ANN, asset).next_due_at == world.books.entries[-1].created_at + timedelta(hours=1)
        later = NOW + timedelta(hours=2)
        do(world, act("DEBIT", asset, amount="10"), number=2, now=later)
        assert journal(world) == ["CREDIT", "HOLD", "RELEASE", "DEBIT"]
        assert world.books.entries[2].origin.description == "Hold expired"

    @BOTH
    def test_a_deadline_that_has_passed_releases_at_once(self, asset: UUID) -> None:
        world = make_world()
        give(world, asset, "10")
        past = format_timestamp(NOW - timedelta(days=30))
        [executed] = do(world, act("HOLD", asset, amount="4", expires_at=past, reference_id="auth"))
        hold, release = world.books.entries[-2:]
        assert (executed["outcome"], str(executed["journal_entry_id"])) == ("APPLIED", str(hold.id))
        assert (hold.action_type.value, release.action_type.value, release.origin.reference_id) == ("HOLD", "RELEASE", "auth")
        assert hold.created_at < release.created_at
        assert (buckets(world, asset), account(world, ANN, asset).next_due_at) == ((10, 0), None)

    def test_lots_keep_their_dates_and_expire_after_the_release(self) -> None:
        world = make_world()
        do(world, act("CREDIT", MILES, amount="10", expires_at="1h"), act("HOLD", MILES), number=1)
        assert buckets(world, MILES) == (0, 10)
        do(world, act("RELEASE", MILES), number=2, now=NOW + timedelta(hours=2))
        assert (journal(world), buckets(world, MILES)) == (["CREDIT", "HOLD", "RELEASE", "EXPIRY"], (0, 0))


class TestFailure:
    @BOTH
    def test_a_failing_third_action_leaves_nothing(self, asset: UUID) -> None:
        world = make_world()
        reserve(world, asset, "5", reference_id="auth")
        give(world, asset, "20")
        effects = [
            act("HOLD", asset, amount="5", reference_id="auth", expires_at="1h"),
            act("RELEASE", asset, amount="3"),
            act("FORFEIT", asset, amount="2", bucket="HELD", reference_id="auth"),
            act("CREDIT", asset, amount="4", bucket="HELD", reference_id="auth"),
            act("VOID_HOLD", MILES),
            act("FORFEIT", asset),
        ]
        before = fingerprint(world)
        for effect in range(len(effects)):
            order = [*effects[effect:], *effects[:effect]]
            assert try_(world, *order, act("DEBIT", asset, amount="1000"))[0].error_code == "insufficient_balance"
            assert fingerprint(world) == before


REFERENCES = st.sampled_from([{}, {"reference_id": "a"}, {"reference_id": "b"}])
AMOUNTS = st.one_of(st.just({}), st.integers(0, 12).map(lambda n: {"amount": f"{n} + 0"}))


@st.composite
def money_actions(draw: st.DrawFn) -> dict[str, Any]:
    """Any action on MILES but a settle, whose row doesn't say what it ended."""
    type_ = draw(st.sampled_from(["CREDIT", "DEBIT", *MOVES]))
    action = act(type_, MILES)
    if type_ != "VOID_HOLD":
        action |= draw(AMOUNTS)
    if type_ in ("CREDIT", "DEBIT", "FORFEIT"):
        action["bucket"] = draw(st.sampled_from(["AVAILABLE", "HELD"]))
    if type_ in ("HOLD", "RELEASE") or (type_ in ("CREDIT", "FORFEIT") and action["bucket"] == "HELD"):
        action |= draw(REFERENCES)
    if type_ == "VOID_HOLD":
        action["reference_id"] = draw(st.sampled_from(["a", "b"]))
    if type_ == "DEBIT" and action["bucket"] == "AVAILABLE":
        action["allow_negative"] = draw(st.booleans())
    return action


def effect(executed: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """What a row says happened to AVAILABLE and HELD."""
    size = Decimal(executed["amount"])
    bucket = {"HOLD": "AVAILABLE", "RELEASE": "HELD", "VOID_HOLD": "HELD"}.get(executed["type"]) or executed["bucket"]
    size = size if executed["type"] == "CREDIT" else -size
    change = (size, Decimal(0)) if bucket == "AVAILABLE" else (Decimal(0), size)
    if executed["type"] == "HOLD":
        return change[0], -change[0]
    return (-change[1], change[1]) if executed["type"] == "RELEASE" else change


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(money_actions(), min_size=1, max_size=4), max_size=8))
def test_rows_say_what_happened(events: list[list[dict[str, Any]]]) -> None:
    """The recorded rows add up to the balances, no-ops have no entry, and a failing event changes nothing."""
    world = make_world()
    expected = (Decimal(0), Decimal(0))
    for number, actions in enumerate(events, 1):
        before = fingerprint(world)
        written = len(world.books.entries)
        outcome, executed = try_(world, *actions, number=number)
        if outcome.error_code is not None:
            assert (outcome.error_code, fingerprint(world)) == ("insufficient_balance", before)
            continue
        applied = [row for row in executed if row["outcome"] == "APPLIED"]
        assert [row["outcome"] for row in executed if "journal_entry_id" in row] == ["APPLIED"] * len(applied)
        assert [str(row["journal_entry_id"]) for row in applied] == [str(entry.id) for entry in world.books.entries[written:]]
        for row in executed:
            available, held = effect(row)
            expected = (expected[0] + available, expected[1] + held)
        found = account(world, ANN, MILES)
        assert (found.available, found.held) == expected
        assert sum(hold.remaining for hold in found.holds.values()) == found.held >= 0
        assert sum(lot.remaining for lot in found.open_lots(LotStatus.AVAILABLE)) == max(found.available, Decimal(0))
        assert sum(lot.remaining for lot in found.open_lots(LotStatus.HELD)) == found.held
