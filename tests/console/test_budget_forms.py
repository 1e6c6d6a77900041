"""Budgets made, changed and removed by the forms of a page, over HTTP, as a browser without scripts does it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote, urlencode

import httpx2
import pytest

from proxy.console.access import Access
from proxy.directory import budgets, log, teams
from proxy.ledger.budget_states import BudgetShown, states
from tests.budgets.test_spent import Machine, made
from tests.console.conftest import NOON, Running, serve
from tests.console.test_page import MARKUP, Page
from tests.rows import call_row

TOKEN = "t" * 40
NEW = {
    "name": "b", "team": "search", "project": "", "user": "", "key": "", "limit": "500", "unit": "usd",
    "window": "month", "tz": "Europe/Berlin", "mode": "hard", "thresholds": "50, 80 %, 100",
}  # fmt: skip
FILE = "/etc/joulegate.toml on gate-1"


class Visitor:
    """A browser that is signed in: it has the cookie, and sends forms with what they had hidden in them."""

    def __init__(self, running: Running) -> None:
        self.running, self.engine = running, running.engine
        base = f"http://127.0.0.1:{running.port}"
        self.headers = {"origin": base, "sec-fetch-site": "same-origin", "accept": "text/html"}
        self.client = httpx2.Client(base_url=base, headers=self.headers)
        self.client.post("/login", data={"token": TOKEN, "next": "/"})

    def close(self) -> None:
        self.client.close()

    def see(self, path: str, *, status: int = 200) -> Page:
        reply = self.client.get(path)
        assert reply.status_code == status, reply.text
        return Page(reply.text)

    def send(self, path: str, fields: dict[str, str], *, status: int = 303) -> httpx2.Response:
        """Send a form as its page has it, with these fields in it."""
        hidden = re.search(r'name="form" value="([^"]+)"', self.client.get(path).text)
        assert hidden is not None
        reply = self.client.post(path, data=fields | {"form": hidden[1]})
        assert reply.status_code == status, reply.text
        return reply

    def budgets(self) -> list[BudgetShown]:
        with self.engine.connect() as connection:
            return states(connection, NOON)

    def changes(self) -> list[tuple[str, str, str]]:
        with self.engine.connect() as connection:
            return [(each.actor, each.action, each.subject) for each in log.page(connection, limit=9)[0]]


@pytest.fixture
def visitor(ledger_url) -> Iterator[Visitor]:
    with serve(ledger_url, now=lambda: NOON, access=Access({"bob": TOKEN.encode()})) as running:
        teams.add(running.engine, "search", actor="cli:ada", at=NOON)
        with contextlib.closing(Visitor(running)) as made_one:
            yield made_one


def wrong(text: str, field: str) -> str:
    """Give the words that stand beside a field, to which the field itself refers."""
    (by,) = [each["aria-describedby"] for _, each in Page(text).elements if each.get("id") == field]
    assert f"{field}-wrong" in (by or "").split()
    (words,) = re.findall(rf'id="{field}-wrong">([^<]*)<', text)
    return unescape(words)


def value(page: Page, field: str) -> str | None:
    (found,) = [attributes for tag, attributes in page.elements if tag == "input" and attributes.get("name") == field]
    return found.get("value")


def test_a_budget_from_its_making_to_its_end(visitor):
    assert "/budgets/add" in {attributes.get("href") for _, attributes in visitor.see("/budgets").elements}
    assert visitor.send("/budgets/add", NEW).headers["location"] == "/budgets?added=b"
    (there,) = visitor.budgets()
    assert (there.team, there.unit, f"{there.limit}", there.window, there.tz) == (
        "search", "usd", "500", "month", "Europe/Berlin",
    )  # fmt: skip
    assert (there.mode, there.thresholds, there.managed_by) == ("hard", (0.5, 0.8, 1.0), "api")
    assert "Budget b is there" in " ".join(visitor.see("/budgets?added=b").words)

    change = "/budgets/change?name=b"
    page = visitor.see(change)
    assert [value(page, each) for each in ("limit", "window", "tz", "thresholds")] == [
        "500", "month", "Europe/Berlin", "50, 80, 100",
    ]  # fmt: skip
    as_it_was = {each: value(page, each) or "" for each in ("limit", "window", "tz", "thresholds")} | {"mode": "hard"}
    assert visitor.send(change, as_it_was).headers["location"] == "/budgets?changed=b"
    assert len(visitor.changes()) == 2  # nothing was another way
    visitor.send(change, as_it_was | {"limit": "0.25", "window": "7d", "mode": "soft", "thresholds": ""})
    (there,) = visitor.budgets()
    assert (f"{there.limit}", there.window, there.mode, there.thresholds) == ("0.25", "7d", "soft", ())

    remove = "/budgets/remove?name=b"
    assert "Remove budget b?" in visitor.see(remove).words
    assert visitor.send(remove, {}).headers["location"] == "/budgets?removed=b"
    assert visitor.budgets() == []
    assert "Budget b is out of use" in " ".join(visitor.see("/budgets?removed=b").words)
    assert visitor.changes() == [
        ("token:bob", "remove", "b"),
        ("token:bob", "change", "b"),
        ("token:bob", "add", "b"),
        ("cli:ada", "add", "search"),
    ]


WRONG = [
    ({"name": ""}, 400, "name", "the first of them a letter"),
    ({"name": "My Budget"}, 400, "name", "the first of them a letter"),
    ({"name": "taken"}, 409, "name", "there is a budget taken already"),
    ({"team": ""}, 400, "team", "Say whose calls"),
    ({"team": "serch"}, 404, "team", "no such team"),
    ({"team": "", "key": "nobody"}, 404, "key", "there is no key 'nobody'"),
    ({"project": "serch"}, 404, "project", "say below that it is yet to come"),
    ({"user": "u" * 65}, 400, "user", "1 to 64 printable characters"),
    ({"limit": ""}, 400, "limit", "give a number"),
    ({"limit": "5,000"}, 400, "limit", "give a number"),
    ({"limit": "nan"}, 400, "limit", "give a number"),
    ({"limit": "-5"}, 400, "limit", "greater than 0"),
    ({"limit": "1e13"}, 400, "limit", "give less than 1e+12"),
    ({"unit": "eur"}, 400, "unit", "choose from usd"),
    ({"window": "decade"}, 400, "window", "90m, 24h or 30d"),
    ({"window": ""}, 400, "window", "for how long?"),
    ({"unit": "concurrent_requests"}, 400, "window", "without a window"),
    ({"unit": "concurrent_requests", "window": "", "mode": "soft"}, 400, "mode", "choose to refuse calls"),
    ({"tz": "Mars"}, 400, "tz", "no IANA time zone"),
    ({"tz": ""}, 400, "tz", "no IANA time zone"),
    ({"thresholds": "half"}, 400, "thresholds", "per cents of the amount"),
    ({"thresholds": "0, 50"}, 400, "thresholds", "per cents of the amount"),
    ({"thresholds": "inf"}, 400, "thresholds", "per cents of the amount"),
]


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(visitor):
    taken = {"name": "taken", "team": "search", "unit": "usd", "limit": 1, "window": "day"}
    budgets.add(visitor.engine, budgets.wanted(taken), actor="cli:ada", at=NOON)
    for typed, status, field, words in WRONG:
        sent = NEW | typed
        text = visitor.send("/budgets/add", sent, status=status).text
        page = Page(text)
        assert words in wrong(text, field), typed
        texts = {each: text for each, text in sent.items() if each not in ("unit", "mode")}
        assert {each: value(page, each) for each in texts} == texts, typed
        chosen = [each["value"] for _, each in page.elements if {"selected", "checked"} & each.keys()]
        assert chosen == [each for each in (sent["unit"], sent["mode"]) if each != "eur"]
    assert [each.name for each in visitor.budgets()] == ["taken"]


def test_a_project_that_is_yet_to_come_is_said_to_be(visitor):
    visitor.send("/budgets/add", NEW | {"project": "to-come", "unseen": "yes"})
    assert visitor.budgets()[0].project == "to-come"
    page = Page(visitor.send("/budgets/add", NEW | {"unseen": "yes", "limit": "x"}, status=400).text)
    assert any(attributes.get("name") == "unseen" and "checked" in attributes for _, attributes in page.elements)


def test_requests_at_once_have_no_window(visitor):
    visitor.send("/budgets/add", NEW | {"unit": "concurrent_requests", "window": "", "limit": "20"})
    page = visitor.see("/budgets/change?name=b")
    assert {attributes.get("name") for _, attributes in page.elements} & {"window", "tz", "mode"} == set()
    visitor.send("/budgets/change?name=b", {"limit": "30", "thresholds": ""})
    (there,) = visitor.budgets()
    assert (f"{there.limit}", there.window, there.mode) == ("30", None, "hard")


def test_what_a_change_has_wrong_changes_nothing(visitor):
    visitor.send("/budgets/add", NEW)
    sent = {"limit": "0", "window": "month", "tz": "UTC", "mode": "hard", "thresholds": "80"}
    text = visitor.send("/budgets/change?name=b", sent, status=400).text
    assert "greater than 0" in wrong(text, "limit")
    assert value(Page(text), "limit") == "0"
    assert f"{visitor.budgets()[0].limit}" == "500"


def test_a_budget_of_a_file_is_said_to_be_and_is_not_changed_here(visitor):
    Machine(visitor.engine, made("conf"), now=NOON, file=FILE)
    page = visitor.see("/budgets")
    assert f"set in {FILE}" in page.words
    assert not [each for _, attributes in page.elements if "name=conf" in (each := attributes.get("href") or "")]
    for what in ("change", "remove"):
        assert FILE in " ".join(visitor.see(f"/budgets/{what}?name=conf", status=409).words)
        token = re.search(r'name="form" value="([^"]+)"', visitor.client.get("/budgets/add").text)
        sent = visitor.client.post(f"/budgets/{what}?name=conf", data={"limit": "1", "form": token[1]})
        assert sent.status_code == 409
    assert f"{visitor.budgets()[0].limit}" == f"{made('conf').limit / 10**12:g}"


@pytest.mark.parametrize("name", ["none", "", "%00", quote(MARKUP)])
def test_who_asks_for_what_is_not_there_is_told_which_there_are(visitor, name):
    visitor.send("/budgets/add", NEW)
    for what in ("change", "remove"):
        assert "those in use: b" in " ".join(visitor.see(f"/budgets/{what}?name={name}", status=404).words)


@pytest.mark.parametrize("path", ["/budgets/add", "/budgets/change?name=b", "/budgets/remove?name=b"])
def test_what_is_not_a_form_of_this_console_and_session_changes_nothing(visitor, path):
    visitor.send("/budgets/add", NEW)
    own = re.search(r'name="form" value="([^"]+)"', visitor.client.get(path).text)[1]
    fields = NEW | {"name": "n", "limit": "1"}
    for token in ("", own[:-1], "ä"):
        page = Page(visitor.client.post(path, data=fields | {"form": token}).text)
        assert "of another session" in " ".join(page.words)
    with contextlib.closing(Visitor(visitor.running)) as other:
        assert other.client.post(path, data=fields | {"form": own}).status_code == 403
    for headers in (
        {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        sent = visitor.client.post(path, data=fields | {"form": own}, headers=headers)
        assert sent.status_code == 403
    bare = httpx2.post(f"{visitor.client.base_url}{path}", data=fields | {"form": own})
    assert bare.status_code == 401
    long = visitor.client.post(path, data=fields | {"form": own, "user": "u" * 9000})
    many = visitor.client.post(path, content=urlencode([("form", own), *((f"f{n}", "") for n in range(40))]),
                               headers={"content-type": "application/x-www-form-urlencoded"})  # fmt: skip
    assert (long.status_code, many.status_code) == (403, 403)
    assert [(each.name, f"{each.limit}") for each in visitor.budgets()] == [("b", "500")]


def test_on_loopback_without_a_token_a_form_works_and_another_sites_does_not(console):
    teams.add(console.engine, "search", actor="cli:ada", at=NOON)
    base = f"http://127.0.0.1:{console.port}"
    token = re.search(r'name="form" value="([^"]+)"', console.get("/budgets/add").text)[1]
    fields = NEW | {"form": token}
    elsewhere = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    assert httpx2.post(f"{base}/budgets/add", data=fields, headers=elsewhere).status_code == 403
    assert httpx2.post(f"{base}/budgets/add", data=NEW).status_code == 403
    sent = httpx2.post(f"{base}/budgets/add", data=fields, headers={"origin": base, "sec-fetch-site": "same-origin"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/budgets?added=b")
    with console.engine.connect() as connection:
        assert log.page(connection, limit=1)[0][0].actor == "console"


def test_names_are_shown_as_text(visitor):
    budgets.add(visitor.engine, budgets.wanted({"name": "b", "user": MARKUP[:64], "unit": "usd", "limit": 1,
                                                "window": "day"}), actor="cli:ada", at=NOON)  # fmt: skip
    teams.add(visitor.engine, "<b>&\"'", actor="cli:ada", at=NOON)
    for path in ("/budgets", "/budgets/change?name=b", "/budgets/remove?name=b"):
        page = visitor.see(path)
        assert MARKUP[:64] in " ".join(page.words), path
        assert page.count("script") == 0
    offered = {attributes.get("value") for tag, attributes in visitor.see("/budgets/add").elements if tag == "option"}
    assert "<b>&\"'" in offered
    page = Page(visitor.send("/budgets/add", dict.fromkeys(NEW, MARKUP), status=400).text)
    assert value(page, "team") == MARKUP
    assert page.count("script") == 0
    said = visitor.see(f"/budgets?added={quote(MARKUP)}&removed={quote(MARKUP)}")
    assert "is there" not in " ".join(said.words)


def test_what_a_budget_has_used_is_said_before_it_is_changed(visitor):
    Machine(visitor.engine, made("other"), now=NOON).record(call_row(started_at=NOON))
    visitor.send("/budgets/add", NEW)
    assert "Used so far: 0.00075 USD" in " ".join(visitor.see("/budgets/change?name=b").words)


def test_while_the_ledger_is_away_what_was_typed_stays(tmp_path):
    with serve(f"sqlite:///{tmp_path}/nowhere/ledger.db", migrated=False, now=lambda: NOON) as running:
        page = running.get("/budgets/add")
        token = re.search(r'name="form" value="([^"]+)"', page.text)[1]
        kind = {"content_type": "application/x-www-form-urlencoded"}
        sent = running.post("/budgets/add", urlencode(NEW | {"form": token}), **kind)
    assert (page.status, sent.status) == (200, 503)
    assert "cannot be written at the moment" in sent.text
    assert value(Page(sent.text), "limit") == "500"


def test_the_days_that_are_proposed_are_those_of_the_console(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, tz="Asia/Kolkata") as running:
        page = Page(running.get("/budgets/add").text)
    assert value(page, "tz") == "Asia/Kolkata"


def test_a_page_fills_in_what_its_address_says(visitor):
    page = visitor.see("/budgets/add?team=search&unit=kwh&name=x")
    assert (value(page, "team"), value(page, "name"), value(page, "window")) == ("search", "x", "month")
