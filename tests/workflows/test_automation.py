"""Flows of automations: signals do what the API does, they show where they stand, and a lost one comes back (automations.md 2)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment

from activities import automation_flows
from activities.automation_flows import AutomationActivities
from services import scheduled
from services.automation_views import NOT_MADE
from tests.services.lane_world import LANES
from tests.support.club import Club
from tests.support.loop import LoopThread
from tests.support.schedules import Diary
from tests.support.stack import Stack, poll
from tests.workflows.test_event_lane import until
from tests.workflows.timers import Answers, automation_report, some_automation, working
from workflows import contracts
from workflows.attributes import KIND, ORGANIZATION, PROGRAM, STATUS
from workflows.contracts import LEDGER_QUEUE
from workflows.contracts_automation import (
    AutomationCommand,
    AutomationFlowStatus,
    AutomationInput,
    AutomationPhase,
    AutomationSignal,
    automation_workflow_id,
)
from workflows.contracts_reconcile import ReconcileReport
from workflows.signals import start_automation

Flow = WorkflowHandle[Any, Any]
# What differs between two automations that were treated alike.
OWN = (
    "id",
    "name",
    "created_at",
    "updated_at",
    "trigger_at",
    "last_run_at",
    "execution_started_at",
    "execution_completed_at",
    "last_evaluated_at",
)


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def diary(club: Club) -> Diary:
    for name in ("a", "b"):
        club.completed({}, name)
    return Diary(club)


def flow_of(stack: Stack, automation: dict[str, Any]) -> Flow:
    return stack.client.get_workflow_handle(automation_workflow_id(automation["id"]), result_type=AutomationFlowStatus)


async def is_running(flow: Flow) -> bool:
    try:
        return (await flow.describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError:
        return False


def signal(stack: Stack, automation: dict[str, Any], what: AutomationSignal) -> str | None:
    """As a person does it in Temporal's UI; gives the refusal, once it was carried out."""
    flow = flow_of(stack, automation)
    poll(lambda: stack.loop.run(is_running(flow)), 30)
    stack.loop.run(flow.signal(what))

    def answered() -> AutomationFlowStatus | None:
        found: AutomationFlowStatus = stack.loop.run(flow.query(contracts.STATUS_QUERY, result_type=AutomationFlowStatus))
        return found if found.last_command is not None else None

    command = poll(answered, 30).last_command
    assert command is not None
    assert command.command is what
    return command.refusal


def look(automation: dict[str, Any]) -> dict[str, Any]:
    """What two automations must have in common: moments count only by being there."""
    return {name: value if name not in OWN else value is None for name, value in automation.items()}


class TestSignals:
    """Each is sent to one automation, and asked of the API for another one like it."""

    def both(self, diary: Diary, stack: Stack, make: Callable[[], dict[str, Any]], what: AutomationSignal) -> None:
        by_api, by_signal = make(), make()
        path = {AutomationSignal.REFRESH: "refresh-subscriptions"}.get(what, str(what))
        if what is AutomationSignal.PAUSE:
            diary.change(by_api, status="paused")
            refusal = None
        else:
            answer = diary.tenant.http.post(f"{diary.path}/{by_api['id']}/{path}")
            refusal = None if answer.status_code < 300 else answer.json()["message"]
        assert signal(stack, by_signal, what) == refusal

        def equal() -> bool:
            events = [len(diary.events(each)) for each in (by_api, by_signal)]
            return look(diary.seen(by_api)) == look(diary.seen(by_signal)) and events[0] == events[1]

        poll(equal, 30)

    @pytest.mark.parametrize("what", list(AutomationSignal))
    def test_of_a_cron_for_the_program(self, diary: Diary, stack: Stack, what: AutomationSignal) -> None:
        self.both(diary, stack, lambda: diary.cron("0 0 1 1 *"), what)

    @pytest.mark.parametrize("what", list(AutomationSignal))
    def test_of_a_cron_for_everybody(self, diary: Diary, stack: Stack, what: AutomationSignal) -> None:
        self.both(diary, stack, lambda: diary.cron("0 0 1 1 *", "participants"), what)

    @pytest.mark.parametrize("what", list(AutomationSignal))
    def test_of_a_one_time(self, diary: Diary, stack: Stack, what: AutomationSignal) -> None:
        at = ahead(3600)
        self.both(diary, stack, lambda: diary.one_time(at), what)

    @pytest.mark.parametrize("what", list(AutomationSignal))
    def test_of_subscriptions(self, diary: Diary, stack: Stack, what: AutomationSignal) -> None:
        self.both(diary, stack, lambda: diary.subscribe("INTERVAL", {"interval": "1h"}), what)

    def test_a_refresh_evaluates(self, diary: Diary, stack: Stack) -> None:
        made = diary.subscribe("INTERVAL", {"interval": "1h"})
        assert diary.subscriptions(made).keys() == {"a", "b"}
        diary.club.completed({}, "c")
        assert signal(stack, made, AutomationSignal.REFRESH) is None
        poll(lambda: diary.subscriptions(made).keys() == {"a", "b", "c"})


