"""Each page in a real browser, in light and dark, wide and narrow, while calls come in."""

from __future__ import annotations

import gzip
import random
import re
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest

from proxy.console.frame import PLACES
from proxy.console.over_time import LINES_DRAWN
from tests.console.browser import accessible, browser
from tests.console.test_page import MARKUP
from tests.rows import UNESTIMATED, call_row

pytestmark = pytest.mark.heavy

MONTH = datetime(2026, 10, 1, tzinfo=UTC)
WEIGHT_MOST = 150_000  # bytes, all that a page loads, compressed
PATHS = [
    *(path for path, _ in PLACES if path != "/calculator"),  # which has tests of its own
    "/explore?by=day&measure=energy",
    "/explore?by=day,team&measure=energy",
    "/explore?by=team,model,zone&where=provider%3Dopenai",
    "/explore?by=nonsense",
    "/budgets/add",
    "/calls",
    "/calls?where=team%3Dnobody",
    "/calls/{id}",
    "/facts?show=prices&q=gpt",
    "/facts?show=missing",
]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_pages_under_live_traffic(console, axe, width, scheme):
    first = call_row(model="gpt-4o-2024-08-06", team="a-team-with-a-longer-name-than-most")
    console.record(first, call_row(team=MARKUP, model=MARKUP, provider=MARKUP), call_row(**UNESTIMATED))
    over = threading.Event()

    def traffic() -> None:
        while not over.wait(0.05):
            console.record(call_row(), call_row(team="ads", outcome="error", status=500))

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        with browser() as tab:
            tab.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            for path in PATHS:
                url = f"http://127.0.0.1:{console.port}{path.format(id=first.id)}"
                tab.send("Page.navigate", url=url)
                tab.wait(f"document.readyState == 'complete' && location.href == {url!r}")
                assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
                loaded = tab.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
                assert all(each.startswith(f"http://127.0.0.1:{console.port}/") for each in loaded), path
                assert accessible(tab, axe) > 20, path
                assert tab.evaluate("typeof hacked") == "undefined", path
                refused = [each for each in tab.complaints if "400 (Bad Request)" not in each]
                assert refused == [], path
    finally:
        over.set()
        sender.join(20)


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_light(console, path):
    rows = [call_row(team=f"team-{n}", model=f"model-{n}") for n in range(300)]
    console.record(*rows)
    assert weight(console, path.format(id=rows[0].id)) < WEIGHT_MOST


def test_the_heaviest_chart_is_light(console):
    """Each hour of a month, and as many teams as have a line, no two figures alike."""
    draw = random.Random(5)
    rows = []
    for hour in range(30 * 24):
        for team in range(LINES_DRAWN):
            low, mid, high = sorted(draw.uniform(1e2, 1e4) for _ in "123")
            shared = {"joules_shared_down": mid - low, "joules_shared_up": high - mid, "estimate_key": f"key-{team}"}
            band = {"joules_low": low, "joules": mid, "joules_high": high} | shared
            rows.append(call_row(team=f"team-{team}", started_at=MONTH + timedelta(hours=hour), **band))
    console.record(*rows)
    found = weight(console, "/explore?by=hour,team&measure=energy&month=2026-10")
    assert WEIGHT_MOST / 3 < found < WEIGHT_MOST


def weight(console, path: str) -> int:
    """Give the bytes of a page and all that it names and that this imports, compressed."""
    text = console.get(path).text
    waiting = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    loaded: dict[str, str] = {}
    while waiting:
        if (name := waiting.pop()) not in loaded:
            loaded[name] = console.get(name).text
            waiting += [urljoin(name, each) for each in re.findall(r'\bfrom "(\./[^"]+)"', loaded[name])]
    if "data-chart" in text:
        assert {"/static/chart.js", "/static/vendor/lit-html.js", "/static/vendor/uplot.js"} <= set(loaded)
    return sum(len(gzip.compress(each.encode())) for each in (text, *loaded.values()))


def test_the_keyboard_leads_past_the_navigation_and_shows_where_it_is(console):
    console.record(call_row())
    with browser() as tab:
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/explore")
        tab.wait("document.readyState == 'complete' && location.pathname == '/explore'")

        def press(key: str, code: int) -> None:
            for kind in ("rawKeyDown", "char", "keyUp"):
                told = {"type": kind, "key": key, "windowsVirtualKeyCode": code}
                if kind != "char" or key == "Enter":
                    tab.send("Input.dispatchKeyEvent", **told, **({"text": "\r"} if kind == "char" else {}))

        press("Tab", 9)
        assert tab.evaluate("document.activeElement.className") == "skip"
        assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        press("Enter", 13)
        tab.wait("document.activeElement.id == 'main'")
        press("Tab", 9)
        assert tab.evaluate("document.activeElement.name") == "measure"
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_report_is_made_while_the_page_says_so(console, tmp_path):
    console.record(call_row(), call_row(team="ads"))
    with browser() as tab:
        tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/reports?team=ads&month=2026-11")
        tab.wait("document.readyState == 'complete' && location.pathname == '/reports'")
        tab.evaluate("document.querySelector('a[aria-label=\"Cost as CSV\"]').click()")
        assert tab.evaluate("document.getElementById('making').textContent").startswith("Making Cost as CSV")
        tab.wait("document.getElementById('making').textContent == 'cost-2026-11-01-2026-11-30.csv: 1 kB'")
        kept = tmp_path / "cost-2026-11-01-2026-11-30.csv"
        for _ in range(100):
            if kept.exists() and kept.stat().st_size:
                break
            tab.evaluate("new Promise((done) => setTimeout(done, 50))", awaited=True)
        assert kept.read_text().splitlines()[1].startswith("ads,")
        assert tab.complaints == []

        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/reports?allocate=nonsense&team=ads")
        tab.wait("document.readyState == 'complete' && location.search.startsWith('?allocate')")
        tab.evaluate("document.querySelector('a[aria-label=\"Chargeback as CSV\"]').click()")
        tab.wait("document.getElementById('making').className == 'making bad'")
        assert "TEAM=" in tab.evaluate("document.getElementById('making').textContent")
        tab.evaluate("document.querySelector('a[aria-label=\"Statement as Page\"]').click()")
        tab.wait("location.pathname == '/reports/statement'")
