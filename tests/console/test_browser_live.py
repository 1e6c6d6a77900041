"""What a reader has in hand on the live page stays there while it is drawn anew."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from proxy.console.evidence import standing
from tests.console.browser import Browser, browser
from tests.console.conftest import Running
from tests.console.test_page import MARKUP
from tests.rows import UNESTIMATED, UNPRICED, call_row

pytestmark = pytest.mark.heavy

# Puts each drawing in the place of the one before, and gives those that did not come out as they were drawn.
RENEWED = """import("/static/renew.js").then(({ renew }) => {
    const part = document.createElement("section"), drawn = document.createElement("template");
    return JSON.stringify(%s.filter((drawing) => {
        renew(part, drawing);
        drawn.innerHTML = drawing;
        return part.innerHTML !== drawn.innerHTML || [...part.querySelectorAll("*")].some((each, i) =>
            each.namespaceURI !== drawn.content.querySelectorAll("*")[i].namespaceURI);
    }));
})"""
# Of what is drawn anew, the elements that were made for it; lines of calls are.
WATCHED = """(() => {
    globalThis.made = [];
    const told = ({ target, addedNodes }) =>
        target.id === "calls" || made.push(...[...addedNodes].map((each) => each.nodeName));
    new MutationObserver((changes) => changes.forEach(told)).observe(document.body, { subtree: true, childList: true });
})()"""


def opened(tab: Browser, console: Running, *, width: int = 1280) -> None:
    tab.look(width=width, scheme="light")
    tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
    tab.wait("document.readyState == 'complete' && document.body.classList.contains('live')")


def calls_said(tab: Browser, number: int) -> None:
    tab.wait(f"document.querySelector('.headlines dd').textContent == '{number}'")


def test_a_part_comes_out_as_it_was_drawn_whatever_it_was(console):
    tables = [
        f"<table><caption>{n}</caption><thead><tr><th scope='col'>a</th></tr></thead><tbody>"
        + "".join(f"<tr><td class='c{each}'>{each}</td>{'<td>more</td>' * (each % n)}</tr>" for each in range(n))
        + "</tbody></table>"
        for n in (1, 5, 3, 2)
    ]
    shapes = [
        standing({"measured": 1.0}),
        standing({"measured": 0.25, "closed_model": 0.75}),
        standing({"closed_model": 1.0}),
    ]
    words = [
        "",
        "only words",
        "<p>one</p>",
        "<p title='a'>one</p>two<!-- three --><b>four</b>",
        "<!-- 3 -->",
        "<b>four</b>",
    ]
    drawings = [*tables, *shapes, *words, "".join(tables), *reversed(shapes), *reversed(words), *reversed(tables)]
    with browser() as tab:
        opened(tab, console)
        assert json.loads(tab.evaluate(RENEWED % json.dumps(drawings), awaited=True)) == []
        assert tab.complaints == []


def test_what_a_reader_opened_stays_open(console):
    drawings = [f"<details class='{n}'><summary>why</summary>{n}</details>" for n in range(2)]
    with browser() as tab:
        opened(tab, console)
        found = tab.evaluate(
            f"""import("/static/renew.js").then(({{ renew }}) => {{
                const part = document.createElement("section");
                renew(part, {json.dumps(drawings[0])});
                part.firstChild.open = true;
                renew(part, {json.dumps(drawings[1])});
                return part.innerHTML;
            }})""",
            awaited=True,
        )
        assert found == '<details class="1" open=""><summary>why</summary>1</details>'


def test_focus_selection_and_place_outlast_a_redraw(console):
    console.record(*(call_row(team=f"a-team-with-a-longer-name-{n}", model=MARKUP) for n in range(3)))
    with browser() as tab:
        opened(tab, console, width=360)
        tab.evaluate("globalThis.region = document.querySelector('#today .scroll'); region.focus()")
        tab.evaluate("region.querySelector('table').setAttribute('width', 900)")  # as wide as it may be on any screen
        tab.evaluate("document.styleSheets[0].insertRule('.scroll { width: 200px }')")
        tab.evaluate("region.scrollLeft = 30")
        tab.evaluate("getSelection().selectAllChildren(region.querySelector('caption'))")
        tab.evaluate("globalThis.tip = region.querySelector('tbody [title]')")
        console.record(call_row(team="a-team-with-a-longer-name-0", cost_usd=Decimal(7)), call_row(**UNPRICED))
        calls_said(tab, 5)
        assert tab.evaluate("document.activeElement === region && region.isConnected")
        assert tab.evaluate("region.scrollLeft") == 30
        assert tab.evaluate("getSelection().toString()") == "By team"
        assert tab.evaluate("tip.isConnected && tip.title !== ''")
        assert tab.evaluate("typeof hacked") == "undefined"
        assert tab.complaints == []


def test_nothing_is_made_anew_that_did_not_change(console):
    console.record(call_row(team="search"), call_row(team="ads"))
    with browser() as tab:
        opened(tab, console)
        tab.wait("document.querySelector('.plot canvas') !== null")  # the first step is over
        tab.evaluate(WATCHED)
        for number in range(3, 6):
            console.record(call_row(team="search"), call_row(team="ads"))
            calls_said(tab, number * 2 - 2)
        assert set(json.loads(tab.evaluate("JSON.stringify(made)"))) <= {"#text"}
        console.record(call_row(team="late", **UNESTIMATED))
        calls_said(tab, 9)
        assert "TR" in json.loads(tab.evaluate("JSON.stringify(made)"))  # what is new is
        assert tab.complaints == []


def test_the_reason_of_a_call_stays_open_while_others_come(console):
    console.record(call_row(**UNESTIMATED, estimate_reason="no facts for this model"))
    with browser() as tab:
        opened(tab, console)
        tab.evaluate("globalThis.reason = document.querySelector('#calls details'); reason.firstChild.click()")
        tab.evaluate("reason.firstChild.focus()")
        console.record(*(call_row() for _ in range(20)))
        calls_said(tab, 21)
        assert tab.evaluate("document.querySelectorAll('#calls tr').length") == 21
        assert tab.evaluate("reason.isConnected && reason.open && document.activeElement === reason.firstChild")


def test_a_page_that_nobody_sees_is_sent_nothing_and_catches_up(console):
    console.record(call_row(team="search"))
    with browser() as tab:
        opened(tab, console)
        (page,) = [
            each["targetId"]
            for each in tab.send("Target.getTargets", to_tab=False)["targetInfos"]
            if each["type"] == "page"
        ]
        tab.send("Target.createTarget", to_tab=False, url="about:blank")  # before the other
        tab.wait("document.hidden && !document.body.classList.contains('live')")
        rows = [call_row(team="meanwhile") for _ in range(60)]
        console.record(*rows)
        time.sleep(3)  # longer than from one look of the stream to the next
        assert tab.evaluate("document.querySelectorAll('#calls tr').length") == 1
        assert tab.evaluate("document.querySelector('.headlines dd').textContent") == "1"
        tab.send("Target.activateTarget", to_tab=False, targetId=page)
        tab.wait("document.body.classList.contains('live')")
        calls_said(tab, 61)
        tab.wait(f"document.querySelector('#calls tr').id == 'c-{rows[-1].id}'")
        assert tab.evaluate("document.querySelectorAll('#calls tr').length") == 50
        assert tab.complaints == []


def test_new_lines_are_tinted_unless_all_would_be(console):
    console.record(call_row())
    with browser() as tab:
        opened(tab, console)
        for came, tinted in ((1, 1), (20, 1)):
            console.record(*(call_row() for _ in range(came)))
            tab.wait(f"document.querySelectorAll('#calls tr').length == {1 + came + (came > 1)}")
            assert tab.evaluate("document.querySelectorAll('#calls tr.new').length") == tinted
