from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proxy.reports.period import QuestionError, parse, today, zone_named

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def asked(month=None, start=None, end=None, tz="UTC"):
    return parse(month=month, start=start, end=end, tz=tz, now=NOW)


@pytest.mark.parametrize(
    ("words", "start", "end", "title"),
    [
        ({}, "2026-11-01T00:00+00:00", "2026-12-01T00:00+00:00", "2026-11-01 to 2026-11-30 (UTC)"),
        ({"month": "2026-12"}, "2026-12-01T00:00+00:00", "2027-01-01T00:00+00:00", "2026-12-01 to 2026-12-31 (UTC)"),
        ({"month": "2024-02"}, "2024-02-01T00:00+00:00", "2024-03-01T00:00+00:00", "2024-02-01 to 2024-02-29 (UTC)"),
        (
            {"month": "2026-03", "tz": "Europe/Berlin"},
            "2026-02-28T23:00+00:00",
            "2026-03-31T22:00+00:00",
            "2026-03-01 to 2026-03-31 (Europe/Berlin)",
        ),
        (
            {"start": "2026-11-01", "end": "2026-11-15"},
            "2026-11-01T00:00+00:00",
            "2026-11-16T00:00+00:00",
            "2026-11-01 to 2026-11-15 (UTC)",
        ),
        (
            {"start": "2026-11-23", "end": "2026-11-23"},
            "2026-11-23T00:00+00:00",
            "2026-11-24T00:00+00:00",
            "2026-11-23 (UTC)",
        ),
        (
            {"start": "2026-11-22"},
            "2026-11-22T00:00+00:00",
            "2026-11-24T00:00+00:00",
            "2026-11-22 to 2026-11-23 (UTC)",
        ),
        (
            {"start": "2026-11-22T10:00", "end": "2026-11-22T11:30+00:00", "tz": "Asia/Kolkata"},
            "2026-11-22T04:30+00:00",
            "2026-11-22T11:30+00:00",
            "2026-11-22 10:00 to 2026-11-22 17:00 (Asia/Kolkata)",
        ),
    ],
)
def test_periods(words, start, end, title):
    period = asked(**words)
    assert (period.start, period.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))
    assert period.title() == title


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"month": "2026-13"}, "'2026-13' is not a month: write it as 2026-11"),
        ({"month": "November"}, "is not a month"),
        ({"month": ""}, "is not a month"),
        ({"month": "0000-01"}, "is not a month"),
        ({"month": "9999-12"}, "future"),
        ({"month": "2026-11", "start": "2026-11-01"}, "not both"),
        ({"start": "01.11.2026"}, "--from '01.11.2026' is not a date: write it as 2026-11-23"),
        ({"start": "2026-11-31"}, "is not a date"),
        ({"start": "2026-11-01", "end": "yesterday"}, "--to 'yesterday' is not a date"),
        ({"end": "2026-11-01"}, "--to needs --from"),
        ({"start": "2026-11-02", "end": "2026-11-01"}, "the period is empty"),
        ({"start": "2027-01-01"}, "the period is empty"),
        ({"start": "0001-01-01", "tz": "Asia/Tokyo"}, "too far"),
        ({"tz": "Mars/Olympus"}, "no time zone 'Mars/Olympus': use an IANA name"),
        ({"tz": "../../etc/passwd"}, "no time zone"),
        ({"tz": ""}, "no time zone"),
    ],
)
def test_what_cannot_be_read_is_said(words, says):
    with pytest.raises(QuestionError) as caught:
        asked(**words)
    assert says in str(caught.value)


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Berlin", 25), ("UTC", 24)])
def test_today_is_as_long_as_it_is(zone, hours):
    period = today(datetime(2026, 10, 25, 12, tzinfo=UTC), zone_named(zone))
    assert period.end - period.start == timedelta(hours=hours)
    assert period.title() == f"2026-10-25 ({zone})"
