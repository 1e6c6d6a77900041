"""Charts that can be pointed at, in a real browser, by hand and by keyboard: what they say is what the API answers."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.reports.figures import band, carried, quantity
from tests.console.browser import Browser, accessible, browser
from tests.console.conftest import NOON, Running
from tests.console.test_page import MARKUP
from tests.rows import UNESTIMATED, call_row

pytestmark = pytest.mark.heavy

DAY = timedelta(days=1)
BY_DAY = "/explore?by=day,team&measure=energy&from=2026-11-18&to=2026-11-23"
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36, "Enter": 13, "Escape": 27}
SHIFT = 8
READ = """JSON.stringify([document.querySelector('.pointed caption').textContent,
    Object.fromEntries([...document.querySelectorAll('.pointed tr')].map((row) =>
        [row.cells[0].innerText.trim(),
         [...row.cells].slice(1).filter((cell) => cell.className !== 'course').map((cell) => cell.textContent)]))])"""
# A copy, since the console says of who reads a drawing that it is slow.
COPY = """const canvas = document.querySelector('.plot canvas'), {width, height} = canvas;
    const copy = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);"""
INK = (
    "(() => {"
    + COPY
    + """const {data} = copy.getImageData(0, 0, width, height);
    let found = 0;
    const hex = getComputedStyle(document.documentElement).getPropertyValue('--%s').trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    for (let i = 0; i < data.length; i += 4)
        if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) found += 1;
    return found;
})()"""
)


@pytest.fixture
def filled(console: Running) -> Running:
    """Five days of four teams; one of a name that is markup, one of a day that was not estimated."""
    for day in range(5):
        for many, team in enumerate(("search", "ads", MARKUP, None), 1):
            unknown = UNESTIMATED if (team, day) == ("ads", 2) else {}
            console.record(
                *(call_row(team=team, started_at=NOON - day * DAY, **unknown) for _ in range(many * 3 + day * 2))
            )
    return console


def opened(tab: Browser, console: Running, path: str, *, width: int = 1280, scheme: str = "light") -> None:
    tab.look(width=width, scheme=scheme)
    tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}{path}")
    tab.wait("document.readyState == 'complete' && document.querySelector('.plot canvas') !== null")


def read(tab: Browser) -> tuple[str, dict[str, list[str]]]:
    time, lines = json.loads(tab.evaluate(READ))
    return time, lines


def press(tab: Browser, key: str, modifiers: int = 0) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key], modifiers=modifiers)


def place(tab: Browser, index: int, of: int) -> tuple[float, float]:
    """Give the middle of one of so many times on the screen."""
    left, top, width, height = json.loads(
        tab.evaluate(
            "(() => { const {left, top, width, height} = document.querySelector('.u-over').getBoundingClientRect();"
            " return JSON.stringify([left, top, width, height]) })()"
        )
    )
    return left + width * (index + 0.5) / of, top + height / 2


def move(tab: Browser, to: tuple[float, float], kind: str = "mouseMoved", held: bool = False) -> None:
    tab.send(
        "Input.dispatchMouseEvent",
        type=kind, x=to[0], y=to[1], clickCount=1, button="left" if held or kind != "mouseMoved" else "none",
        buttons=int(held),
    )  # fmt: skip


def answers(console: Running, query: str) -> dict[tuple[str, str | None], list[str]]:
    """Give energy and band by day and team, as the API's figures are written by the rule of digits."""
    found = {}
    for each in json.loads(console.get(f"/api/totals?{query}").text)["groups"]:
        low, mid, high = (each[f"joules{end}"] for end in ("_low", "", "_high"))
        digits = carried(low, mid, high)
        text = "not estimated" if mid is None else quantity(mid, "J", digits)
        said = [text, "" if mid is None else band(low, high, "J", digits)]
        found[each["by"]["day"], each["by"]["team"]] = said
    return found