@pytest.mark.parametrize("scope", ["program", "participants"])
def test_a_trigger_whose_answer_was_lost_fires_once(diary: Diary, stack: Stack, scope: str) -> None:
    cron = diary.cron("0 0 1 1 *", scope)
    ids = {"automation_id": cron["id"], "organization_id": diary.tenant.organization_id, "program_id": diary.club.program_id}
    call = AutomationCommand(automation=AutomationInput.model_validate(ids), command=AutomationSignal.TRIGGER)
    activities = AutomationActivities(stack.database, stack.client, LANES)
    environment = ActivityEnvironment()
    beats: list[tuple[Any, ...]] = []
    environment.on_heartbeat = lambda *details: beats.append(details)
    wanted = 1 if scope == "program" else 2
    for _ in range(2):
        assert stack.loop.run(environment.run(activities.command_automation, call)).refusal is None
        poll(lambda: len(diary.events(cron)) == wanted and diary.seen(cron).get("execution_status") in (None, "completed"), 30)
        environment.info = replace(environment.info, heartbeat_details=beats[0])
    moments = {event["event_timestamp"] for event in diary.events(cron)}
    assert (len(diary.events(cron)), len(moments)) == (wanted, 1)


def test_what_a_flow_shows(diary: Diary, stack: Stack) -> None:
    cron = diary.cron("0 0 1 1 *", "participants")
    flow = flow_of(stack, cron)
    poll(lambda: stack.loop.run(is_running(flow)), 30)
    diary.trigger(cron)
    diary.ended(cron)

    def shown() -> str | None:
        metadata: WorkflowMetadata = stack.loop.run(flow.query("__temporal_workflow_metadata", result_type=WorkflowMetadata))
        return metadata.current_details if "completed, 2 of 2" in metadata.current_details else None

    details = poll(shown, 40)
    assert details.startswith("**active** cron, scope participants, event gift")
    assert f"**Next moment** {cron['next_run_at'][:19]}+00:00 (0 0 1 1 *, UTC)" in details
    attributes = stack.loop.run(flow.describe()).typed_search_attributes
    assert (attributes[KIND], attributes[STATUS], attributes[PROGRAM]) == ("automation", "ACTIVE", diary.club.program_id)
    assert attributes[ORGANIZATION] == str(diary.tenant.organization_id)
    found: AutomationFlowStatus = stack.loop.run(flow.query(contracts.STATUS_QUERY, result_type=AutomationFlowStatus))
    assert found.last is not None
    assert (found.last.total, found.last.processed, found.last.schedule) == (2, 2, "0 0 1 1 *, UTC")
    diary.change(cron, status="paused")
    poll(lambda: stack.loop.run(flow.describe()).typed_search_attributes[STATUS] == "PAUSED", 30)
    diary.delete(cron)
    ended: AutomationFlowStatus = stack.loop.run(flow.result())
    assert ended.last is not None
    assert (ended.last.phase, ended.last.status) == (AutomationPhase.OVER, "archived")


