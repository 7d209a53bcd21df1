"""Three years of occurrences in ten zones, against a walk over each of their minutes (automations.md 2.2)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.recurrence import next_occurrence, parse_cron
from tests.domain.test_recurrence import Meaning

MINUTE = timedelta(minutes=1)
START, DAYS = datetime(2027, 1, 1, tzinfo=UTC), 3 * 365
# Whole and half hours, 45 minutes' offset, changes at midnight and at Ramadan, both hemispheres, and none at all.
ZONES = {
    "UTC": ("*/7 */5 1,15 * *", "0 0 31 * *"),
    "Europe/Paris": ("30 2 * * *", "*/30 * * 3,10 *"),
    "America/New_York": ("15,45 1-3 * * SUN", "0 9 13 * FRI"),
    "America/Santiago": ("0 0 * * *", "59 23 */2 * *"),
    "America/St_Johns": ("*/20 0-2 8-14 3,11 *", "0 * * 3,11 *"),
    "Australia/Lord_Howe": ("0,30 1,2 * 4,10 *", "45 */2 * 4,10 *"),
    "Pacific/Chatham": ("50 2 * * 6-7", "0 3 1 * *"),
    "Africa/Casablanca": ("30 2 * * *", "10 3 * * MON-FRI"),
    "Asia/Kolkata": ("0 6 29 2 *", "*/15 9-17 1-7 6 *"),
    "Asia/Tehran": ("0 0 21-22 3,9 *", "5 4 * * *"),
}


def walked(expression: str, zone: str) -> Iterator[datetime]:
    """Every occurrence, found by looking at each minute: its time of day first, which few have."""
    meaning, place = Meaning(expression), ZoneInfo(zone)
    times = {60 * hour + minute for hour in meaning.hours for minute in meaning.minutes}
    previous = START.astimezone(place)
    for day in range(DAYS):
        midnight = START + timedelta(days=day)
        edges = [(midnight + timedelta(minutes=15 * quarter)).astimezone(place) for quarter in range(97)]
        for quarter, local in enumerate(edges[:-1]):
            offset = local.utcoffset()
            if offset == previous.utcoffset():
                # no zone of today changes its clock within a quarter of an hour
                start = 60 * local.hour + local.minute
                minutes = [n for n in range(15) if (start + n) % 1440 in times]
            else:
                minutes = list(range(15))
            for n in minutes:
                moment = midnight + timedelta(minutes=15 * quarter + n)
                here, before = moment.astimezone(place), (moment - MINUTE).astimezone(place)
                if moment > START and meaning.occurs(before, here):
                    yield moment
            previous = local


@pytest.mark.parametrize("zone", ZONES)
def test_three_years(zone: str) -> None:
    end = START + timedelta(days=DAYS)
    for expression in ZONES[zone]:
        cron, moment, found = parse_cron(expression), START, []
        while (moment := next_occurrence(cron, moment, ZoneInfo(zone))) < end:
            found.append(moment)
        assert found == list(walked(expression, zone)), expression
        assert found
