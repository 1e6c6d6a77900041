"""In a real browser: the estimator's own figures, and a page that lives."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from datetime import timedelta
from decimal import Context, Decimal
from fnmatch import fnmatchcase
from itertools import cycle
from pathlib import Path

import pytest

from estimator import Intensity, Range
from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file
from proxy.calculator.own import Own
from proxy.calculator.tables import ATOMS, OWN_ATOMS
from proxy.calculator.words import banded, rounded, words
from tests.calculator import configured as configuration
from tests.calculator.chance import calls_at_random
from tests.console.browser import accessible, browser
from tests.console.conftest import NOON, serve
from tests.console.test_page import MARKUP
from tests.rows import call_row

pytestmark = pytest.mark.heavy

BEFORE_NOON = NOON - timedelta(minutes=1)
CALLS = 1_000
FIGURES = (
    *("flops", "gpu_joules", "it_joules", "joules", "grams_co2e", "embodied_grams_co2e", "market_grams_co2e"),
    "liters",
)
OFF_MOST = 1e-12  # relative; what a browser's logarithms and powers differ by from Python's
RECKONED = f"""JSON.stringify(%s.map((asked) => {{
    const made = estimator.reckon(asked);
    return {{
        figures: Object.fromEntries({json.dumps(FIGURES)}.map((name) => [name, made[name]])),
        cost: made.cost === null ? null : String(made.cost), price: made.price?.id ?? null, tier: made.tier,
        zone: made.zone, reasons: made.reasons, assumptions: made.assumptions, parts: made.parts,
    }};
}}))"""


@pytest.fixture
def page(tmp_path) -> Path:
    """The calculator as one file; a page of its own tests may change it."""
    return write(tmp_path / "calculator.html", Asked())


def write(path: Path, asked: Asked, own: Own | None = None) -> Path:
    path.write_text(one_file(asked, own))
    return path


def opened(tab, url: str) -> list[str]:
    """Open a page that must not ask anybody; what it asks all the same is noted."""
    tab.send("Page.navigate", url=url)
    tab.wait("document.readyState == 'complete' && document.getElementById('facts') !== null")
    tab.evaluate("globalThis.estimator = estimatorOf(JSON.parse(document.getElementById('facts').textContent))")
    return tab.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")


def configured(folder: Path, kind: str) -> Own | None:
    return None if kind == "plain" else configuration.own(folder, meters=kind == "with meters")


KINDS = pytest.mark.parametrize("kind", ["plain", "configured", "with meters"])


@KINDS
def test_a_thousand_calls_are_the_estimator_s_own_to_the_last_digits(tmp_path, kind):
    own = configured(tmp_path, kind)
    page = write(tmp_path / "calculator.html", Asked(), own)
    calls = calls_at_random(CALLS, own=own)
    decimals = ATOMS if own is None else OWN_ATOMS
    reckoned = []
    with browser() as tab:
        opened(tab, page.as_uri())
        for start in range(0, CALLS, 100):
            asked = json.dumps([asdict(each) for each in calls[start : start + 100]])
            reckoned += json.loads(tab.evaluate(RECKONED % asked))
    worst, met = 0.0, set()
    for call, found in zip(calls, reckoned, strict=True):
        made = call.estimate(own)
        met.add((made.tier, None if made.evidence is None else made.evidence.scope, made.flops is None))
        for name in FIGURES:
            ours, theirs = getattr(made, name), found["figures"][name]
            assert (ours is None) == (theirs is None), (call, name)
            for one, other in zip((ours.low, ours.mid, ours.high) if ours else (), theirs or (), strict=True):
                worst = max(worst, abs(one - other) / max(abs(one), 1e-300) if one != other else 0.0)
        cost = None if found["cost"] is None else Decimal(found["cost"]).scaleb(-decimals, context=Context(prec=60))
        assert (cost, found["price"]) == (made.cost_usd, made.price_id), call  # exact
        assert (found["tier"], found["zone"], found["reasons"]) == (made.tier, made.zone, made.reasons), call
        assert found["assumptions"] == list(made.assumptions), call
        assert [part["name"] for part in found["parts"]] == [part.name for part in made.flops_parts], call
        for part, ours in zip(found["parts"], made.flops_parts, strict=True):
            assert part["share"] == pytest.approx(ours.share, rel=1e-9, abs=1e-15), call
    assert worst < OFF_MOST
    if kind == "with meters":
        stated = {("measured", "it"), ("measured", "gpu"), ("disclosed", "facility"), ("disclosed", "it")}
        assert {each[:2] for each in met} >= stated
        assert {("unknown", None, False), ("closed_model", None, False), ("deployment", None, False)} <= met


@KINDS
def test_what_the_page_says_is_what_python_says(tmp_path, kind):
    own = configured(tmp_path, kind)
    page = write(tmp_path / "calculator.html", Asked(), own)
    calls = calls_at_random(60, seed=8, own=own)
    with browser() as tab:
        opened(tab, page.as_uri())
        asked = json.dumps([asdict(each) for each in calls])
        found = json.loads(tab.evaluate(f"JSON.stringify({asked}.map(wordsOf(estimator)))"))
    for call, theirs in zip(calls, found, strict=True):
        ours = words(call, own)
        assert theirs["texts"] == ours.texts, call
        assert theirs["lists"] == {name: list(each) for name, each in ours.lists.items()}, call
        for key, bar in ours.bars.items():
            assert theirs["bars"][key] == pytest.approx(bar, rel=1e-9, abs=1e-9), (call, key)


def test_the_rule_of_digits_is_python_s(page):
    draw = random.Random(11)
    powers, ties = [10.0**place for place in range(-9, 19)], [0.125, 2.5, 0.0625, 1.25, 12.5, 62.5, 105.0, 1250.0, 1e23]
    middles = [*powers, *ties, *(10 ** draw.uniform(-9, 18) for _ in range(2_000))]
    ratios = (0.0, 1e-6, 0.009, 0.01, 0.1, 0.5, 1.0, 9.0, 10.0)
    bands = [Range(mid, mid, mid) for mid in middles] + [
        Range(mid * (1 - min(ratio, 1.0)), mid, mid * (1 + ratio)) for mid in middles for ratio in ratios
    ]
    units = ("J", "g", "L", "FLOP")
    with browser() as tab:
        opened(tab, page.as_uri())
        asked = json.dumps([(each.low, each.mid, each.high) for each in bands])
        found = json.loads(
            tab.evaluate(
                f"{{const {{rounded, banded}} = wordsOf(estimator);"
                f"JSON.stringify({asked}.map((each, i) => {{const unit = {json.dumps(units)}[i % 4];"
                "return [rounded(each, unit), banded(each, unit)]}))}"
            )
        )
    ours = [[rounded(each, unit), banded(each, unit)] for each, unit in zip(bands, cycle(units), strict=False)]
    assert found == ours


def test_a_pattern_fits_what_it_fits_in_python(page):
    draw = random.Random(3)
    pieces = (
        "*",
        "?",
        "[",
        "]",
        "[!a]",
        "[a-c]",
        "[]x]",
        "[^a]",
        "[!]a]",
        "[z-a]",
        "[a-]",
        "a",
        "b-",
        ".",
        "(",
        "|",
        "$",
        "\\",
        "é",
        "🌊",
        "\n",
    )
    patterns = ["".join(draw.choices(pieces, k=draw.randrange(5))) for _ in range(1500)]
    texts = ["".join(draw.choices("ab-.(|$\\é🌊]x^\n!", k=draw.randrange(5))) for _ in patterns]
    texts = [draw.choice((text, pattern)) for text, pattern in zip(texts, patterns, strict=True)]
    asked = json.dumps(list(zip(patterns, texts, strict=True)))
    with browser() as tab:
        opened(tab, page.as_uri())
        found = tab.evaluate(f"{asked}.map(([pattern, text]) => estimator.fits(pattern, text))")
    for pattern, text, theirs in zip(patterns, texts, found, strict=True):
        assert theirs == fnmatchcase(text, pattern), (pattern, text)


def shown(tab, key: str) -> str:
    return tab.evaluate(f"document.querySelector('[data-text=\"{key}\"]').textContent")


def slide(tab, name: str, position: int) -> None:
    tab.evaluate(
        f"{{const slider = document.querySelector('[data-for={name}]'); slider.value = {position};"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))}"
    )


def test_sliders_move_figures_and_the_address_keeps_them(page):
    with browser() as tab:
        assert opened(tab, page.as_uri()) == []  # not one request
        before = {name: shown(tab, f"call.{name}") for name in ("joules", "grams_co2e", "liters", "cost_usd", "flops")}
        assert before["joules"] == words(Asked()).texts["call.joules"]
        for name, position in (("input", 900), ("cached", 500), ("output", 900), ("batch", 800), ("pue", 900)):
            slide(tab, name, position)
            tab.wait(f"document.querySelector('[data-text=\"call.joules\"]').textContent != '{before['joules']}'")
            before["joules"] = shown(tab, "call.joules")
        slide(tab, "calls", 300)
        tab.wait("location.hash.includes('calls=500')")
        after = {name: shown(tab, f"call.{name}") for name in before}
        assert all(after[name] != before[name] for name in before if name != "joules")
        address = tab.evaluate("location.href")
        assert "input=250000" in address
        tab.send("Page.navigate", url="about:blank")
        tab.wait("location.href == 'about:blank'")
        opened(tab, address)
        assert {name: shown(tab, f"call.{name}") for name in before} == after
        assert tab.complaints == []


def test_an_hour_of_a_grid_is_taken_when_somebody_takes_it(tmp_path):
    hour = Intensity(zone="GBR", grams_per_kwh=132.5, boundary="direct", start=NOON, end=NOON, source="grid")
    with (
        serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, hours=lambda at: [hour]) as running,
        browser() as tab,
    ):
        opened(tab, f"http://127.0.0.1:{running.port}/calculator?zone=FRA")
        before = shown(tab, "call.grams_co2e")
        tab.evaluate("document.querySelector('button[data-grams]').click()")
        tab.wait("location.search.includes('zone=GBR&grams=132.5')")
        said = words(Asked(zone="GBR", grams=132.5)).texts
        assert shown(tab, "call.grams_co2e") == said["call.grams_co2e"] != before
        assert shown(tab, "call.grams_co2e.band") == said["call.grams_co2e.band"]
        assert shown(tab, "how.per_kwh") == "133 g"
        assert tab.complaints == []


def test_what_cannot_be_is_said_and_changes_nothing(page):
    with browser() as tab:
        opened(tab, page.as_uri() + "#cached=5000")
        tab.wait("document.getElementById('status').textContent.includes('More tokens from a cache')")
        assert tab.evaluate("document.getElementById('status').classList.contains('said')")
        assert shown(tab, "call.joules") == words(Asked()).texts["call.joules"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")])
@pytest.mark.parametrize("kind", ["served", "file"])
def test_nothing_is_cut_off_complains_or_keeps_anybody_out(console, page, kind, width, scheme, axe):
    address = page.as_uri() + "#audit=1"
    if kind == "served":
        address = f"http://127.0.0.1:{console.port}/calculator?audit=1"
    with browser() as tab:
        tab.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        asked = opened(tab, address)
        assert all(each.startswith(f"http://127.0.0.1:{console.port}/") for each in asked)
        assert (len(asked) > 0) == (kind == "served")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.complaints == []
        assert accessible(tab, axe) > 20


def test_names_with_markup_are_text(console):
    console.record(
        *(call_row(model=MARKUP, model_requested=MARKUP, provider=MARKUP, started_at=BEFORE_NOON) for _ in range(2))
    )
    with browser() as tab:
        opened(tab, f"http://127.0.0.1:{console.port}/calculator")
        tab.wait("document.querySelectorAll('#traffic option').length == 2")
        tab.evaluate(
            "{const traffic = document.getElementById('traffic'); traffic.value = '0';"
            "traffic.dispatchEvent(new Event('change'))}"
        )
        tab.wait("document.querySelector('[data-text=\"call.joules\"]').textContent == 'unknown'")
        assert tab.evaluate("document.getElementById('input').value") == "100"
        assert tab.evaluate("typeof hacked") == "undefined"
        tab.wait("location.search.includes('hacked')")
        opened(tab, tab.evaluate("location.href"))
        assert tab.evaluate("typeof hacked") == "undefined"
        assert shown(tab, "call.joules") == "unknown"
        assert tab.complaints == []


def test_one_s_own_traffic_is_a_beginning(console):
    console.record(call_row(input_tokens=700, cached_input_tokens=200, output_tokens=90, started_at=BEFORE_NOON))
    with browser() as tab:
        opened(tab, f"http://127.0.0.1:{console.port}/calculator?model=claude-opus-4")
        tab.wait("document.querySelectorAll('#traffic option').length == 2")
        tab.evaluate(
            "{const traffic = document.getElementById('traffic'); traffic.value = '0';"
            "traffic.dispatchEvent(new Event('change'))}"
        )
        tab.wait("location.search.includes('model=gpt-4o&provider=openai&input=700&cached=200&output=90&calls=1')")
        asked = Asked(provider="openai", input=700, cached=200, output=90, calls=1)
        assert shown(tab, "call.joules") == words(asked).texts["call.joules"]


def test_the_page_is_whole_without_javascript(console):
    with browser() as tab:
        tab.send("Emulation.setScriptExecutionDisabled", value=True)
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/calculator?model=claude-opus-4&input=50")
        tab.wait("document.querySelector('[data-text=\"call.joules\"]') !== null")
        asked = Asked(model="claude-opus-4", input=50)
        assert shown(tab, "call.joules") == words(asked).texts["call.joules"]
        assert tab.evaluate("document.querySelector('.actions > button').checkVisibility()")
        assert not tab.evaluate("document.querySelector('input[type=range]').checkVisibility()")
        tab.evaluate(
            "document.getElementById('model').value = 'gpt-4o'; document.querySelector('.actions > button').click()"
        )
        tab.wait(
            "location.search.includes('model=gpt-4o') && document.readyState == 'complete'"
            " && document.getElementById('facts') !== null"
        )
        assert shown(tab, "call.joules") == words(Asked(input=50)).texts["call.joules"]
        assert tab.complaints == []
