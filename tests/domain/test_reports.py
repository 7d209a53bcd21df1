"""Which line a change counts in, and the buckets of the expiration schedule."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger.entries import ActionType
from domain.money import CONTEXT
from domain.reports.lines import LINES, Change, Line, UnknownActivity, activity_of
from domain.reports.schedule import MOST_BUCKETS, Granularity, Span, TooManyBuckets, spans

ONE = Decimal(1)
CHANGES = st.lists(
    st.builds(
        lambda key, amount: Change(key[0].value, amount if key[1] else amount.copy_negate()),
        st.sampled_from(sorted(LINES, key=str)),
        st.decimals(min_value="0.01", max_value="99999999999999999999", places=18),
    )
)
MOMENTS = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC))


def units(amount: Decimal) -> int:
    """In smallest units: whole numbers have no precision to lose."""
    return int(amount.scaleb(18, context=CONTEXT))


@given(CHANGES)
def test_the_lines_and_both_groupings_of_the_summary_sum_exactly(changes: list[Change]) -> None:
    whole = sum(units(change.amount) for change in changes)
    activity = activity_of(changes)
    assert units(activity.change) == whole
    nets = (Line.TRANSFERS_NET, Line.BUCKET_MOVEMENTS_NET)
    moved = sum(units(activity[line]) for line in nets)
    lost = (activity.redeemed_net, activity[Line.EXPIRED], activity[Line.FORFEITED])
    assert units(activity.issued_net) - sum(units(one) for one in lost) + moved == whole
    gross = (activity[Line.REDEEMED], activity[Line.EXPIRED], activity[Line.FORFEITED])
    net = units(activity[Line.ISSUED]) - sum(units(one) for one in gross)
    assert net + units(activity.others_net) == whole


@pytest.mark.parametrize(
    ("action_type", "amount"),
    [("FUND", ONE), ("BURN", -ONE), ("CREDIT", -ONE), ("DEBIT", ONE), ("EXPIRY", ONE), ("GIFT", ONE)],
)
def test_what_fits_no_line_is_refused(action_type: str, amount: Decimal) -> None:
    with pytest.raises(UnknownActivity):
        activity_of([Change(action_type, amount)])


def test_every_type_of_entry_on_holders_has_a_line() -> None:
    assert {type_ for type_, _ in LINES} == set(ActionType) - {ActionType.FUND, ActionType.BURN}


@given(MOMENTS, st.integers(0, 500), st.sampled_from(Granularity))
def test_buckets_are_gapless_and_hold_the_window(start: datetime, days: int, granularity: Granularity) -> None:
    end = min(start, datetime.max.replace(tzinfo=UTC) - timedelta(days=days)) + timedelta(days=days)
    try:
        found = spans(start, end, granularity)
    except TooManyBuckets:
        assert granularity is Granularity.DAY
        assert days >= MOST_BUCKETS
        return
    assert found[0].start <= start < found[0].end
    assert found[-1].start <= end <= found[-1].end
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]


def test_where_buckets_begin() -> None:
    moment = datetime(2030, 12, 31, 23, 59, tzinfo=UTC)  # a Tuesday
    assert spans(moment, moment, Granularity.DAY) == [Span(datetime(2030, 12, 31, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))]
    assert spans(moment, moment, Granularity.WEEK) == [Span(datetime(2030, 12, 30, tzinfo=UTC), datetime(2031, 1, 6, tzinfo=UTC))]
    assert spans(moment, moment, Granularity.MONTH) == [Span(datetime(2030, 12, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))]
    with pytest.raises(TooManyBuckets):
        spans(moment, moment + timedelta(days=MOST_BUCKETS), Granularity.DAY)
    assert len(spans(moment, moment + timedelta(days=MOST_BUCKETS - 1), Granularity.DAY)) == MOST_BUCKETS
