"""When a window begins and ends: golden moments in zones that change their clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.budgets.windows import CALENDAR, Window, WindowError

# A window, its zone, a moment in it (UTC), and where it begins and ends (UTC).
GOLDEN = {
    "a minute": ("minute", "UTC", "2026-11-28T15:04:59", "2026-11-28T15:04:00", "2026-11-28T15:05:00"),
    "an hour": ("hour", "UTC", "2026-11-28T15:59:59", "2026-11-28T15:00:00", "2026-11-28T16:00:00"),
    "an hour of a half-hour zone": (
        "hour", "Asia/Kolkata", "2026-11-28T15:04:00", "2026-11-28T14:30:00", "2026-11-28T15:30:00",
    ),
    "a day of a zone of 45 minutes": (
        "day", "Asia/Kathmandu", "2026-11-28T18:14:59", "2026-11-27T18:15:00", "2026-11-28T18:15:00",
    ),
    "the day of 23 hours": (
        "day", "Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00",
    ),
    "the day of 25 hours": (
        "day", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-24T22:00:00", "2026-10-25T23:00:00",
    ),
    "the hour that is there twice": (
        "hour", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-25T00:00:00", "2026-10-25T01:00:00",
    ),
    "the hour after it": (
        "hour", "Europe/Berlin", "2026-10-25T01:00:00", "2026-10-25T01:00:00", "2026-10-25T02:00:00",
    ),
    "an hour that a change of half an hour cuts": (
        "hour", "Australia/Lord_Howe", "2026-10-03T15:29:00", "2026-10-03T14:30:00", "2026-10-03T15:30:00",
    ),
    "a day without its midnight": (
        "day", "Africa/Cairo", "2026-04-24T10:00:00", "2026-04-23T22:00:00", "2026-04-24T21:00:00",
    ),
    "a week from Monday": (
        "week", "America/New_York", "2026-11-29T23:00:00", "2026-11-23T05:00:00", "2026-11-30T05:00:00",
    ),
    "the last of a month": (
        "month", "America/New_York", "2026-12-01T04:59:59", "2026-11-01T04:00:00", "2026-12-01T05:00:00",
    ),
    "February of a leap year": ("month", "UTC", "2028-02-29T23:59:59", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
    "December": ("month", "Pacific/Kiritimati", "2026-12-31T09:59:59", "2026-11-30T10:00:00", "2026-12-31T10:00:00"),
}  # fmt: skip


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("case", GOLDEN)
def test_a_calendars_window_begins_and_ends_where_the_zones_clock_says(case):
    window, zone, moment, start, end = GOLDEN[case]
    made = Window.named(window, zone)
    assert made.period(at(moment)) == (at(start), at(end))
    assert made.first(at(moment)) == made.bucket(at(moment) + 0.999) == at(start)
    assert made.ends(at(moment)) == at(end)


@given(
    st.sampled_from([*CALENDAR, "90m", "24h", "30d"]),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo", "America/St_Johns"]
    ),
    st.integers(at("2026-01-01T00:00:00"), at("2028-01-01T00:00:00")),
)
def test_every_second_lies_in_one_bucket(window, zone, second):
    made = Window.named(window, zone)
    start, end = made.period(second)
    assert start <= second < end
    assert made.period(start) == made.period(end - 1) == (start, end)
    assert made.period(end)[0] == end


def test_a_rolling_window_counts_all_of_its_length_and_at_most_one_bucket_more():
    made = Window.named("24h", "Europe/Berlin")
    now = at("2026-11-28T15:30:00")
    assert made.first(now) == at("2026-11-27T15:00:00")
    assert made.ends(now) == at("2026-11-28T16:00:00")  # the first bucket counts for the last time before
    assert made.first(made.ends(now)) == at("2026-11-27T16:00:00")
    assert Window.named("90m").first(now) == now - 90 * 60
    for second in range(now, now + 7200, 60):
        assert 0 <= second - made.length_s - made.first(second) < made.bucket_s


@pytest.mark.parametrize("wrong", ["year", "0d", "367d", "30", "d", "-1d", "1.5h", "monthly", ""])
def test_a_window_that_is_none_is_a_clear_error(wrong):
    with pytest.raises(WindowError, match="say minute, hour, day, week, month, or a length up to 366d"):
        Window.named(wrong)


@pytest.mark.parametrize("wrong", ["Mars/Base", "../etc/passwd", ""])
def test_so_is_a_zone(wrong):
    with pytest.raises(WindowError, match="is no IANA time zone"):
        Window.named("day", wrong)


def test_local_days_are_those_of_the_zone_all_year():
    zone = ZoneInfo("Europe/Berlin")
    made = Window.named("day", "Europe/Berlin")
    day = datetime(2026, 1, 1, tzinfo=zone)
    while day.year == 2026:
        assert made.bucket(day.timestamp()) == day.timestamp()
        day = (day + timedelta(days=1)).replace(hour=0)
