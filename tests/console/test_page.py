from __future__ import annotations

import html.parser
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import proxy.console
from proxy.console.over_time import LINES_DRAWN
from proxy.reasons import ENDINGS, REFUSALS
from tests.console.conftest import NOON, NOTHING_COUNTED, serve
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row

STATIC = Path(proxy.console.__file__).parent / "static"
MARKUP = "<script>hacked=1</script><img src=x onerror=hacked=1>\"'`{{}}&amp;"


class Page(html.parser.HTMLParser):
    """Which elements a page has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip():
            self.words.append(data.strip())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def test_an_empty_console_says_what_to_do(console):
    page = Page(console.get("/").text)
    assert 'client = OpenAI(base_url="http://127.0.0.1:8700/v1")' in "\n".join(page.words)
    assert "No calls yet." in page.words
    assert page.count("table") == 0


def test_the_page_shows_todays_sums_and_the_last_calls(console):
    console.record(
        call_row(cost_usd=Decimal("1.25")),
        call_row(team="ads", **UNPRICED),
        call_row(**UNESTIMATED),
        call_row(started_at=NOON - timedelta(days=1), cost_usd=Decimal(1000)),
    )
    page = Page(console.get("/").text)
    text = " ".join(page.words)
    assert "Today 2026-11-23 (UTC) Calls 3 " in text
    assert "Tokens 450 300 in, 150 out Dollars $1.2508 33 % without a price" in text
    assert "Compute ○ 120 TFLOP 33 % not estimated" in text
    assert "Energy ○ 800 J 0.20–3.2 kJ, 33 % not estimated" in text
    assert "CO₂e ○ 80 mg 20–320 mg, 33 % not estimated" in text
    assert "Water ○ 1.0 mL 33 % not estimated" in text
    assert sum(attributes.get("id", "").startswith("c-") for tag, attributes in page.elements if tag == "tr") == 4
    assert page.words.count("unknown") >= 4


def test_a_call_shows_outcome_source_tier_and_reason(console):
    console.record(
        call_row(tier="measured"),
        call_row(**UNMETERED | {"outcome": "error", "status": 429, "reason": "rate_limit_exceeded"}),
        call_row(outcome="aborted", usage_source="counted", status=None),
        call_row(**UNESTIMATED, estimate_reason="no facts for this model"),
    )
    page = Page(console.get("/").text)
    assert {"error 429", "aborted", "counted", "no facts for this model"} <= set(page.words)
    titles = {attributes.get("title") for _, attributes in page.elements}
    assert {"measured on the hardware", "the provider's own word: rate_limit_exceeded"} <= titles


def test_a_reason_is_read_as_a_sentence(console):
    console.record(
        call_row(**UNMETERED | {"outcome": "error", "reason": "upstream_closed"}),
        call_row(**UNMETERED | {"outcome": "rejected", "status": 400, "reason": "missing_model"}),
        call_row(**UNMETERED | {"reason": "usage.pending"}),
    )
    titles = {attributes.get("title") for _, attributes in Page(console.get("/").text).elements}
    assert titles >= {ENDINGS["upstream_closed"], REFUSALS["missing_model"], ENDINGS["usage.pending"]}


def test_todays_day_is_the_readers(console):
    console.record(call_row(started_at=NOON.replace(hour=23, minute=30) - timedelta(days=1)))
    assert "No calls yet." in console.get("/").text
    assert "2026-11-23 (Europe/Berlin)" in (berlin := console.get("/?tz=Europe/Berlin").text)
    assert "No calls yet." not in berlin
    refused = console.get("/?tz=<script>")
    assert (refused.status, refused.headers["content-type"]) == (400, "application/json")


def test_names_somebody_chose_stay_text(console):
    fields = ("team", "model", "model_requested", "provider", "reason", "estimate_reason")
    console.record(call_row(**dict.fromkeys(fields, MARKUP), outcome="error"))
    console.record(call_row(**UNESTIMATED, **dict.fromkeys(fields, MARKUP)))
    with console.events("/live?after=0") as events:
        drawn = next(event["data"] for event in events if event["event"] == "calls")
    for text in (console.get("/").text, drawn):
        page = Page(text)
        scripts = [each["src"] for tag, each in page.elements if tag == "script"]
        assert scripts == (["/static/vendor/uplot.js", "/static/console.js"] if text is not drawn else [])
        assert {attributes.get("src") for tag, attributes in page.elements if tag == "img"} <= {"/static/mark.svg"}
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert "hacked=1" in " ".join(page.words)


def test_figures_are_text_as_well(console):
    """Small dollars and small shares begin with a character that begins a tag."""
    console.record(call_row(cost_usd=Decimal("1E-9")), *(call_row(cost_usd=None) for _ in range(2)))
    console.record(*(call_row(cost_usd=Decimal("1E-12")) for _ in range(398)))
    text = console.get("/").text
    assert "&lt;$0.000001" in text
    assert "<1 % without a price" in Page(text).words
    assert not re.search(r"<(?![a-z/!])", text)
    with console.events("/live?after=0") as events:
        drawn = next(event["data"] for event in events if event["event"] == "calls")
    assert "&lt;$0.000001" in drawn
    assert not re.search(r"<(?![a-z/!])", drawn)


def test_a_long_name_is_cut_and_whole_in_its_title(console):
    console.record(call_row(team="t" * 500))
    page = Page(console.get("/").text)
    assert "t" * 64 + "…" in page.words
    assert "t" * 500 in {attributes.get("title") for _, attributes in page.elements}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({}, "Metering"),
        ({"lag_seconds": 90.0}, "Metering, but late · ledger 90 s behind"),
        ({"problem": "no <disk>"}, "Recording stands still; calls wait in the journal"),
        ({"leads": False}, "Standing by: another recorder works on this journal"),
        ({"streams_open": 1}, "Metering · 1 stream open"),
        ({"record_counts": {"lost": 2, "poison": 1}}, "Metering, but not all calls"),
        ({"record_counts": {"lost": 2, "poison": 1}}, "3 calls are missing from the ledger, or there without tokens"),
        ({"record_counts": {"lost": 1}}, "1 call is missing from the ledger, or there without tokens"),
        ({"problem": "no <disk>"}, "no <disk>"),
        ({"gate_problems": ["gate 1: no disk"]}, "The journal cannot be written; calls wait in memory"),
        ({"gate_problems": ["gate 1: no disk"]}, "gate 1: no disk"),
        ({"record_counts": {"waiting": 2}}, "Metering · 2 calls wait"),
        ({"notice": "the ledger was deleted"}, "the ledger was deleted"),
    ],
)
def test_the_health_line(console, state, says):
    for name, value in (state | {"record_counts": NOTHING_COUNTED | state.get("record_counts", {})}).items():
        setattr(console.recorder, name, value)
    assert says in Page(console.get("/").text).words


def test_a_ledger_that_is_away_takes_the_sums_and_nothing_else(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", migrated=False) as console:
        console.recent.add([call_row(team="kept")])
        page = Page(console.get("/").text)
        assert "The ledger cannot be read at the moment; calls are kept and will be there." in page.words
        assert "kept" in page.words
        assert console.get("/metrics").status == 200


def test_calls_of_an_earlier_process_are_there(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    with serve(url, now=lambda: NOON) as console:
        console.record(call_row(team="before"))
    with serve(url, now=lambda: NOON) as console:
        console.record(call_row(team="after"))
        words = Page(console.get("/").text).words
        last = words[words.index("Last calls") :]
        assert last.index("after") < last.index("before")


def test_the_page_asks_for_nothing_outside_and_runs_nothing_inline(console):
    console.record(call_row())
    reply = console.get("/")
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    page = Page(reply.text)
    for tag, attributes in page.elements:
        assert "style" not in attributes
        for name in ("src", "href"):
            assert (attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)
    for file in [file for file in STATIC.iterdir() if file.is_file()]:  # what is of others: test_vendored.py
        assert not re.findall(r"(?:https?:)?//[\w.]+\.\w+/(?!2000/svg)", file.read_text()), file


def test_static_files_are_served_as_what_they_are(console):
    types = {path: console.get(f"/static/{path}").headers["content-type"] for path in ("console.css", "console.js")}
    assert types["console.css"].startswith("text/css")
    assert types["console.js"].startswith("text/javascript")
    assert console.get("/static/../app.py").status == 404
    assert console.get("/static/%2e%2e/app.py").status == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(scheme):
    """WCAG 2.2 AA: 4.5 to 1 for text, on every ground it stands on, and 3 to 1 for what is drawn."""
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "console.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[scheme == "dark"]))
    for text in ("ink", "soft", "accent", "warn", "bad"):
        for ground in ("paper", "card", "fresh"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (scheme, text, ground)
    for line in ("accent", "ink", "edge", *(f"line-{number}" for number in range(LINES_DRAWN))):
        assert contrast(colours[line], colours["paper"]) >= 3, (scheme, line)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
