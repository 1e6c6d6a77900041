from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import sqlalchemy as sa

from proxy.ledger.write import Ledger
from tests.console.conftest import NOON
from tests.console.test_page import MARKUP, Page
from tests.reports.test_digits import ROWS
from tests.rows import UNPRICED, call_row


def links(page: Page) -> list[str]:
    return [unescape(attributes["href"] or "") for tag, attributes in page.elements if tag == "a"]


def test_sums_by_team_and_where_they_lead(console):
    console.record(call_row(), call_row(team="ads"), call_row(team="ads", **UNPRICED), call_row(team=None))
    page = Page(console.get("/explore").text)
    words = " ".join(page.words)
    assert "ads 2 300 $0.000750 50 % unpriced ○ 800 J 0.20–3.2 kJ" in words
    assert "All 4" in words
    assert page.count("svg") == 2  # the chart, and what the estimates rest on
    into = next(each for each in links(page) if each.startswith("/explore?by=model&where=team%3Dads"))
    assert "house-model 1 150 unknown" in " ".join(Page(console.get(into).text).words)
    assert "/calls?where=team%3D" in links(page)


def test_every_value_leads_to_what_it_is_made_of(console):
    console.record(
        *(call_row(team=team, started_at=NOON - timedelta(days=days)) for team in ("a", "b") for days in (0, 1))
    )
    seen, path = [], "/explore?by=day&measure=carbon"
    for _ in range(6):
        reply = console.get(path)
        assert reply.status == 200, reply.text
        page = Page(reply.text)
        seen.append(path)
        rows = [
            i for i, (tag, attributes) in enumerate(page.elements) if tag == "th" and attributes.get("scope") == "row"
        ]
        path = unescape(page.elements[rows[0] + 1][1]["href"] or "")
        if path.startswith("/calls"):
            break
    assert path.startswith("/calls?where="), seen
    assert "by=hour" in seen[1]
    assert Page(console.get(path).text).count("time") == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("by=nonsense", "Cannot split by 'nonsense'"),
        ("measure=nonsense", "choose from dollars"),
        ("by=hour&where=user%3Dben", "choose days"),
        ("by=user&from=2026-11-23T10:30&to=2026-11-23T11:00", "choose whole days"),
        ("month=2026-13", "write it as 2026-11"),
        ("tz=%3Cscript%3E", "No time zone"),
    ],
)
def test_what_cannot_be_asked_is_said_on_a_page(console, query, says):
    reply = console.get(f"/explore?{query}")
    page = Page(reply.text)
    assert reply.status == 400
    assert says in " ".join(page.words)
    assert page.count("script") == 0
    assert "/explore" in links(page)


def test_an_empty_period_says_what_to_do(console):
    assert "Choose another period." in " ".join(Page(console.get("/explore?month=2020-01").text).words)


def test_a_form_asks_for_fewer_calls(console):
    console.record(call_row(), call_row(team="ads"))
    page = Page(console.get("/explore?by=model&by=&measure=energy&only=team&is=ads&from=2026-11-01&to=2026-11-30").text)
    assert "All 1" in " ".join(page.words)
    kept = {attributes.get("name"): attributes.get("value") for tag, attributes in page.elements if tag == "input"}
    assert kept["where"] == "team=ads"


def test_names_stay_text_everywhere(console):
    fields = dict.fromkeys(("team", "model", "provider", "zone", "project"), MARKUP)
    row = call_row(**fields, tags={MARKUP: MARKUP}, reason=MARKUP, estimate_reason=MARKUP, outcome="error")
    console.record(row)
    paths = ["/explore?by=team,model,zone", "/explore?by=project&measure=energy", "/calls", f"/calls/{row.id}"]
    paths += [each for each in links(Page(console.get(paths[0]).text)) if "hacked" in each]
    assert len(paths) > 6
    for path in paths:
        reply = console.get(path)
        page = Page(reply.text)
        assert reply.status == 200, path
        assert all((each["src"] or "").startswith("/static/") for tag, each in page.elements if tag == "script")
        assert {attributes.get("src") for tag, attributes in page.elements if tag == "img"} == {"/static/mark.svg"}
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert "hacked=1" in " ".join(page.words)


@pytest.mark.parametrize(
    "query",
    ["by=team,model", "by=hour&tz=Europe/Berlin", "by=zone,day&tz=Europe/Berlin", "by=project&where=outcome%3Dok"],
)
def test_sums_alone_are_read(console, query):
    """What is in the sums already is not read as calls again: what a page takes does not grow with their number."""
    console.record(*(call_row(started_at=NOON - timedelta(days=day)) for day in range(3)))
    ledger = Ledger(console.engine)
    while ledger.roll_up():
        pass
    asked: list[str] = []
    sa.event.listen(console.engine, "before_cursor_execute", lambda c, cursor, statement, *_: asked.append(statement))
    assert "All 3" in " ".join(Page(console.get(f"/explore?{query}").text).words)
    of_calls = [each for each in asked if re.search(r"(FROM|JOIN)\s+(calls|call_rows)\b", each)]
    assert any("calls_by_day" in each or "details_by_day" in each for each in asked)
    assert [each for each in of_calls if not re.search(r"NOT (calls\.)?rolled_up", each)] == []


def test_an_hour_that_clocks_show_twice_is_in_its_order(console):
    begins = datetime(2026, 10, 24, 23, tzinfo=UTC)
    console.record(*(call_row(started_at=begins + timedelta(hours=n)) for n in range(4)))
    words = Page(console.get("/explore?by=hour&month=2026-10&tz=Europe/Berlin").text).words
    hours = ["2026-10-25 01:00+0200", "2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 03:00+0100"]
    assert [word for word in words if word in hours] == [*hours, *hours]  # in the chart, and in the table


def test_figures_have_the_digits_of_every_report(console):
    console.record(*ROWS)
    words = Page(console.get("/explore?by=team&measure=energy&month=2026-11").text).words
    assert {"12 kJ", "4.1–37 kJ", "12.3 kJ", "12.0–12.7 kJ"} <= set(words)