def test_every_value_pointed_at_is_the_api_s(filled):
    asked = answers(filled, "by=day,team&from=2026-11-18&to=2026-11-23")
    with browser() as tab:
        opened(tab, filled, BY_DAY)
        seen = 0
        for index, day in enumerate(f"2026-11-{day}" for day in range(18, 24)):
            move(tab, place(tab, index, 6))
            tab.wait(f"document.querySelector('.pointed caption').textContent == '{day}'")
            _, lines = read(tab)
            for team in ("search", "ads", MARKUP, None):
                assert lines[team or "none"][:2] == asked.get((day, team), ["no calls", ""]), (day, team)
                seen += (day, team) in asked
            assert tab.evaluate("document.querySelector('.plot').getAttribute('aria-valuetext')").startswith(f"{day}: ")
        assert seen == len(asked) == 20
        assert lines["ads"] == ["2.4 kJ", "0.60–9.6 kJ", ""]
        move(tab, (5, 5))
        tab.wait("document.querySelector('.pointed caption').textContent == '2026-11-18 to 2026-11-23 (UTC)'")
        assert read(tab)[1]["ads"] == ["16 kJ", "4.0–64 kJ", "20 % not estimated"]
        assert tab.complaints == []


def test_a_legend_switches_lines_and_names_stay_text(filled, axe):
    with browser() as tab:
        opened(tab, filled, BY_DAY)
        assert tab.evaluate(
            "[...document.querySelectorAll('[aria-pressed]')].map((each) => each.ariaPressed).join()"
        ) == ("false,true,true,true,true")
        assert tab.evaluate(INK % "ink") == 0
        for number in range(4):
            assert tab.evaluate(INK % f"line-{number}") > 20
        tab.evaluate("document.querySelectorAll('[aria-pressed]')[1].click()")
        tab.wait(f"{INK % 'line-0'} == 0")
        tab.evaluate("document.querySelectorAll('[aria-pressed]')[0].click()")
        tab.wait(f"{INK % 'ink'} > 20")
        assert tab.evaluate("document.querySelector('[aria-pressed]').ariaPressed") == "true"
        tab.evaluate("document.querySelector('.pointed p button').click()")
        for number in range(4):
            tab.wait(f"{INK % f'line-{number}'} > 20")
        tab.evaluate("document.querySelector('.pointed p button').click()")
        assert tab.evaluate("document.querySelectorAll('[aria-pressed=true]').length") == 0
        assert MARKUP in read(tab)[1]
        assert tab.evaluate("document.querySelectorAll('main img, main figure script').length") == 0
        assert tab.evaluate("typeof hacked") == "undefined"
        assert accessible(tab, axe) > 20
        assert tab.complaints == []


def test_a_stretch_is_an_address_and_the_way_back_leads_back(filled):
    with browser() as tab:
        opened(tab, filled, BY_DAY)
        here = tab.evaluate("location.href")
        move(tab, place(tab, 1, 6))
        move(tab, place(tab, 1, 6), "mousePressed", held=True)
        move(tab, place(tab, 4, 6), held=True)
        move(tab, place(tab, 4, 6), "mouseReleased")
        tab.wait("location.search.includes('2026-11-22')")
        asked = parse_qs(urlsplit(tab.evaluate("location.href")).query)
        assert asked == {"by": ["day,team"], "measure": ["energy"], "from": ["2026-11-19"], "to": ["2026-11-22"]}
        tab.wait("document.querySelector('.pointed caption')?.textContent == '2026-11-19 to 2026-11-22 (UTC)'")
        tab.evaluate("history.back()")
        tab.wait(f"location.href == {here!r} && document.querySelector('.plot canvas') !== null")
        out = "[...document.querySelectorAll('h2 a')].find((each) => each.textContent.startsWith('zoom out'))"
        tab.evaluate(f"{out}.click()")
        tab.wait("location.search.includes('2026-11-30') && document.querySelector('.plot canvas') !== null")
        assert tab.complaints == []


