from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from proxy.errors import JoulegateError
from proxy.ledger.write import Ledger
from proxy.reports import figures
from proxy.reports.charts import Bar, bars, step_for
from proxy.reports.period import QuestionError, parse
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html
from tests.commands.typed import typed
from tests.rows import UNMETERED, UNPRICED, call_row

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NOVEMBER = parse(month="2026-11", start=None, end=None, tz="UTC", now=NOW)
EVIL = "<script>alert('x')</script>"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page, strictly: what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not {"src", "href", "style"} & {name for name, _ in attributes}, "nothing is fetched"
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open and data.strip():
            self.texts.append(data.strip())


@pytest.fixture
def filled(engine):
    rows = [
        call_row(
            started_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=11 * number),
            team=("search", "ads")[number % 2],
            project=(None, EVIL, "index")[number % 3],
            tier=("closed_model", "open_model")[number % 2],
            cost_usd=Decimal(number + 1).scaleb(-3),
        )
        for number in range(50)
    ]
    rows.append(call_row(**UNPRICED | {"team": "search", "started_at": datetime(2026, 11, 3, tzinfo=UTC)}))
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    return engine


def made(engine, team, period=NOVEMBER, known_teams=()):
    with engine.connect() as connection:
        return statement(connection, period, team=team, known_teams=known_teams, now=NOW)


@pytest.mark.parametrize("team", ["search", None])
def test_every_part_of_a_statement_adds_up_to_its_total(filled, team):
    found = made(filled, team)
    assert found.total.calls == (26 if team else 51)
    for parts in (found.days, found.models, found.projects, found.tiers, found.grids):
        assert sum(each.calls for each in parts) == found.total.calls
        assert sum(each.cost_usd or 0 for each in parts) == found.total.cost_usd
        assert sum(each.grams_co2e or 0 for each in parts) == pytest.approx(found.total.grams_co2e)
        if parts is not found.days:
            assert sum(each.joules or 0 for each in parts) == pytest.approx(found.total.joules)
    assert [each.key[0] for each in found.days] == [f"2026-11-{day:02}" for day in range(1, 31)]
    assert found.total.cost_usd == sum(Decimal(n + 1).scaleb(-3) for n in range(0, 50, 2 if team else 1))
    assert found.metering.unpriced_calls == 1


def test_the_page_says_what_the_statement_does_and_a_name_is_text(filled):
    found = made(filled, "search")
    page = Page(as_html(found))
    assert "script" not in page.tags
    assert page.texts.count(EVIL) == 1
    consumed = "What its calls to language models consumed, 2026-11-01 to 2026-11-30 (UTC)"
    assert f"{consumed}, not over yet" in page.texts
    assert consumed in Page(as_html(replace(found, made_at=NOVEMBER.end))).texts
    total = found.total
    for said in (
        figures.dollars(total.cost_usd),
        figures.band(total.joules_low / 3600, total.joules_high / 3600, "Wh"),
        figures.quantity(total.grams_co2e, "g", 2),  # its band is of a factor
        figures.band(total.grams_co2e_low, total.grams_co2e_high, "g"),
        "1 of 26 calls have no price (house-model): the sums leave them out",
        "modelled for a model whose size is not public",
    ):
        assert said in page.texts, said
    assert page.tags.count("rect") == 2 * 30
    assert any("Our World in Data" in each for each in page.texts)
    assert "joulegate facts show" in page.texts  # where the sources of all other figures are


def test_the_page_says_of_what_its_sums_are(engine):
    rows = [
        call_row(cost_usd=Decimal("1.5"), project="a"),
        call_row(cost_usd=Decimal("0.25"), project="b", model="llama", provider="groq", market_grams_co2e=None),
        call_row(**UNMETERED, outcome="error", status=429),
    ]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    texts = Page(as_html(made(engine, None))).texts
    assert any(each.startswith("of 50 % of the location-based; embodied, beside either: ") for each in texts)
    absent = "33 % absent (1 call, such as refused ones: their tokens are in no sum)"
    assert f"token counts: 67 % reported by the provider, {absent}" in texts
    assert texts.count("$1.7500") == 3  # above, and under the models and the projects with the same digits


