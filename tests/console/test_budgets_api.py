"""Budgets through the console's API: made, changed and taken out of use, each answer held against its description."""

from __future__ import annotations

import json

import httpx2
import jsonschema
import pytest

from proxy.console.access import Access
from proxy.directory import teams
from tests.budgets.test_spent import Machine, made
from tests.console.conftest import NOON, Running, serve
from tests.console.test_page import MARKUP

TOKEN = "t" * 40
MONTH = {"name": "b", "team": "search", "unit": "usd", "limit": 500, "window": "month"}
ONE = "/api/budgets/{name}"


def at(running: Running) -> str:
    return f"http://127.0.0.1:{running.port}"


class Asked:
    """A console that is asked with its token, and answers as it says it does."""

    def __init__(self, running: Running) -> None:
        self.running, self.engine = running, running.engine
        self.client = httpx2.Client(base_url=at(running), headers={"authorization": f"Bearer {TOKEN}"})

    def __call__(self, method: str, path: str, body: object = None, *, status: int, described: str | None = None):
        reply = self.client.request(method, path, json=body) if body is not None else self.client.request(method, path)
        assert reply.status_code == status, reply.text
        document = self.client.get("/api/openapi.json").json()
        answers = document["paths"][described or path][method.lower()]["responses"]
        schema = answers[str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(reply.json(), schema | {"components": document["components"]})
        return reply.json()


@pytest.fixture
def ask(ledger_url):
    with serve(ledger_url, now=lambda: NOON, access=Access({"bob": TOKEN.encode()})) as running:
        teams.add(running.engine, "search", actor="cli:ada", at=NOON)
        asked = Asked(running)
        with asked.client:
            yield asked


def test_a_budget_from_its_making_to_its_end(ask):
    made_one = ask("POST", "/api/budgets", MONTH | {"thresholds": [0.9]}, status=201)
    assert (made_one["limit"], made_one["mode"], made_one["managed_by"], made_one["file"]) == (
        "500",
        "soft",
        "api",
        None,
    )
    changed = ask("PATCH", "/api/budgets/b", {"limit": 0.5, "mode": "hard"}, status=200, described=ONE)
    assert (changed["limit"], changed["mode"], changed["thresholds"]) == ("0.5", "hard", [0.9])
    assert ask("GET", "/api/budgets", status=200)["budgets"] == [changed]
    assert ask("GET", "/api/budgets/b", status=200, described=ONE) == changed
    assert ask("DELETE", "/api/budgets/b", status=200, described=ONE) == {"removed": "b"}
    ask("GET", "/api/budgets/b", status=404, described=ONE)
    told = [(each["actor"], each["action"]) for each in ask("GET", "/api/changes", status=200)["changes"][:3]]
    assert told == [("token:bob", "remove"), ("token:bob", "change"), ("token:bob", "add")]


def test_what_cannot_be_is_answered_with_the_field(ask):
    ask("POST", "/api/budgets", MONTH, status=201)
    Machine(ask.engine, made("conf"), now=NOON, file="/etc/joulegate.toml on gate-1")
    for body, status, field in (
        (MONTH, 409, "name"), (MONTH | {"name": MARKUP}, 400, "name"),
        (MONTH | {"name": "n", "limit": 0}, 400, "limit"),
        (MONTH | {"name": "n", "limit": -5}, 400, "limit"), (MONTH | {"name": "n", "unit": "eur"}, 400, "unit"),
        (MONTH | {"name": "n", "window": "decade"}, 400, "window"), (MONTH | {"name": "n", "tz": "Mars"}, 400, "tz"),
        (MONTH | {"name": "n", "team": "<b>"}, 404, "team"), (MONTH | {"name": "n", "key": "k"}, 404, "key"),
        (MONTH | {"name": "n", "project": "<b>"}, 404, "project"), (MONTH | {"name": "n", "x": 1}, 400, "x"),
        ([], 400, "body"),
    ):  # fmt: skip
        assert ask("POST", "/api/budgets", body, status=status)["error"]["field"] == field, body
    assert ask("PATCH", "/api/budgets/b", {"team": "ads"}, status=400, described=ONE)["error"]["field"] == "team"
    assert ask("PATCH", "/api/budgets/none", {"limit": 1}, status=404, described=ONE)["error"]["field"] == "name"
    for method, body in (("PATCH", {"limit": 1}), ("DELETE", None)):
        said = ask(method, "/api/budgets/conf", body, status=409, described=ONE)["error"]["message"]
        assert "/etc/joulegate.toml on gate-1" in said
    ask("DELETE", "/api/budgets/%00", status=404, described=ONE)


def test_a_page_of_another_site_and_who_has_no_token_change_nothing(ask):
    ask("POST", "/api/budgets", MONTH, status=201)
    for method, path, body in (
        ("POST", "/api/budgets", MONTH | {"name": "n"}),
        ("PATCH", "/api/budgets/b", {"limit": 1}),
        ("DELETE", "/api/budgets/b", None),
    ):
        assert httpx2.request(method, at(ask.running) + path, json=body).status_code == 401
        headers = {
            "authorization": "Bearer wrong",
            "origin": "https://elsewhere.example",
            "sec-fetch-site": "cross-site",
        }
        assert httpx2.request(method, at(ask.running) + path, json=body, headers=headers).status_code == 401
    form = {"authorization": f"Bearer {TOKEN}", "content-type": "application/x-www-form-urlencoded"}
    sent = httpx2.post(f"{at(ask.running)}/api/budgets", content=json.dumps(MONTH | {"name": "n"}), headers=form)
    assert sent.status_code == 415
    assert [each["limit"] for each in ask("GET", "/api/budgets", status=200)["budgets"]] == ["500"]


def test_on_loopback_without_a_token_a_page_of_another_site_changes_nothing(ledger_url):
    with serve(ledger_url, now=lambda: NOON) as running:
        teams.add(running.engine, "search", actor="cli:ada", at=NOON)
        elsewhere = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
        assert httpx2.post(f"{at(running)}/api/budgets", json=MONTH, headers=elsewhere).status_code == 403
        assert httpx2.post(f"{at(running)}/api/budgets", json=MONTH).status_code == 201
        assert httpx2.request("DELETE", f"{at(running)}/api/budgets/b", headers=elsewhere).status_code == 403
        assert httpx2.request("DELETE", f"{at(running)}/api/budgets/b", json={}).status_code == 200


def test_where_no_time_zone_is_said_it_is_that_of_the_ledger(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, tz="Asia/Kolkata") as console:
        teams.add(console.engine, "search", actor="cli:ada", at=NOON)
        asked = Asked(console)
        with asked.client:
            assert asked("POST", "/api/budgets", MONTH, status=201)["tz"] == "Asia/Kolkata"
            own = MONTH | {"name": "own", "tz": "Europe/Berlin"}
            assert asked("POST", "/api/budgets", own, status=201)["tz"] == "Europe/Berlin"
            limited = asked("PATCH", "/api/budgets/own", {"limit": 3}, status=200, described=ONE)
            assert (limited["limit"], limited["tz"]) == ("3", "Europe/Berlin")