def test_the_keyboard_does_what_a_hand_does(filled):
    with browser() as tab:
        opened(tab, filled, BY_DAY)
        tab.evaluate("document.querySelector('.plot').focus()")
        for key, time in (
            ("End", "23"),
            ("ArrowLeft", "22"),
            ("Home", "18"),
            ("ArrowLeft", "18"),
            ("ArrowRight", "19"),
        ):
            press(tab, key)
            assert read(tab)[0] == f"2026-11-{time}", key
        assert tab.evaluate("document.querySelector('.plot').getAttribute('aria-valuenow')") == "1"
        tab.send("Emulation.setDeviceMetricsOverride", width=500, height=700, deviceScaleFactor=1, mobile=False)
        tab.wait(
            "document.querySelector('.plot').clientWidth < 500 && document.querySelector('.u-wrap').clientWidth < 500"
        )
        assert read(tab)[0] == "2026-11-19"  # it stays where it is while the page is drawn anew
        press(tab, "ArrowRight", SHIFT)
        press(tab, "ArrowRight", SHIFT)
        assert tab.evaluate("document.querySelector('.u-select').clientWidth") > 0
        press(tab, "Escape")
        assert tab.evaluate("document.querySelector('.u-select').clientWidth") == 0
        press(tab, "Escape")
        assert read(tab)[0] == "2026-11-18 to 2026-11-23 (UTC)"
        assert tab.evaluate("document.activeElement.className") == "plot"
        press(tab, "Escape")
        assert tab.evaluate("document.activeElement.className") != "plot"
        tab.evaluate("document.querySelector('.plot').focus()")
        press(tab, "End")
        press(tab, "ArrowLeft", SHIFT)
        press(tab, "Enter")
        tab.wait("location.search.includes('by=hour')")  # of two days the hours
        asked = parse_qs(urlsplit(tab.evaluate("location.href")).query)
        assert (asked["from"], asked["to"]) == (["2026-11-22"], ["2026-11-23"])
        tab.wait("document.querySelector('.pointed caption')?.textContent == '2026-11-22 to 2026-11-23 (UTC)'")
        tab.evaluate("document.querySelector('.plot').focus()")
        press(tab, "Home")
        for _ in range(12):
            press(tab, "ArrowRight")
        press(tab, "ArrowRight", SHIFT)
        press(tab, "Enter")
        tab.wait(
            "document.querySelector('.pointed caption')?.textContent == '2026-11-22 12:00 to 2026-11-22 14:00 (UTC)'"
        )
        assert (
            read(tab)[1]["search"][:2]
            == answers(filled, "by=day,team&from=2026-11-22&to=2026-11-22")["2026-11-22", "search"]
        )
        assert tab.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_chart_is_drawn_in_the_page_s_colours_wherever_it_is(filled, axe, width, scheme):
    with browser() as tab:
        for path in ("/explore?by=day&measure=energy", BY_DAY, "/explore?by=hour,team&month=2026-11&measure=dollars"):
            opened(tab, filled, path, width=width, scheme=scheme)
            assert tab.evaluate(INK % ("accent" if path.startswith("/explore?by=day&") else "line-1")) > 20
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert tab.evaluate(
                "document.querySelector('.u-wrap').clientWidth <= document.querySelector('main').clientWidth"
            )
            assert accessible(tab, axe) > 20
            loaded = tab.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
            assert all(each.startswith(f"http://127.0.0.1:{filled.port}/static/") for each in loaded)
            assert {"uplot.js", "lit-html.js"} <= {each.rpartition("/")[2] for each in loaded}
        opened(tab, filled, "/explore?by=day&measure=energy", width=width, scheme=scheme)
        assert tab.evaluate(INK % "ink") > 20  # the whiskers
        other = "dark" if scheme == "light" else "light"
        tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": other}])
        tab.wait(f"{INK % 'accent'} > 20")
        assert tab.complaints == []


