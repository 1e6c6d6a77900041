from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta

import pytest

from proxy.ledger.write import Ledger
from proxy.reports.charts import Bar, lines
from proxy.reports.making import CONVERSATIONS, NAMES
from proxy.reports.pdf import as_pdf
from proxy.reports.period import parse
from proxy.reports.report_page import LINES_DRAWN, as_html
from proxy.reports.table import Report, written
from tests.commands.typed import typed
from tests.reports.asking import question
from tests.reports.test_statement import EVIL, Page
from tests.rows import UNPRICED, call_row

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
NOVEMBER = parse(month="2026-11", start=None, end=None, tz="Europe/Berlin", now=NOW)
BAR = re.compile(r'<rect fill="#1f6f54" [^>]*>')


@pytest.fixture
def filled(engine):
    draw = random.Random(7)
    rows = [
        call_row(
            started_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=9 * number),
            team=EVIL if number % 10 == 0 else draw.choice((None, *(f"team {each}" for each in range(20)))),
            **(UNPRICED if number == 11 else {}),
        )
        for number in range(70)
    ]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    return engine


def made(engine, name: str, by: str | None, *where: str) -> Report:
    with engine.connect() as connection:
        return question(name, by=by, where=where).ask(connection, NOVEMBER)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("focus", *CONVERSATIONS)])
@pytest.mark.parametrize("by", ["team", "day", "month", "provider,tier", ""])
def test_a_page_has_all_that_the_table_has(filled, name, by):
    report = made(filled, name, by)
    text = as_html(report, NOW)
    page = Page(text)
    for place in range(len(report.columns)):
        title, cells = written(report, place)
        for said in (title, *cells[: len(report.rows)], *report.notes):
            assert said in page.texts or said == "", said
    drawn = len(BAR.findall(text))
    assert drawn == (0 if len(report.rows) < 2 else len(report.rows) if by == "day" else min(12, len(report.rows)))


def test_what_a_page_draws_and_what_it_only_lists(filled):
    text = as_html(made(filled, "cost", "team"), NOW)
    rows = len(made(filled, "cost", "team").rows)
    assert rows > LINES_DRAWN
    assert f"Drawn are the first 12; {rows - 12} more stand in the table." in text
    assert "script" not in Page(text).tags
    alone = as_html(made(filled, "energy", "day", "provider=openai", "project="), NOW)
    assert "2026-11-01 to 2026-11-30 (Europe/Berlin), provider openai, no project, not over yet" in Page(alone).texts
    assert "not over yet" not in as_html(made(filled, "energy", "day"), NOVEMBER.end)
    assert "Energy by day" in alone
    empty = Page(as_html(made(filled, "water", "model", "team=nobody's"), NOW))
    assert any("no calls with team nobody's between" in text for text in empty.texts)
    assert "table" not in empty.tags


def test_bars_that_lie_stay_in_their_place():
    drawn = lines(
        "t", "g", [Bar(label="x" * 80, value=7.0, low=3.0, high=9.9, said="s"), Bar(label="", value=None, said="?")]
    )
    (bar,) = BAR.findall(drawn)
    assert float(re.search(r'width="([\d.]+)"', bar)[1]) == pytest.approx(504 * 0.7, abs=0.1)  # the axis ends at 10
    assert all(0 <= float(x) <= 760 for x in re.findall(r' x[12]?="([\d.]+)"', drawn))
    assert f">{'x' * 15}…{'x' * 15}</text>" in drawn
    assert drawn.count(">unknown</text>") == 1  # rather than nothing, which could be 0


def test_names_of_bars_fit_their_room():
    fits = {  # capitals are nearly twice as wide as small letters
        f"{'W' * 20}{'M' * 20}": f"{'W' * 9}…{'M' * 9}",
        "W" * 19: "W" * 19,
        "two\nlines": "two lines",
        "mistral-large-latest, mistral, United Kingdom": "mistral-large-…nited Kingdom",
    }
    drawn = lines("t", "g", [Bar(label=each, value=1.0, said="s") for each in fits])
    assert re.findall(r'text-anchor="end"[^>]*>([^<]+)<', drawn) == list(fits.values())


def test_a_day_whose_figure_is_unknown_is_marked_in_a_chart_over_time(engine):
    rows = [call_row(started_at=NOW), call_row(started_at=NOW - timedelta(days=1), **UNPRICED)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    dollars, energy = (as_html(made(engine, name, "day"), NOW) for name in ("cost", "energy"))
    assert (dollars.count(">?</text>"), energy.count(">?</text>")) == (1, 0)
    assert ("? is unknown." in dollars, "? is unknown." in energy) == (True, False)


def test_the_bars_of_a_page_are_told_apart(filled):
    text = as_html(made(filled, "grids", None), NOW)
    assert "<h2>CO2e by model, provider, grid</h2>" in text
    assert {"gpt-4o, openai, France", "gpt-4o, openai, World"} <= set(Page(text).texts)
    assert "<h2>SCI by team</h2>" in as_html(made(filled, "sci", "team"), NOW)


def test_the_command_writes_it(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = filled.url.render_as_string(hide_password=False)
    words = ["report", "cost", "--by", "team", "--where", "model=gpt-4o", "--month", "2026-11", "--database", url]
    result = typed(*words, "--format", "html")
    assert result.exit_code == 0, result.output
    assert EVIL in Page(result.stdout).texts
    assert "model gpt-4o" in typed(*words).stdout.splitlines()[1]


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["cost", "sci", "scale"])
def test_all_of_a_wide_table_is_on_the_paper(engine, name, caplog):
    import pypdfium2  # brought by the heavy tests' own requirements, as WeasyPrint is

    names = ("W" * 90, "x" * 300, "فريق البحث", "two\nlines", "search")
    rows = [call_row(started_at=NOW, team=each, project=each, user=f"user {each}", model=each) for each in names]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    report = made(engine, name, None if name == "scale" else "team,project,user,model")
    assert len(report.columns) >= 11
    pages = list(pypdfium2.PdfDocument(as_pdf(as_html(report, NOW))))
    text = "".join("".join(page.get_textpage().get_text_bounded() for page in pages).split())
    for place, column in enumerate(report.columns):
        title, cells = written(report, place)
        for said in (title, *(() if column.kind == "text" else cells[: len(report.rows)])):
            assert "".join(said.split()) in text, said
    for page in pages:
        picture = page.render(scale=1).to_pil().convert("L")
        width, height = picture.size
        assert (width, height) == (842, 596)  # A4, the long side across
        assert picture.crop((width - 36, 0, width, height)).getextrema() == (255, 255)  # nothing goes over the edge
    assert caplog.messages == []
