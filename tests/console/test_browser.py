from __future__ import annotations

import pytest

from tests.console.browser import browser
from tests.console.test_page import MARKUP
from tests.rows import call_row

pytestmark = pytest.mark.heavy


def test_calls_appear_while_the_page_is_open(console):
    with browser() as tab:
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
        tab.wait("document.body.classList.contains('live')")
        assert tab.evaluate("document.querySelectorAll('table').length") == 0

        first = call_row(team="first-team")
        console.record(first)  # the page with its tables is drawn in place of the empty one
        tab.wait(f"document.getElementById('c-{first.id}') && document.body.classList.contains('live')")
        tab.wait("document.getElementById('today').textContent.includes('first-team')")

        rows = [call_row(team=MARKUP, model=MARKUP, provider=MARKUP) for _ in range(60)]
        console.record(*rows)
        tab.wait(f"document.querySelector('#calls tr').id == 'c-{rows[-1].id}'")
        tab.wait("document.querySelector('.headlines dd').textContent == '61'")
        assert tab.evaluate("document.querySelectorAll('#calls tr').length") == 50
        assert tab.evaluate("typeof hacked") == "undefined"

        console.recorder.problem = "no disk"
        tab.wait("document.getElementById('health').textContent.includes('stands still')")
        assert tab.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (420, "dark")])
def test_nothing_is_cut_off_and_nothing_complains(console, width, scheme):
    console.record(
        *(call_row(team=f"a-team-with-a-longer-name-{n}", model="a-model-with-a-long-name") for n in range(9))
    )
    with browser() as tab:
        tab.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
        tab.wait("document.body && document.body.classList.contains('live')")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 21, 19)"
        assert dark == (scheme == "dark")
        assert tab.complaints == []


def test_the_page_is_whole_without_javascript(console):
    row = call_row(team="still-there")
    console.record(row)
    with browser() as tab:
        tab.send("Emulation.setScriptExecutionDisabled", value=True)
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
        tab.wait(f"document.getElementById('c-{row.id}') && document.body.innerText.includes('still-there')")
        assert not tab.evaluate("document.body.classList.contains('live')")


@pytest.mark.parametrize("width", [1280, 420])
def test_a_statement_is_drawn_in_its_own_style_and_nothing_complains(console, width):
    console.record(*(call_row(team=MARKUP, model="a-model-with-a-long-name-of-some-day") for _ in range(3)))
    with browser() as tab:
        tab.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/reports/statement")
        tab.wait("document.querySelectorAll('svg.chart rect').length > 0")
        assert tab.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "26px"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.evaluate("typeof hacked") == "undefined"
        assert tab.complaints == []
