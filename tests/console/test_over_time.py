from __future__ import annotations

import json
from datetime import timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest

from proxy.console.asking import Asked
from proxy.console.over_time import LINES_DRAWN, TIMES_DRAWN, outward, slots
from proxy.reports.period import parse
from tests.console.conftest import NOON
from tests.console.test_explore import links
from tests.console.test_page import MARKUP, Page
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row

DAY = timedelta(days=1)


def period(start: str, end: str, tz: str = "UTC"):
    return parse(month=None, start=start, end=end, tz=tz, now=NOON)


def told(console, query: str) -> dict:
    """Give what a page tells the script that draws its chart."""
    (found,) = [
        attributes["data-chart"]
        for _, attributes in Page(console.get(f"/explore?{query}").text).elements
        if "data-chart" in attributes
    ]
    return json.loads(found)


def test_every_time_of_a_period_is_there_once():
    assert [each.key for each in slots("day", period("2026-02-27", "2026-03-01"))] == [
        "2026-02-27", "2026-02-28", "2026-03-01",
    ]  # fmt: skip
    months = slots("month", period("2025-12-10", "2026-02-03"))
    assert [(each.key, each.start, each.end) for each in months] == [
        ("2025-12", "2025-12-01", "2025-12-31"),
        ("2026-01", "2026-01-01", "2026-01-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
    ]
    hours = slots("hour", period("2026-11-23T10:00", "2026-11-23T12:00", "Asia/Kolkata"))
    assert [(each.key, each.start, each.end) for each in hours] == [
        ("2026-11-23 10:00+0530", "2026-11-23T10:00+05:30", "2026-11-23T11:00+05:30"),
        ("2026-11-23 11:00+0530", "2026-11-23T11:00+05:30", "2026-11-23T12:00+05:30"),
    ]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-23", 24)])
def test_the_hours_of_a_day_are_as_many_as_it_has(day, hours):
    found = slots("hour", period(day, day, "Europe/Berlin"))
    assert len({each.key for each in found}) == len(found) == hours
    assert [one.end for one in found[:-1]] == [other.start for other in found[1:]]


def test_no_more_times_are_made_than_tell_that_there_are_too_many():
    assert len(slots("hour", period("1000-01-01", "9000-01-01"))) == TIMES_DRAWN + 1
    assert len(slots("hour", period("2026-10-01", "2026-10-31", "Europe/Berlin"))) <= TIMES_DRAWN


@pytest.mark.parametrize(
    ("by", "start", "end", "wider", "named"),
    [
        ("hour", "2026-11-23T10:00", "2026-11-23T12:00", ("hour", "2026-11-23", "2026-11-23"), "2026-11-23"),
        ("hour", "2026-11-23", "2026-11-23", ("day", "2026-11-01", "2026-11-30"), "2026-11"),
        ("day", "2026-10-30", "2026-11-02", ("day", "2026-10-01", "2026-11-30"), "2026-10 to 2026-11"),
        ("day", "2026-11-01", "2026-11-30", ("month", "2026-01-01", "2026-12-31"), "2026"),
    ],
)
def test_out_of_a_stretch_leads_to_what_it_lies_in(by, start, end, wider, named):
    for tz in ("UTC", "America/New_York"):
        asked = Asked(by=(by, "team"), where={}, start=start, end=end, tz=tz)
        found, said = outward(asked, asked.period(NOON))
        assert ((found.by[0], found.start, found.end), found.by[1:], said) == (wider, ("team",), named)
        assert found.tz == tz
    whole = Asked(by=("month",), where={}, start="2026-01-01", end="2026-12-31")
    assert outward(whole, whole.period(NOON)) is None


def test_what_is_drawn_is_what_the_table_says(console):
    for day in range(3):
        console.record(*(call_row(team=team, started_at=NOON - day * DAY) for team in ("search", "ads", None)))
    console.record(call_row(team="ads"), call_row(team="ads", **UNESTIMATED), call_row(started_at=NOON - 4 * DAY))
    chart = told(console, "by=day,team&measure=energy&from=2026-11-18&to=2026-11-25")
    words = Page(console.get("/explore?by=day,team&measure=energy&from=2026-11-18&to=2026-11-25").text).words
    assert (chart["kind"], chart["unit"], chart["title"]) == ("lines", "kJ", "Energy by day and team")
    assert chart["times"] == [f"2026-11-{day}" for day in range(18, 26)]
    every, ads, *others = chart["lines"]
    assert [(each["key"], each["name"]) for each in (every, ads, *others)] == [
        ("all", "All calls"), ("=ads", "ads"), ("=search", "search"), ("none", None),
    ]  # fmt: skip
    assert [each.get("off", False) for each in chart["lines"]] == [True, False, False, False]
    # Nothing where no call was, a gap before there was any and where none can be yet.
    assert ads["values"] == [None, 0.0, 0.0, 0.4, 0.4, 0.8, None, None]
    assert ads["low"] == [None, 0.0, 0.0, 0.1, 0.1, 0.2, None, None]
    assert ads["high"] == [None, 0.0, 0.0, 1.6, 1.6, 3.2, None, None]
    assert ads["said"] == [
        *(
            *(None, None, None),
            ["400 J", "0.10–1.6 kJ", ""],
            ["400 J", "0.10–1.6 kJ", ""],
            ["800 J", "0.20–3.2 kJ", "33 % not estimated"],
        ),
        *(None, None),
    ]
    assert {text for said in ads["said"] if said for text in said[:2]} <= set(words)
    assert every["whole"] == ["4.4 kJ", "1.1–18 kJ", "8 % not estimated"]


def test_unknown_is_a_gap_and_said(console):
    console.record(
        call_row(), call_row(started_at=NOON - DAY, **UNESTIMATED), call_row(started_at=NOON - 2 * DAY, **UNMETERED)
    )
    (line,) = told(console, "by=day&measure=carbon&from=2026-11-21&to=2026-11-23")["lines"]
    assert line["values"] == [None, None, 40.0]
    assert [said[0] for said in line["said"]] == ["without tokens", "not estimated", "40 mg"]
    console.record(call_row(started_at=NOON - 3 * DAY, **UNPRICED))
    chart = told(console, "by=day&measure=dollars&from=2026-11-20&to=2026-11-23")
    assert (chart["lines"][0]["values"][0], chart["lines"][0]["said"][0]) == (None, ["without a price", "", "1 call"])
    assert "low" not in chart["lines"][0]


def test_more_values_than_lines_are_said(console):
    for day in range(2):
        console.record(*(call_row(team=f"team-{n:02}", started_at=NOON - day * DAY) for n in range(LINES_DRAWN + 3)))
    chart = told(console, "by=day,team&measure=energy")
    assert len(chart["lines"]) == 1 + LINES_DRAWN
    assert chart["note"].endswith(f"These are the largest {LINES_DRAWN} of {LINES_DRAWN + 3}.")


@pytest.mark.parametrize(
    ("query", "address", "finer"),
    [
        (
            "by=day&measure=energy&where=team%3Dads",
            "/explore?by=day&where=team%3Dads&measure=energy",
            "/explore?by=hour&",
        ),
        (
            "by=month&tz=Asia/Tokyo&from=2026-01-01",
            "/explore?by=month&tz=Asia%2FTokyo&measure=dollars",
            "/explore?by=day&",
        ),
        ("by=day&where=user%3D", "/explore?by=day&where=user%3D&measure=dollars", None),  # no hours of these
        ("by=hour&from=2026-11-22", "/explore?by=hour&measure=dollars", None),
    ],
)
def test_a_stretch_leads_on(console, query, address, finer):
    console.record(call_row(team="ads"), call_row(team="ads", started_at=NOON - DAY))
    zoom = told(console, query)["zoom"]
    assert zoom["address"] == address
    assert (zoom["finer"] or "None").startswith(finer or "None")
    first, last = zoom["starts"][0], zoom["ends"][-1]
    reply = console.get(f"{address}&from={first.replace('+', '%2B')}&to={last.replace('+', '%2B')}")
    assert reply.status == 200
    assert "zoom out: " in " ".join(Page(reply.text).words)


def test_zooming_out_is_a_link(console):
    console.record(call_row(), call_row(started_at=NOON - DAY))
    page = Page(console.get("/explore?by=hour,team&from=2026-11-23&to=2026-11-23&measure=energy").text)
    assert "/explore?by=day,team&from=2026-11-01&to=2026-11-30&measure=energy" in [
        unescape(each).replace("%2C", ",") for each in links(page)
    ]


def test_what_has_too_many_times_or_one_alone_or_none_is_drawn_as_before(console):
    console.record(call_row(team="ads"), call_row(), call_row(started_at=NOON - timedelta(days=60)))
    for query in ("by=day&from=2020-01-01", "by=day&from=2026-11-23", "by=team", "by=team,day"):
        page = Page(console.get(f"/explore?{query}").text)
        assert not any("data-chart" in attributes for _, attributes in page.elements), query
    page = Page(console.get("/explore?by=hour&month=2026-11").text)
    (figure,) = [attributes for tag, attributes in page.elements if tag == "figure"]
    assert "hidden" in figure  # one bar alone was not drawn before; the script shows the hours around it


def test_names_are_no_markup_in_what_is_told(console):
    console.record(*(call_row(team=MARKUP, started_at=NOON - day * DAY) for day in range(2)))
    page = Page(console.get("/explore?by=day,team").text)
    assert {attributes.get("src") for tag, attributes in page.elements if tag == "img"} == {"/static/mark.svg"}
    assert told(console, "by=day,team")["lines"][1]["name"] == MARKUP


def test_local_days_and_lines_are_read_once_from_the_sums(console):
    console.record(*(call_row(started_at=NOON - day * DAY) for day in range(3)))
    chart = told(console, "by=day,team,model&tz=Europe/Berlin&measure=calls&from=2026-11-20&to=2026-11-23")
    assert chart["lines"][1]["values"] == [None, 1.0, 1.0, 1.0]
    assert chart["whole"].endswith(f"({ZoneInfo('Europe/Berlin').key})")
