"""One rule of digits: what people read of one sum is the same in every form, what programs read is not rounded."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime

import pytest

from proxy.reports import figures
from proxy.reports.making import NAMES
from proxy.reports.period import parse
from proxy.reports.report_page import as_html
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html as statement_page
from proxy.reports.table import as_csv, as_json, written
from tests.commands.typed import typed
from tests.console.test_page import Page
from tests.reports.asking import question
from tests.rows import call_row, insert

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
NOVEMBER = parse(month="2026-11", start=None, end=None, tz="UTC", now=NOW)
EXACT = ("grams_per_kwh",)  # a fact and its like, no estimate of this report's
ESTIMATES = [name for name in NAMES if name not in ("cost", "focus")]

# A factor of three, and a few per cent: 12,345 J in one call each.
ROWS = tuple(
    call_row(
        team=name,
        model=name,
        estimate_key=name,
        joules=12_345.0,
        joules_low=low,
        joules_high=high,
        joules_shared_down=12_345.0 - low,
        joules_shared_up=high - 12_345.0,
    )
    for name, low, high in (("wide", 4_115.0, 37_035.0), ("close", 12_000.0, 12_700.0))
)


@pytest.fixture
def filled(engine):
    insert(engine, *ROWS)
    return engine


def made(engine, name, **said):
    with engine.connect() as connection:
        return question(name, **said).ask(connection, NOVEMBER)


def test_a_table_and_a_page_round_each_row_to_its_band(filled):
    report = made(filled, "energy", by="team")
    cells = [written(report, place)[1] for place in range(len(report.columns))]
    table = {row[0]: row[-3:] for row in zip(*cells, strict=True)}
    assert table["wide"] == ("4.1", "12", "37")
    assert table["close"] == ("12.0", "12.3", "12.7")
    page = as_html(report, NOW)
    assert "wide: 12 kJ" in page
    assert "close: 12.3 kJ" in page
    assert {"4.1", "12", "37", "12.0", "12.3", "12.7"} <= set(Page(page).words)


def test_the_statement_says_the_same(filled):
    with filled.connect() as connection:
        for team, wh in (("wide", "3.4 Wh"), ("close", "3.43 Wh")):
            asked = statement(connection, NOVEMBER, team=team, known_teams=(), now=NOW)
            assert wh in Page(statement_page(asked)).words


def test_a_terminal_says_the_same(filled):
    url = filled.url.render_as_string(hide_password=False)
    printed = typed("report", "energy", "--by", "team", "--month", "2026-11", "--database", url).stdout
    lines = {line.split()[0]: line.split()[-4:] for line in printed.splitlines() if line.strip()}
    assert lines["wide"] == ["4.1", "○", "12", "37"]
    assert lines["close"] == ["12.0", "○", "12.3", "12.7"]


def test_programs_read_all_digits(filled):
    report = made(filled, "energy", by="team")
    read = {row["team"]: row for row in csv.DictReader(io.StringIO(as_csv(report), newline=""))}
    assert float(read["wide"]["joules"]) == 12_345.0
    assert b"12345.0" in as_json(report)


@pytest.mark.parametrize("name", ESTIMATES)
def test_no_estimate_has_more_digits_than_its_band_allows(filled, name):
    report = made(filled, name, **({"assume": ["2000+1000"], "per_day": 7} if name == "scale" else {}))
    quantities = [place for place, column in enumerate(report.columns) if column.kind == "quantity"]
    assert quantities
    for place in quantities:
        column = report.columns[place]
        assert bool(column.like) == (column.key not in EXACT), column.key
        if not column.like:
            continue
        for text, most in zip(written(report, place)[1], report.carried[column.like], strict=True):
            digits = len(re.sub(r"[^0-9]", "", text).lstrip("0"))
            whole = len(re.sub(r"[^0-9]", "", text.partition(".")[0]))
            assert text == figures.UNKNOWN or digits <= max(most, whole), (column.key, text)
            assert most in (figures.LEAST_DIGITS, figures.MOST_DIGITS)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_how_its_figures_are_made(filled, name):
    report = made(filled, name, **({"assume": ["2000+1000"], "per_day": 7} if name == "scale" else {}))
    page = Page(as_html(report, NOW))
    heads = [attributes for tag, attributes in page.elements if tag == "th"]
    for column, attributes in zip(report.columns, heads, strict=True):
        assert bool(attributes.get("title")) == bool(column.unit), column.key
    assert "Method" in page.words
    for text in {attributes["title"] for attributes in heads if attributes.get("title")}:
        assert text in page.words


@pytest.mark.parametrize("name", ["energy", "carbon", "water", "sci"])
def test_a_row_of_estimates_has_the_mark_of_its_evidence(engine, name):
    insert(engine, call_row(team="a"), call_row(team="b", tier="measured", estimate_key="house@us"))
    page = Page(as_html(made(engine, name, by="team"), NOW))
    marks = [attributes["title"] for tag, attributes in page.elements if attributes.get("class") == "tier"]
    assert sorted(marks[:2]) == ["measured on the hardware", "modelled for a model whose size is not public"]
    assert marks[2].startswith("50 % measured on the hardware, 50 % modelled")
    assert any(words.startswith("Estimates: ● measured or disclosed, ◐ ") for words in page.words)
    assert not Page(as_html(made(engine, "cost", by="team"), NOW)).words.count("●")


def test_a_statement_has_the_marks_too(filled):
    with filled.connect() as connection:
        page = Page(statement_page(statement(connection, NOVEMBER, team=None, known_teams=(), now=NOW)))
    marks = [attributes for tag, attributes in page.elements if attributes.get("class") == "tier"]
    assert len(marks) == 4 + 2 * 3  # energy, carbon twice and water; two figures of two models and of all
    assert {each["title"] for each in marks} == {"modelled for a model whose size is not public"}