def test_a_team_without_calls_has_an_empty_statement_and_one_that_nobody_knows_is_an_error(filled):
    page = Page(as_html(made(filled, "idle", known_teams={"idle"})))
    assert "There were no calls in this period." in page.texts
    assert "x-joulegate-team" in page.texts  # what to do
    standing = replace(made(filled, "idle", known_teams={"idle"}).metering, service="standing still, 90 s behind")
    behind = Page(as_html(replace(made(filled, "idle", known_teams={"idle"}), metering=standing)))
    assert "How the ledger stands: standing still, 90 s behind." in behind.texts
    assert "x-joulegate-team" not in as_html(replace(made(filled, "idle", known_teams={"idle"}), team=None))
    with pytest.raises(QuestionError, match=r"no team 'serach': of this period there are ads, idle, search"):
        made(filled, "serach", known_teams={"idle"})


def test_a_day_of_nothing_known_is_a_gap_and_no_nought(engine):
    Ledger(engine).commit(
        [call_row(**UNPRICED | {"started_at": datetime(2026, 11, 3, tzinfo=UTC)})], journal="j", positions={}, at=NOW
    )
    page = as_html(made(engine, None))
    assert "? is a day with calls whose figure is unknown." in page
    dollars, grams = (
        page.partition(f"<h2>{title} by day</h2>")[2].partition("</svg>")[0] for title in ("Dollars", "CO₂e")
    )
    assert (dollars.count("<rect"), grams.count("<rect")) == (29, 30)
    assert (dollars.count(">?</text>"), grams.count(">?</text>")) == (1, 0)
    assert "2026-11-03: unknown" in dollars
    assert "2026-11-04: no calls" in dollars


@pytest.mark.parametrize(
    ("peak", "step"), [(0, 1), (0.37, 0.1), (1, 0.25), (4, 1), (1.6, 0.5), (999, 250), (1001, 500), (3e-7, 1e-7)]
)
def test_axes_count_in_round_numbers(peak, step):
    assert step_for(peak) == pytest.approx(step)
    drawn = bars("title", "unit", [Bar(label="d", value=peak, said="s")])
    heights = [float(each) for each in re.findall(r'<rect fill="#1f6f54" [^>]*height="([\d.]+)"', drawn)]
    assert all(0 <= each <= 178.1 for each in heights)


def test_the_command_writes_a_page(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = filled.url.render_as_string(hide_password=False)

    def run(*arguments: str):
        return typed("report", *arguments, "--month", "2026-11", "--database", url)

    shown = run("statement", "--team", "ads")
    assert shown.exit_code == 0, shown.output
    assert Page(shown.stdout).texts[1] == "ads"
    for arguments, says in (
        (("statement", "--format", "csv"), "give --format html or pdf"),
        (("focus", "--format", "pdf"), "focus is a file for programs"),
        (("cost", "--team", "ads"), "--where team=ads"),
        (("statement", "--by", "model"), "leave out --by"),
        (("statement", "--where", "team=ads"), "leave out --by, --where"),
        (("statement", "--team", "adz"), "no team 'adz'"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, JoulegateError), arguments  # printed, with exit status 2
        assert says in str(result.exception), arguments


@pytest.mark.heavy
def test_the_same_statement_on_paper(filled, tmp_path, monkeypatch):
    import pypdfium2  # brought by the heavy tests' own requirements, as WeasyPrint is

    monkeypatch.chdir(tmp_path)
    url = filled.url.render_as_string(hide_password=False)
    words = ["report", "statement", "--team", "search", "--month", "2026-11", "--database", url, "--format", "pdf"]
    result = typed(*words)
    assert result.exit_code == 0, result.output
    pages = list(pypdfium2.PdfDocument(result.stdout_bytes))
    text = "".join(page.get_textpage().get_text_bounded() for page in pages)
    total = made(filled, "search").total
    for said in (
        figures.dollars(total.cost_usd),
        figures.quantity(total.grams_co2e, "g", 2),
        EVIL,
        f"1 / {len(pages)}",
    ):
        assert said in text.replace("\r\n", " "), said
    for page in pages:  # nothing reaches the paper's edges
        picture = page.render(scale=1).to_pil().convert("L")
        width, height = picture.size
        assert (width, height) == (596, 842)  # A4
        for edge in ((0, 0, 36, height), (width - 36, 0, width, height), (0, 0, width, 36)):
            assert picture.crop(edge).getextrema() == (255, 255)
