"""The acceptance examples of events-rules.md 7.2 that need processing, over HTTP on the running product."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.club import Club, outcomes


@pytest.mark.example("events-rules.md", "7.2.6")
def test_a_rule_that_stops_the_others(club: Club) -> None:
    first = club.rule('event.cat == "dining"', club.credit("5"), order=50, stop_after_match=True)
    club.rule("true", club.credit("1"), order=100)
    dining = club.completed({"cat": "dining"})
    assert outcomes(dining) == [("SUCCESS", None), ("SKIPPED", "STOPPED_BY_RULE")]
    assert dining["rule_evaluations"][1]["stopped_by_rule_id"] == first["id"]
    assert club.balance("ann") == "5"
    grocery = club.completed({"cat": "grocery"}, "bob")
    assert outcomes(grocery) == [("NOT_MATCHED", None), ("SUCCESS", None)]
    assert club.balance("bob") == "1"


@pytest.mark.example("events-rules.md", "7.2.7")
def test_a_window_that_has_passed(club: Club) -> None:
    now = datetime.now(UTC)
    club.rule("true", club.credit("5"), active_to=(now - timedelta(days=1)).isoformat())
    event = club.completed({}, event_timestamp=(now - timedelta(days=7)).isoformat())
    assert outcomes(event) == [("SKIPPED", "OUTSIDE_TIME_WINDOW")]
    assert club.balance("ann") == "0"


@pytest.mark.example("events-rules.md", "7.2.8")
def test_conditions_see_the_state_before_the_event(club: Club) -> None:
    club.rule("true", {"type": "COUNTER", "key": "spend", "value": "event.amount"}, order=10)
    club.rule('get(participant.counters, "spend", 0) >= 100', club.credit("10"), order=20)
    for expected in ("0", "0", "10"):
        club.completed({"amount": 60})
        assert club.balance("ann") == expected
    assert club.participant("ann")["counters"] == {"spend": "180"}