def test_one_line_alone_has_its_band(filled):
    with browser() as tab:
        opened(tab, filled, BY_DAY)
        # Halfway up, beside the points of the last day but one: nothing, or the band of the line that is left.
        above = f"""(() => {{ {COPY}
            const over = document.querySelector('.u-over'), box = width / canvas.clientWidth;
            const x = over.offsetLeft + over.clientWidth * 4.5 / 6 + 6, y = over.offsetTop + over.clientHeight / 2;
            return copy.getImageData(x * box, y * box, 1, 1).data[3] }})()"""
        assert tab.evaluate(above) in (0, 255)
        tab.evaluate("[...document.querySelectorAll('[aria-pressed=true]')].slice(1).forEach((each) => each.click())")
        tab.wait(f"0 < {above} && {above} < 255")
        assert tab.complaints == []


def test_what_goes_on_now_streams_into_a_chart(console, axe):
    shown = "document.getElementById('rates').hidden === false && document.querySelector('.plot canvas') !== null"
    console.record(call_row(team="early"))
    with browser() as tab:
        tab.look(width=1280, scheme="light")
        tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
        tab.wait("document.body.classList.contains('live')")
        teams = ("search", MARKUP, None)
        console.record(*(call_row(team=team, input_tokens=9_000, output_tokens=1_000) for team in teams))
        tab.wait(f"{shown} && document.querySelectorAll('[aria-pressed]').length == 4")
        assert tab.evaluate("getComputedStyle(document.querySelector('.pulse')).display") == "none"
        time, lines = read(tab)
        assert (time, set(lines)) == ("Last minute", {"All teams", "early", "search", MARKUP, "none"})
        assert lines["All teams"] == ["503 tokens/s", "4 calls"]
        courses = tab.evaluate(
            "[...document.querySelectorAll('.course polyline')].map((each) => each.getAttribute('points'))"
        )
        heights = [{point.partition(",")[2] for point in points.split()} for points in courses]
        assert len(heights) == 5
        assert all({"20.0", "2.0"} <= each for each in heights)  # from nothing to the most that each team had
        tab.evaluate("document.querySelector('.plot').focus()")
        press(tab, "End")
        tab.wait(
            "document.querySelector('.pointed td:not(.course)').textContent == 'no calls'"
        )  # 5 s later they are one step on
        assert read(tab)[0] == "5 s ago"
        for _ in range(10):  # further back step by step, while they go on
            press(tab, "ArrowLeft")
            if (said := read(tab)[1]["search"])[0] != "no calls":
                break
        assert said == ["2,000 tokens/s", "1 call"]
        tab.evaluate("[...document.querySelectorAll('[aria-pressed]')].find((each) => each.title === 'search').click()")
        console.record(call_row(team="late"))
        tab.wait("document.querySelectorAll('[aria-pressed]').length == 5")
        assert tab.evaluate("document.querySelectorAll('[aria-pressed=false]').length") == 1  # it is still off
        assert tab.evaluate("document.querySelectorAll('.uplot').length") == 1
        assert tab.evaluate("document.querySelectorAll('main img, main figure script').length") == 0
        assert tab.evaluate("typeof hacked") == "undefined"
        assert accessible(tab, axe) > 20
        loaded = tab.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
        assert all(each.startswith(f"http://127.0.0.1:{console.port}/") for each in loaded)
        assert tab.complaints == []


def test_a_value_with_none_beside_it_is_a_point(console):
    """Of the hours of a month there is no room for a point each."""
    unknown = [call_row(started_at=NOON - timedelta(hours=hours), **UNESTIMATED) for hours in range(27) if hours != 25]
    console.record(call_row(started_at=NOON - timedelta(hours=25)), *unknown)
    with browser() as tab:
        opened(tab, console, "/explore?by=hour,team&measure=energy&month=2026-11")
        tab.wait(f"{INK % 'line-0'} > 0")
        assert tab.complaints == []


def test_without_a_script_there_is_the_server_s_drawing(filled):
    with browser() as tab:
        tab.send("Emulation.setScriptExecutionDisabled", value=True)
        tab.send("Page.navigate", url=f"http://127.0.0.1:{filled.port}{BY_DAY}")
        tab.wait("document.querySelectorAll('figure svg.chart rect').length == 5")
        assert tab.evaluate("document.querySelector('.plot') === null")
