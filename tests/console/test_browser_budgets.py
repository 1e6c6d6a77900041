"""Budgets made, changed and removed in a real browser: with keys alone, without scripts, wide and narrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from proxy.console.access import Access
from proxy.directory import budgets, log, teams
from proxy.ledger.budget_states import states
from tests.budgets.test_spent import Machine, made
from tests.console.browser import Browser, accessible, browser
from tests.console.conftest import NOON, Running, serve
from tests.console.test_browser_access import TOKEN, other_site, sign_in
from tests.console.test_page import MARKUP

pytestmark = pytest.mark.heavy

TEAM = "<img src=x onerror=hacked=1>\"'&amp"  # as MARKUP, without the `/` that no team has
ATTACK = """<!doctype html><title>attack</title>
<form id="add" method="post" action="{console}/budgets/add" target="frame">
<input name="name" value="theirs"><input name="team" value="search"><input name="unit" value="usd">
<input name="limit" value="1"><input name="window" value="day"></form>
<form id="remove" method="post" action="{console}/budgets/remove?name=b" target="frame"></form>
<iframe name="frame"></iframe>
<script>
document.getElementById("add").submit();
setTimeout(() => {{ document.getElementById("remove").submit(); setTimeout(() => window.done = true, 500); }}, 500);
</script>"""


@pytest.fixture
def closed(tmp_path) -> Iterator[Running]:
    access = Access({"bob": TOKEN.encode()})
    with serve(f"sqlite:///{tmp_path}/closed.db", now=lambda: NOON, access=access) as running:
        teams.add(running.engine, "search", actor="cli:ada", at=NOON)
        yield running


class Visit:
    """A browser at the console's pages."""

    def __init__(self, tab: Browser, console: Running) -> None:
        self.tab, self.url = tab, f"http://127.0.0.1:{console.port}"

    def go(self, path: str) -> None:
        self.tab.send("Page.navigate", url=f"{self.url}{path}")
        self.at(path)

    def at(self, path: str) -> None:
        self.tab.wait(f"document.readyState == 'complete' && location.href == {self.url + path!r}")

    def press(self, key: str, code: int, text: str = "") -> None:
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.tab.send("Input.dispatchKeyEvent", type="rawKeyDown", **told)
        if text:
            self.tab.send("Input.dispatchKeyEvent", type="char", text=text, **told)
        self.tab.send("Input.dispatchKeyEvent", type="keyUp", **told)

    def tabbed_to(self, name: str) -> None:
        """Go on with the tabulator until a field or a link has the focus, which is seen."""
        for _ in range(60):
            self.press("Tab", 9)
            focus = "document.activeElement"
            if self.tab.evaluate(f"[{focus}.name, {focus}.textContent.trim()].includes({name!r})"):
                assert self.tab.evaluate(f"getComputedStyle({focus}).outlineStyle") == "solid", name
                return
        raise AssertionError(f"the keyboard never comes to {name}")

    def typed(self, text: str) -> None:
        self.tab.evaluate("document.activeElement.select()")
        self.tab.send("Input.insertText", text=text)


def standing(console: Running) -> list[tuple[str, str, str]]:
    with console.engine.connect() as connection:
        return [(each.name, f"{each.limit}", each.mode) for each in states(connection, NOON)]


def test_a_budget_from_its_making_to_its_end_by_keys_alone(closed):
    with browser() as tab:
        sign_in(tab, closed)
        visit = Visit(tab, closed)
        visit.go("/budgets")
        visit.tabbed_to("Make a budget")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets/add")
        for field, text in (("name", "b"), ("team", "search"), ("limit", "500")):
            visit.tabbed_to(field)
            visit.typed(text)
        visit.tabbed_to("mode")
        visit.press("ArrowDown", 40)
        visit.tabbed_to("Make the budget")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets?added=b")
        assert standing(closed) == [("b", "500", "hard")]

        visit.tabbed_to("change")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets/change?name=b")
        visit.tabbed_to("limit")
        visit.typed("0.25")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets?changed=b")
        assert standing(closed) == [("b", "0.25", "hard")]

        visit.tabbed_to("remove")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets/remove?name=b")
        visit.tabbed_to("Remove the budget")
        visit.press("Enter", 13, "\r")
        visit.at("/budgets?removed=b")
        assert standing(closed) == []
        assert "out of use" in tab.evaluate("document.querySelector('[role=status]').textContent")
        assert tab.complaints == []
    with closed.engine.connect() as connection:
        told = [(each.actor, each.action) for each in log.page(connection, limit=3)[0]]
    assert told == [("token:bob", "remove"), ("token:bob", "change"), ("token:bob", "add")]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark"), (1280, "dark"), (360, "light")])
def test_pages_fit_and_are_accessible_whatever_names_say(console, axe, width, scheme):
    teams.add(console.engine, TEAM, actor="cli:ada", at=NOON)
    Machine(console.engine, made("conf"), now=NOON, file="/etc/joulegate/a-folder-deep-down/joulegate.toml on gate-1")
    asked = {"name": "b", "user": MARKUP[:64], "team": TEAM, "unit": "kwh", "limit": 1, "window": "day"}
    budgets.add(console.engine, budgets.wanted(asked), actor="cli:ada", at=NOON)
    with browser() as tab:
        tab.look(width=width, scheme=scheme)
        visit = Visit(tab, console)

        def seen(path: str) -> None:
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert accessible(tab, axe) > 20, path
            assert tab.evaluate("typeof hacked") == "undefined", path

        for path in ("/budgets?added=b", "/budgets/add", "/budgets/change?name=b", "/budgets/remove?name=b"):
            visit.go(path)
            seen(path)
        assert tab.complaints == []
        visit.go("/budgets/add")
        for field in ("name", "team", "project", "user", "key", "limit", "window", "tz", "thresholds"):
            tab.evaluate(f"document.getElementById({field!r}).value = {MARKUP!r}")
        tab.evaluate("document.querySelector('form.edit button').click()")
        tab.wait("document.querySelector('[role=alert]') != null && document.readyState == 'complete'")
        seen("wrong")
        assert tab.evaluate("document.getElementById('team').value") == MARKUP
        tab.evaluate("document.querySelector('[role=alert] a').click()")
        tab.wait("document.querySelector('[aria-invalid]').id == location.hash.slice(1)")
        visit.go("/budgets/change?name=conf")
        seen("of a file")


def test_without_scripts_a_budget_is_made_too(closed):
    with browser() as tab:
        tab.send("Emulation.setScriptExecutionDisabled", value=True)
        sign_in(tab, closed)
        visit = Visit(tab, closed)
        visit.go("/budgets/add?name=b&team=search&limit=5")
        tab.evaluate("document.querySelector('form.edit button').click()")
        visit.at("/budgets?added=b")
    assert standing(closed) == [("b", "5", "soft")]


def test_a_page_of_another_origin_changes_no_budget(closed, console):
    teams.add(console.engine, "search", actor="cli:ada", at=NOON)
    asked = {"name": "b", "team": "search", "unit": "usd", "limit": 1, "window": "day"}
    for target in (closed, console):  # with a session, and on loopback without a token
        budgets.add(target.engine, budgets.wanted(asked), actor="cli:ada", at=NOON)
        with contextlib.ExitStack() as stack:
            attack = stack.enter_context(other_site(ATTACK.format(console=f"http://127.0.0.1:{target.port}")))
            tab = stack.enter_context(browser())
            if target is closed:
                sign_in(tab, closed)
            tab.send("Page.navigate", url=attack)
            tab.wait("window.done == true")
        assert standing(target) == [("b", "1", "soft")]
