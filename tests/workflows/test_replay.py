"""Recorded histories replay with today's flows, and a changed flow is found out."""

import asyncio
import importlib
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from runtime.settings import Settings
from runtime.temporal import data_converter, sandbox_runner
from tests.workflows.record import HISTORIES
from workflows import (
    automation,
    automation_run,
    clock,
    due_work,
    event_lane,
    fulfillment,
    hold,
    ledger_seal,
    redemption,
    tier_retention,
)
from workflows.automation import AutomationWorkflow
from workflows.automation_run import AutomationRunWorkflow
from workflows.clock import ClockWorkflow
from workflows.due_work import DueWorkWorkflow
from workflows.event_lane import EventLaneWorkflow
from workflows.fulfillment import FulfillmentWorkflow
from workflows.hold import HoldWorkflow
from workflows.lane_sweep import LaneSweepWorkflow
from workflows.ledger_seal import LedgerSealWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.redemption import RedemptionReversalWorkflow, RedemptionWorkflow
from workflows.tier_retention import TierRetentionWorkflow
from workflows.webhook_endpoint import WebhookEndpointWorkflow
from workflows.webhook_retry import WebhookRetryWorkflow

RECORDED = sorted(HISTORIES.glob("*.json"))
FLOWS = (
    EventLaneWorkflow,
    LaneSweepWorkflow,
    DueWorkWorkflow,
    HoldWorkflow,
    AutomationWorkflow,
    AutomationRunWorkflow,
    ReconcileWorkflow,
    ClockWorkflow,
    RedemptionWorkflow,
    RedemptionReversalWorkflow,
    FulfillmentWorkflow,
    TierRetentionWorkflow,
    LedgerSealWorkflow,
    WebhookEndpointWorkflow,
    WebhookRetryWorkflow,
)


def replay(file: Path, *flows: type) -> None:
    """Replay one history; NondeterminismError when a flow would do something else now."""
    history = WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))
    replayer = Replayer(workflows=flows, data_converter=data_converter(Settings()), workflow_runner=sandbox_runner())
    asyncio.run(replayer.replay_workflow(history))


def kind_of(file: Path) -> str:
    first = json.loads(file.read_text(encoding="utf-8"))["events"][0]
    return str(first["workflowExecutionStartedEventAttributes"]["workflowType"]["name"])


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recorded_histories_replay(file: Path) -> None:
    replay(file, *FLOWS)


def test_every_flow_has_a_history() -> None:
    assert {kind_of(file) for file in RECORDED} == {flow.__name__ for flow in FLOWS}


def test_the_histories_show_what_matters() -> None:
    text = {file.stem: file.read_text(encoding="utf-8") for file in RECORDED}
    idle = text["event_lane_idle"]
    for part in ("MARKER_RECORDED", "TIMER_FIRED", "TIMER_CANCELED", "WORKFLOW_EXECUTION_SIGNALED", "EXECUTION_COMPLETED"):
        assert part in idle, part
    for name in ("event_lane_continued", "due_work", "tier_retention_continued", "ledger_seal"):
        assert "EXECUTION_CONTINUED_AS_NEW" in text[name], name
    for name in ("due_work", "due_work_scheduled_events", "hold_expired", "tier_retention_archived"):
        for part in ("ACTIVITY_TASK_COMPLETED", "TIMER_FIRED", "TIMER_CANCELED", "WORKFLOW_EXECUTION_SIGNALED"):
            assert part in text[name], (name, part)
    assert "TIMER_FIRED" in text["automation_run_completed"]
    assert "cancel_fan_out" in text["automation_run_cancelled"]
    for part in ("TIMER_FIRED", "CHILD_WORKFLOW_EXECUTION_COMPLETED", "command_automation", "WORKFLOW_EXECUTION_COMPLETED"):
        assert part in text["automation_fired"], part
    assert "EXECUTION_CONTINUED_AS_NEW" in text["automation_continued"]
    for part in ("check_books", "TIMER_FIRED", "WORKFLOW_EXECUTION_COMPLETED"):
        assert part in text["reconcile"], part
    subscribed = text["automation_subscribed"]
    for part in ("attend_subscriptions", "TIMER_FIRED", "TIMER_CANCELED", "command_automation", "WORKFLOW_EXECUTION_COMPLETED"):
        assert part in subscribed, part