def test_a_flow_ends_when_it_has_fired_and_begins_when_it_is_armed_again(diary: Diary, stack: Stack) -> None:
    once = diary.one_time(ahead(4))
    flow = flow_of(stack, once)
    poll(lambda: stack.loop.run(is_running(flow)), 30)
    ended: AutomationFlowStatus = stack.loop.run(flow.result())
    assert ended.last is not None
    assert (ended.last.phase, diary.seen(once)["processed_at"] is not None) == (AutomationPhase.OVER, True)
    diary.change(once, trigger_at=ahead(4))
    assert len(diary.events(once, 2)) == 2
    stack.loop.run(flow.result())


def test_the_reconciliation_brings_a_lost_flow_back(diary: Diary, stack: Stack) -> None:
    cron, gone = diary.cron("0 0 1 1 *"), diary.cron("0 0 1 1 *")
    flow, other = flow_of(stack, cron), flow_of(stack, gone)
    for each in (flow, other):
        poll(lambda each=each: stack.loop.run(is_running(each)), 30)  # type: ignore[misc]
    diary.delete(gone)
    stack.loop.run(other.result())
    stack.loop.run(flow.terminate())
    with stack.database.connection() as conn:
        conn.execute("UPDATE automations SET flow_at = NULL WHERE program_id = %s", [diary.club.program_id])

    async def one_pass() -> ReconcileReport:
        return await stack.client.execute_workflow(
            contracts.RECONCILE_WORKFLOW, id="reconcile-automations", task_queue=LEDGER_QUEUE, result_type=ReconcileReport
        )

    assert stack.loop.run(one_pass()).automations >= 1
    assert stack.loop.run(is_running(flow))
    assert not stack.loop.run(is_running(other))
    with stack.database.connection() as conn:
        rows = conn.execute("SELECT id::text FROM automations WHERE program_id = %s AND flow_at IS NULL", [diary.club.program_id])
        assert [row[0] for row in rows] == [gone["id"]]


def test_a_run_is_given_up_after_failures_of_its_own(diary: Diary, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    real = scheduled.fire
    broken: set[str] = set()

    def fire(session: Session, ids: list[Any], lanes: int) -> Any:
        if broken & {str(id_) for id_ in ids}:
            raise ArithmeticError
        return real(session, ids, lanes)

    monkeypatch.setattr(scheduled, "fire", fire)
    monkeypatch.setattr(automation_flows, "MOST_FAILURES", 2)
    once = diary.one_time(ahead(4))
    broken.add(once["id"])
    found = poll(lambda: (seen := diary.seen(once))["processed_at"] and seen, 40)
    assert (found["last_error"], found["error_message"], found["status"]) == (NOT_MADE, NOT_MADE, "active")
    assert diary.events(once) == []


def test_an_unknown_one_fails_at_once(stack: Stack) -> None:
    ids = some_automation()
    stack.loop.run(start_automation(stack.client, ids))
    with pytest.raises(WorkflowFailureError) as failure:
        stack.loop.run(stack.client.get_workflow_handle(automation_workflow_id(ids.automation_id)).result())
    assert "there is no automation" in str(failure.value.cause.cause)


def test_no_signal_is_lost_or_carried_out_twice(loop: LoopThread, client: Client) -> None:
    """Many at once, while it fires and sleeps."""
    answers = Answers(automations=[automation_report()])

    async def scenario() -> None:
        async with working(client, answers) as queue:
            ids: AutomationInput = some_automation()
            await start_automation(client, ids, queue=queue)
            flow = client.get_workflow_handle(automation_workflow_id(ids.automation_id))
            sent = [list(AutomationSignal)[number % 4] for number in range(24)]
            for what in sent:
                await flow.signal(what)
            await until(lambda: len(answers.commands) == len(sent))
            assert answers.commands == sent
            looks = answers.looks
            await start_automation(client, ids, wake=True, queue=queue)
            await until(lambda: answers.looks > looks)
            assert answers.commands == sent
            await flow.terminate()

    loop.run(scenario())
