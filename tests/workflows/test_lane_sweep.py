"""The sweep: events whose wake signal was lost are processed all the same, on the running product."""

from datetime import timedelta

import pytest
from temporalio.client import ScheduleOverlapPolicy, WorkflowExecutionStatus

from tests.services.lane_world import Shop
from tests.services.rule_world import make_organization, make_world
from tests.support.club import Club
from tests.support.stack import SWEEP_SECONDS, Stack, poll
from workflows import contracts
from workflows.contracts import LEDGER_QUEUE, LaneStatus, SweepReport
from workflows.schedules import ensure_schedules


@pytest.fixture
def shop(stack: Stack) -> Shop:
    """A program of the running product whose events the test stores behind its back."""
    return Shop(stack.database, make_world(stack.database, make_organization(stack.database)))


def test_a_lost_signal_costs_seconds(shop: Shop) -> None:
    shop.rule(shop.world.credit(amount="1"))
    results = [shop.send(f"p-{number}") for number in range(120)]
    assert {result.lane for result in results} == set(range(8))
    poll(lambda: all(shop.status(result.event.id) == "COMPLETED" for result in results))
    assert {shop.balance(f"p-{number}", shop.world.pts) for number in range(120)} == {1}


def test_a_lane_that_was_ended_comes_back(stack: Stack, club: Club) -> None:
    club.ten_per_unit()
    first = club.completed({"type": "purchase", "amount": 1})
    with stack.database.connection() as conn:
        lanes = [row[0] for row in conn.execute("SELECT lane FROM lanes")]
    for lane in lanes:
        handle = stack.client.get_workflow_handle(contracts.lane_workflow_id(lane))
        try:
            stack.loop.run(handle.terminate())
        except Exception as error:
            assert "not found" in str(error) or "already completed" in str(error)
    assert club.completed({"type": "purchase", "amount": 2})["participant_id"] == first["participant_id"]
    assert club.balance("ann") == "30"


def test_a_pass_says_which_lanes_it_woke(stack: Stack, shop: Shop) -> None:
    async def one_pass() -> SweepReport:
        return await stack.client.execute_workflow(
            contracts.SWEEP_WORKFLOW, id="lane-sweep-by-hand", task_queue=LEDGER_QUEUE, result_type=SweepReport
        )

    assert stack.loop.run(one_pass()).woken == []


def test_the_schedule_never_overlaps_and_makes_up_for_nothing(stack: Stack) -> None:
    every = timedelta(seconds=SWEEP_SECONDS)

    async def twice() -> object:
        for _ in range(2):
            await ensure_schedules(stack.client, every)
        return (await stack.client.get_schedule_handle(contracts.SWEEP_SCHEDULE).describe()).schedule

    schedule = stack.loop.run(twice())
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP  # type: ignore[attr-defined]
    assert schedule.policy.catchup_window == timedelta(seconds=10)  # type: ignore[attr-defined]
    assert [interval.every for interval in schedule.spec.intervals] == [every]  # type: ignore[attr-defined]


def test_a_lane_of_the_running_product_answers(stack: Stack, club: Club) -> None:
    club.ten_per_unit()
    event = club.completed({"type": "purchase", "amount": 1})
    with stack.database.connection() as conn:
        row = conn.execute("SELECT lanes FROM deployment").fetchone()
    assert row is not None
    lane = int(event["participant_id"].replace("-", "")[-8:], 16) % row[0]
    handle = stack.client.get_workflow_handle(contracts.lane_workflow_id(lane))

    async def look() -> tuple[LaneStatus, WorkflowExecutionStatus | None]:
        found = await handle.query(contracts.STATUS_QUERY, result_type=LaneStatus)
        return found, (await handle.describe()).status

    found, execution = stack.loop.run(look())
    assert execution is WorkflowExecutionStatus.RUNNING
    assert (found.lane, found.lanes) == (lane, row[0])
    assert found.totals.events >= 1
