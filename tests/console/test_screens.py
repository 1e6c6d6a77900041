from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest

from proxy.console.frame import PLACES
from proxy.console.health import Status
from proxy.console.health_page import RECORDS, TO_DO
from proxy.directory import keys, teams
from proxy.reports.making import NAMES
from tests.console.conftest import NOON, NOTHING_COUNTED, serve
from tests.console.test_explore import links
from tests.console.test_page import MARKUP, Page
from tests.rows import UNESTIMATED, UNPRICED, call_row


def text(console, path: str) -> str:
    reply = console.get(path)
    assert reply.status == 200, reply.text
    return " ".join(Page(reply.text).words)


@pytest.mark.parametrize(("path", "name"), [place for place in PLACES if place[0] != "/calculator"])
def test_every_page_says_where_one_is(console, path, name):
    for _ in range(2):
        reply = console.get(path)
        page = Page(reply.text)
        assert [attributes.get("href") for tag, attributes in page.elements if "aria-current" in attributes] == [path]
        assert page.count("h1") == page.count("main") == 1
        assert ("a", {"class": "skip", "href": "#main"}) in page.elements
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        labels = [attributes for tag, attributes in page.elements if tag in ("input", "select")]
        assert page.count("label") == sum(each.get("type") != "hidden" for each in labels)
        console.record(call_row(**dict.fromkeys(("team", "model", "provider", "zone"), MARKUP), **UNESTIMATED_TOO))
        assert "hacked" not in "".join(name for _, each in page.elements for name in each)


UNESTIMATED_TOO = {name: value for name, value in UNESTIMATED.items() if name != "zone"}


@pytest.mark.parametrize(
    "path",
    [
        "/teams",
        "/facts?show=missing",
        "/reports?team=%3Cscript%3E&by=team&allocate=%22%3E%3Cscript%3E",
    ],
)
def test_names_stay_text(console, path):
    console.record(call_row(team=MARKUP, model=MARKUP, provider=MARKUP, **UNESTIMATED_TOO | {"cost_usd": None}))
    page = Page(console.get(path).text)
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert all((each.get("src") or "").startswith("/static/") for each in scripts)
    assert {attributes.get("src") for tag, attributes in page.elements if tag == "img"} == {"/static/mark.svg"}


def test_each_teams_month(console):
    for name in ("search", "quiet"):
        teams.add(console.engine, name, actor="test", at=NOON)
    for _ in range(2):
        made = keys.issue(console.engine, keys.Wanted(team="search"), known_providers=(), actor="test", at=NOON)
    keys.revoke(console.engine, made.key.id, actor="test", at=NOON)
    console.record(
        call_row(), call_row(**UNPRICED), call_row(team="other"), call_row(started_at=NOON - timedelta(days=40))
    )
    words = text(console, "/teams")
    assert "quiet 0 – – – – 0 open" in words
    assert "search 2 $0.000750 50 % unpriced ○ 800 J" in words
    assert "1 open other not in the directory 1" in words
    assert "search 1 $0.000750" in text(console, "/teams?month=2026-10")
    for each in links(Page(console.get("/teams").text))[1:]:
        assert console.get(each).status == 200, each


def test_no_team_yet(console):
    assert "joulegate teams add search" in text(console, "/teams")


def test_many_teams_come_page_by_page(console):
    for number in range(205):
        teams.add(console.engine, f"team-{number:03}", actor="test", at=NOON)
    console.record(call_row(team="team-204"))
    page = Page(console.get("/teams").text)
    assert "team-204" not in page.words
    (further,) = [unescape(each["href"]) for _, each in page.elements if each.get("rel") == "next"]
    assert "team-204 1 $" in text(console, further)


def reports_of(console, query: str) -> dict[str, str]:
    """Give the links of the page of reports by what they say."""
    page = Page(console.get(f"/reports?{query}").text)
    return {
        each["aria-label"]: unescape(each["href"])
        for tag, each in page.elements
        if tag == "a" and " as " in (each.get("aria-label") or "")
    }


def test_every_report_has_every_form_and_all_that_was_chosen(console):
    console.record(call_row(model="gpt-4o-2024-08-06"), call_row(team="ads"))
    made = reports_of(console, "team=search&grain=day&by=model&where=project%3D&month=2026-11")
    titles = {each.rpartition(" as ")[0] for each in made}
    assert {title.casefold() for title in titles} == {*NAMES, "statement"}
    assert {f"GHG as {form}" for form in ("Page", "PDF", "CSV", "JSON", "Parquet")} <= made.keys()
    assert [each for each in made if each.startswith("FOCUS")] == [
        f"FOCUS as {form}" for form in ("CSV", "JSON", "Parquet")
    ]
    for said, link in made.items():
        reply = console.get(link)
        if said.endswith("PDF") and reply.status == 400:  # where it is not installed
            assert "install joulegate[pdf]" in reply.text
            continue
        assert reply.status == 200, (said, link, reply.text)
    (row,) = json.loads(console.get(made["Cost as JSON"]).text)["rows"]
    assert (row["day"], row["model"], row["calls"]) == ("2026-11-23", "gpt-4o-2024-08-06", 1)
    assert "team+search" in made["Statement as Page"] or "team=search" in made["Statement as Page"]


