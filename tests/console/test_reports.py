from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

import pytest
import sqlalchemy as sa

from proxy.directory.teams import add
from proxy.ledger.tables import retention
from tests.console.conftest import NOON, serve
from tests.console.test_api import get
from tests.reports.test_statement import Page
from tests.rows import UNPRICED, call_row

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def filled(console):
    console.record(
        call_row(), call_row(team=EVIL, **UNPRICED), call_row(team="ads", started_at=NOON - timedelta(days=40))
    )
    return console


def test_reports_are_those_of_the_command(filled):
    found = get(filled, "/api/reports/cost", described="/api/reports/{name}")
    assert [(row["team"], row["calls"]) for row in found["rows"]] == [("search", 1), (EVIL, 1)]
    assert found["total"]["cost_usd"] == "0.00075"
    assert any("without a price" in note for note in found["notes"])
    assert found["metering"]["service"] == "ok, 0 s behind"
    filled.recorder.lag_seconds, filled.recorder.problem = 75.2, "the ledger is away"
    late = get(filled, "/api/reports/cost", described="/api/reports/{name}")
    assert late["notes"][-1] == "ledger: standing still: the ledger is away, 75 s behind"
    filled.recorder.lag_seconds, filled.recorder.problem = 0.0, None
    older = get(filled, "/api/reports/energy?by=team&month=2026-10", described="/api/reports/{name}")
    assert [row["team"] for row in older["rows"]] == ["ads"]
    reply = filled.get("/api/reports/cost?by=team&format=csv&month=2026-10")
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["content-disposition"] == 'attachment; filename="cost-2026-10-01-2026-10-31.csv"'
    assert reply.text.splitlines()[1].startswith("ads,1,")
    only = get(filled, "/api/reports/cost?where=team=search&where=project=", described="/api/reports/{name}")
    assert (only["where"], only["total"]["calls"]) == ({"team": "search", "project": None}, 1)


def test_calls_are_read_where_that_is_asked_for(filled):
    for path, sums in (
        ("/api/reports/cost?by=user&tz=Asia/Kolkata&", 2),
        ("/api/totals?by=user&month=2026-11&tz=Asia/Kolkata&", 2),
        ("/reports/statement?from=2026-11-02T07:17&", None),
    ):
        refused = filled.get(path)
        assert refused.status == 400
        assert "from_calls=true" in refused.text, path
        assert filled.get(f"{path}from_calls=false").status == 400
        reply = filled.get(f"{path}from_calls=true")
        assert reply.status == 200, path
        assert sums is None or json.loads(reply.text)["total"]["calls"] == sums
        assert "write true or false" in filled.get(f"{path}from_calls=yes").text
        page = filled.get(path, accept="text/html").text  # on a page it is a link
        (query,) = re.findall(r'<a href="(\?[^"]+)">Have the calls read</a>', page)
        assert filled.get(path.partition("?")[0] + unescape(query), accept="text/html").text == reply.text
    with filled.engine.begin() as connection:
        connection.execute(sa.insert(retention).values(rows_from=NOON + timedelta(days=30), at=NOON))
    for path in ("/api/reports/cost?by=planet", "/api/reports/cost?by=user&tz=Asia/Kolkata"):
        sorry = filled.get(path, accept="text/html").text
        assert "Begin again" in sorry
        assert "Have the calls read" not in sorry  # there is no such question, or none of these calls any more


def test_estimates_say_what_they_rest_on_and_dollars_need_not(filled):
    filled.record(call_row(tier="measured", estimate_key="house@us", joules=1200.0))
    for name in ("energy", "carbon", "water", "sci"):
        notes = get(filled, f"/api/reports/{name}", described="/api/reports/{name}")["notes"]
        assert (
            "evidence, by energy: 60 % measured on the hardware, 40 % modelled for a model whose size is not public"
            in notes
        )
    assert not any(
        "evidence" in each for each in get(filled, "/api/reports/cost", described="/api/reports/{name}")["notes"]
    )


def test_a_report_as_a_page_draws_itself_and_does_nothing_else(filled):
    reply = filled.get("/api/reports/energy?by=team&format=html")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert EVIL in Page(reply.text).texts


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/reports/profit", "no report 'profit': there are cost, energy,"),
        ("/api/reports/cost?by=colour", "cannot split by 'colour'"),
        ("/api/reports/cost?team=ads", "there is no 'team' to ask for: choose from by, where,"),
        ("/reports/statement?where=team=ads", "there is no 'where' to ask for: choose from team,"),
        (f"/api/reports/scale?assume=gpt-4o=2+1&per_day={'9' * 5000}", "give a whole number up to 1,000,000,000,000"),
        ("/api/reports/scale?assume=gpt-4o=2+1&per_day=%C2%B2", "give a whole number up to"),
        ("/api/reports/statement", "and the page /reports/statement"),
        ("/api/reports/cost?by=team&by=model", "by is said twice, 'team' and 'model': say it once"),
        ("/reports/statement?month=2026-11&month=2026-10", "month is said twice, '2026-11' and '2026-10'"),
        ("/api/reports/focus?format=html", "format='html': choose from json, csv, parquet"),
        ("/api/reports/cost?format=doc", "format='doc': choose from json, csv, parquet, html, pdf"),
        ("/reports/statement?format=csv", "format='csv': choose from html, pdf"),
        ("/api/reports/cost?where=colour=red", "cannot look only at 'colour=red': write NAME=VALUE"),
        ("/api/reports/cost?where=day=2026-11-23", "NAME one of team, project"),
        ("/api/reports/cost?where=team", "write NAME=VALUE"),
        ("/api/reports/cost?where=team=a&where=team=b", "no call has two values of team: 'a' and 'b'"),
        ("/api/reports/cost?where=team=a&allocate=ads=tokens", "leave out --where team="),
        ("/api/reports/energy?allocate=ads=tokens", "--allocate spreads dollars"),
        ("/reports/statement?team=adz", "no team 'adz': of this period there are"),
        ("/reports/statement?month=november", "'november' is not a month"),
    ],
)
def test_a_wrong_question_is_answered_with_what_to_do(filled, path, says):
    reply = filled.get(path)
    assert (reply.status, says in json.loads(reply.text)["error"]["message"]) == (400, True), reply.text


def test_a_statement_is_a_page_that_draws_itself_and_does_nothing_else(filled):
    reply = filled.get("/reports/statement")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "All teams" in Page(reply.text).texts
    of_one = Page(filled.get("/reports/statement?team=%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E").text)
    assert EVIL in of_one.texts
    assert "img" not in of_one.tags


def test_a_team_of_the_directory_without_calls_has_one_too(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db") as console:
        add(console.engine, "idle", actor="cli:ada", at=NOON)
        assert "There were no calls in this period." in Page(console.get("/reports/statement?team=idle").text).texts


@pytest.mark.heavy
def test_reports_and_statements_on_paper_and_as_parquet(filled):
    for path in ("/api/reports/energy?by=day&format=pdf", "/reports/statement?format=pdf"):
        reply = filled.get(path)
        assert (reply.status, reply.headers["content-type"], reply.text[:5]) == (200, "application/pdf", "%PDF-")
        assert reply.headers["content-disposition"].endswith('.pdf"')
    table = filled.get("/api/reports/cost?format=parquet")
    assert (table.status, table.text[:4]) == (200, "PAR1")