ALTERATIONS = {
    "reordered": (
        "            report = await self._drain()\n",
        "            await self._woken(policies.LANE_BUSY)\n            report = await self._drain()\n",
    ),
    "dropped": ('        workflow.upsert_search_attributes([KIND.value_set("event-lane")])\n', ""),
    "renamed": ('"drain_lane"', '"drain_lane_again"'),
    "another_timer": ("return policies.LANE_IDLE", "return None"),
    "endless": ("if not await self._woken(self._patience(report)) and not self._expects_more(report):", "if report.failed:"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_changed_lane_turns_red(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = ALTERATIONS[name]
    source = Path(event_lane.__file__).read_text(encoding="utf-8")
    assert source.count(before) == 1, "the lane has changed: alter something else"
    module = f"altered_lane_{name}"
    (tmp_path / f"{module}.py").write_text(source.replace(before, after), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    altered = importlib.import_module(module).EventLaneWorkflow
    with pytest.raises(NondeterminismError):
        replay(HISTORIES / "event_lane_idle.json", altered, LaneSweepWorkflow)


TIMER_ALTERATIONS = {
    "due_renamed": (due_work, "DueWorkWorkflow", "due_work", '"post_due"', '"post_everything"'),
    "due_sleepless": (due_work, "DueWorkWorkflow", "due_work", "if not report.more:", "if report.failed:"),
    "hold_deaf": (
        hold,
        "HoldWorkflow",
        "hold_expired",
        "        self._told = _ENDED_BY[signal]\n        self._changed = True\n",
        "        self._told = _ENDED_BY[signal]\n",
    ),
    "clock_hasty": (clock, "ClockWorkflow", "clock", "while not self._result.reached and workflow.now() < ends_at:", "if True:"),
    "clock_silent": (clock, "ClockWorkflow", "clock", "            await self._wake(report)\n", ""),
    "scheduled_renamed": (
        due_work,
        "DueWorkWorkflow",
        "due_work_scheduled_events",
        '"fire_due_events"',
        '"fire_everything"',
    ),
    "notices_renamed": (
        due_work,
        "DueWorkWorkflow",
        "due_work_expiry_notices",
        '"announce_expiry"',
        '"announce_everything"',
    ),
    "run_hasty": (
        automation_run,
        "AutomationRunWorkflow",
        "automation_run_completed",
        "if self._pauses:",
        "if report.error:",
    ),
    "run_deaf": (
        automation_run,
        "AutomationRunWorkflow",
        "automation_run_cancelled",
        '"cancel_fan_out" if self._is_cancelled else "run_fan_out"',
        '"run_fan_out"',
    ),
    "automation_childless": (
        automation,
        "AutomationWorkflow",
        "automation_fired",
        "if report.has_pending_run:",
        "if report.failures:",
    ),
    "automation_deaf": (
        automation,
        "AutomationWorkflow",
        "automation_fired",
        "        self._commands.append(command)\n",
        "        self._last_command = None\n",
    ),
    "automation_sleepless": (
        automation,
        "AutomationWorkflow",
        "automation_fired",
        "            await self._sleep(report)\n",
        "            self._dirty = bool(report.failures)\n",
    ),
    "subscriptions_forgotten": (
        automation,
        "AutomationWorkflow",
        "automation_subscribed",
        "if report.has_subscriptions:",
        "if report.has_subscriptions and report.failures:",
    ),
    "subscriptions_late": (
        automation,
        "AutomationWorkflow",
        "automation_subscribed",
        'update = {"more": done.more, "next_in_seconds": done.next_in_seconds,',
        'update = {"more": False, "next_in_seconds": done.next_in_seconds,',
    ),
    "redemption_silent": (
        redemption,
        "RedemptionWorkflow",
        "redemption",
        "        workflow.upsert_search_attributes([STATUS.value_set(self._state)])\n        return self._result\n",
        "        return self._result\n",
    ),
    "refusal_unmarked": (
        redemption,
        "RedemptionWorkflow",
        "redemption_refused",
        "            workflow.upsert_search_attributes([STATUS.value_set(self._state)])\n            raise\n",
        "            raise\n",
    ),
    "reversal_renamed": (redemption, "RedemptionReversalWorkflow", "redemption_reversal", '"reverse_redemption"', '"redeem"'),
    "fulfillment_deaf": (
        fulfillment,
        "FulfillmentWorkflow",
        "fulfillment_reported",
        '"""A client reported the outcome."""\n        self._changed = True\n',
        '"""A client reported the outcome."""\n',
    ),
    "fulfillment_timeless": (
        fulfillment,
        "FulfillmentWorkflow",
        "fulfillment_failed",
        "await workflow.wait_condition(self._has_news, timeout=ahead)",
        "await workflow.wait_condition(self._has_news)",
    ),
    "fulfillment_unasked": (
        fulfillment,
        "FulfillmentWorkflow",
        "fulfillment_webhook",
        "report.attempt_in_seconds <= 0:",
        "report.attempt_in_seconds < 0:",
    ),
    "fulfillment_patient": (
        fulfillment,
        "FulfillmentWorkflow",
        "fulfillment_unanswered",
        "return self._changed or (",
        "return (self._changed and self._attempting is None) or (",
    ),
    "tier_sleepless": (
        tier_retention,
        "TierRetentionWorkflow",
        "tier_retention_archived",
        "if not report.more:",
        "if report.failed:",
    ),
    "tier_endless": (
        tier_retention,
        "TierRetentionWorkflow",
        "tier_retention_archived",
        "if report.state is TierState.ARCHIVED:",
        "if report.failed:",
    ),
    "seal_renamed": (
        ledger_seal,
        "LedgerSealWorkflow",
        "ledger_seal",
        "            SEAL_ACTIVITY,",
        '            "seal_everything",',
    ),
    "seal_endless": (
        ledger_seal,
        "LedgerSealWorkflow",
        "ledger_seal",
        "if workflow.info().is_continue_as_new_suggested():",
        "if self._totals.entries < 0:",
    ),
    "hold_endless": (
        hold,
        "HoldWorkflow",
        "hold_voided",
        "if self._state is not HoldState.OPEN:",
        "if report.state is HoldState.EXPIRED:",
    ),
}


@pytest.mark.parametrize("name", TIMER_ALTERATIONS)
def test_a_changed_timer_turns_red(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, flow, history, before, after = TIMER_ALTERATIONS[name]
    source = Path(original.__file__).read_text(encoding="utf-8")
    assert source.count(before) == 1, "the flow has changed: alter something else"
    module = f"altered_{name}"
    (tmp_path / f"{module}.py").write_text(source.replace(before, after), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    altered = getattr(importlib.import_module(module), flow)
    with pytest.raises(NondeterminismError):
        replay(HISTORIES / f"{history}.json", altered)