def test_what_belongs_to_some_reports_alone_goes_to_these(console):
    console.record(call_row(model="gpt-4o"), call_row(team="ads"))
    made = reports_of(console, "assume=gpt-4o%3D2000%2B1000&per_day=7&grids=FRA,DEU&allocate=ads%3Dtokens&team=search")
    assert "Chargeback as CSV" in made
    assert [name for name, link in made.items() if "per_day" in link and name.endswith("JSON")] == ["Scale as JSON"]
    assert [name for name, link in made.items() if "grids=" in link and name.endswith("CSV")] == [
        "Grids as CSV",
        "Scale as CSV",
    ]
    for name in ("Models", "Grids", "Scale", "Chargeback", "Cost"):
        reply = console.get(made[f"{name} as JSON"])
        assert reply.status == 200, (name, reply.text)
    assert "France" in console.get(made["Grids as CSV"]).text
    kept = {each.get("name"): each.get("value") for _, each in Page(console.get("/reports?assume=a,b").text).elements}
    assert kept["assume"] == "a,b"


def test_what_cannot_be_shown_is_said_on_a_page_to_who_opened_it(console):
    for path, status, says, way_out in (
        ("/api/reports/cost?by=colour", 400, "Cannot split by 'colour'", "/reports"),
        ("/reports/statement?team=adz", 400, "No team 'adz'", "/reports"),
        ("/?tz=Nowhere", 400, "No time zone", "/"),
        ("/nowhere", 404, "no such page", "/"),
    ):
        reply = console.get(path, accept="text/html,application/xhtml+xml")
        page = Page(reply.text)
        assert (reply.status, page.count("h1")) == (status, 1)
        assert says in " ".join(page.words)
        assert way_out in links(page)
    assert console.get("/nowhere").headers["content-type"].startswith("text/plain")


def test_a_grain_that_is_none_is_said(console):
    reply = console.get("/reports?grain=nonsense")
    assert (reply.status, "choose from hour" in reply.text) == (400, True)


def test_health_in_sentences(console):
    assert set(TO_DO) == set(Status.__args__)
    assert set(RECORDS) == set(NOTHING_COUNTED)
    assert "Nothing to do." in text(console, "/health")
    console.recorder.gate_problems = [f"gate 1: no room {MARKUP}"]
    words = text(console, "/health")
    assert "gate 1: no room <script>" in words
    assert "Make room on the journal's disk" in words


def test_health_needs_no_ledger_and_the_rest_says_that_it_is_away(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", migrated=False) as console:
        assert console.get("/health").status == 200
        for path in ("/explore", "/teams", "/calls", "/calls/1"):
            reply = console.get(path)
            assert (reply.status, "cannot be read at the moment" in reply.text) == (503, True)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("q=gpt-4o-mini", "gpt-4o-mini openai"),
        ("q=llama-3.1-8b-instruct", "8.03\u00a0B 8.03\u00a0B ◐ open weights shape checked"),
        ("show=prices&q=openai+gpt-4o-mini", "gpt-4o-mini openai 0.15 0.075 0.6"),
        ("show=grids&q=france", "FRA"),
        ("show=sources&q=ember", "checked 20"),
        ("show=missing", "Nothing is missing"),
        ("q=nobody-knows-this", "Nothing of that name"),
    ],
)
def test_facts_are_found(console, query, says):
    assert says in text(console, f"/facts?{query}")


def test_sizes_are_written_without_exponents(console):
    words = text(console, "/facts?q=claude-1")
    assert "e+" not in words
    assert re.search(r"[\d.]+–\d,\d{3}\u00a0B", words)


def test_facts_come_page_by_page(console):
    seen, path = [], "/facts?show=grids"
    while path:
        page = Page(console.get(path).text)
        seen.append(sum(attributes.get("scope") == "row" for _, attributes in page.elements))
        path = next((unescape(each["href"]) for _, each in page.elements if each.get("rel") == "next"), "")
    assert sum(seen) > 200
    assert max(seen) == 100


def test_what_ones_own_traffic_lacks(console):
    console.record(call_row(), call_row(**UNPRICED), call_row(**UNPRICED | UNESTIMATED))
    words = text(console, "/facts?show=missing")
    assert "house-model openai 2 2 1 state its price in a price list of your own; add a model card" in words
    assert "gpt-4o" not in words.partition("What to do")[2]


def test_an_error_names_a_setting_by_its_letters_and_begins_like_a_sentence_else(console):
    wrong = {"/explore?measure=x": "measure='x': choose from", "/explore?tz=Nowhere": "No time zone 'Nowhere': use"}
    for path, says in wrong.items():
        reply = console.get(path, accept="text/html")
        assert reply.status == 400
        assert any(words.startswith(says) for words in Page(reply.text).words), path
    empty = console.get("/reports/statement?team=nobody", accept="text/html")
    assert any("No team 'nobody': no call of this period names any" in words for words in Page(empty.text).words)
