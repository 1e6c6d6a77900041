from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest

from proxy.ledger import finding
from proxy.ledger.finding import calls_like, one_call
from tests.console.conftest import NOON
from tests.console.test_page import Page
from tests.rows import UNESTIMATED, UNMETERED, call_row, insert


def test_calls_that_fit_page_by_page(console):
    rows = [call_row(team=("a", "b")[n % 2], started_at=NOON - timedelta(seconds=n)) for n in range(240)]
    console.record(*rows)
    seen, path = [], "/calls?where=team%3Da&month=2026-11"
    while path:
        page = Page(console.get(path).text)
        seen += [attributes["id"] for tag, attributes in page.elements if tag == "tr" and "id" in attributes]
        path = next((unescape(each["href"]) for tag, each in page.elements if each.get("rel") == "next"), None)
    assert seen == [f"c-{row.id}" for row in rows[::2]]


def test_a_place_that_is_none_is_said(console):
    assert "is no place in the list" in console.get("/calls?before=yesterday").text


def test_a_search_for_what_is_rare_ends_and_goes_on(engine, monkeypatch):
    monkeypatch.setattr(finding, "LOOKED_AT", 10)
    rows = [call_row(team="b", started_at=NOON - timedelta(seconds=n)) for n in range(25)]
    rare = call_row(team="a", started_at=NOON - timedelta(hours=1))
    insert(engine, *rows, rare)
    found, before, asked = [], None, 0
    with engine.connect() as connection:
        while asked == 0 or before is not None:
            answer = calls_like(connection, {"team": "a"}, before=before, limit=5)
            found, before, asked = [*found, *answer.calls], answer.after, asked + 1
            assert answer.tired == (before is not None)
    assert (found, asked) == ([rare], 3)


def test_one_call_is_read_as_it_was_written(engine):
    row = call_row()
    insert(engine, row)
    with engine.connect() as connection:
        found = one_call(connection, row.id)
        assert found is not None
        assert (found.row, list(found.lines), found.generation) == (row, [], None)
        assert one_call(connection, "none") is None


def test_a_call_shows_its_figures_its_chain_and_all_its_columns(console):
    row = call_row(tags={"feature": "answers"}, model="gpt-4o-2024-08-06", attributes={"sdk": "openai-python"})
    console.record(row)
    text = " ".join(Page(console.get(f"/calls/{row.id}").text).words)
    assert "ok, status 200" in text
    assert "modelled for a model whose size is not public" in text
    assert "carbon " in text
    assert "g/kWh" in text
    assert "The ledger's figures are of facts f1; today's are" in text
    assert "the ledger has 400 J" in text
    assert "feature=answers" in text
    assert "sdk=openai-python" in text
    assert "joules_high 1600 J" in text
    assert "Not known, or not there: project" in text
    assert "https://" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (UNMETERED | {"reason": "usage.pending"}, "without tokens there is no estimate"),
        (UNESTIMATED | {"model": "nobody-knows", "estimate_reason": "no facts"}, "Not known: no facts"),
        ({"summed_calls": 7}, "the sum of 7 calls"),
        ({"zone": "nowhere"}, "It cannot be made again: no electricity zone"),
    ],
)
def test_what_is_not_known_of_a_call_is_said(console, changes, says):
    row = call_row(**changes)
    console.record(row)
    assert says in " ".join(Page(console.get(f"/calls/{row.id}").text).words)


def test_no_such_call(console):
    reply = console.get("/calls/none")
    assert reply.status == 404
    assert "There is no such call." in reply.text
