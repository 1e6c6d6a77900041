"""Budgets that come, change and go while a service carries calls: gates follow without a restart."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from proxy.cli import command_line
from tests.budgets.services import SETTLED_S, a_call, answers, asks, budget, call, config, rows, use_up, wait_for_rows
from tests.crash.running import wait_for
from tests.loopback import provider
from tests.service.running import Service, get, request, service


def until(gate: str, status: int, team: str) -> int:
    """Call until it is answered so; gives how many calls that took."""
    deadline, asked = time.monotonic() + SETTLED_S, 0
    while True:
        asked += 1
        if call([gate], 1, asks(team)).statuses[status]:
            return asked
        assert time.monotonic() < deadline
        time.sleep(0.05)


def change(running: Service, method: str, path: str, body: dict[str, object], status: int = 200) -> None:
    reply = request(method, running.console + path, json=body)
    assert reply.status_code == status, reply.text


def test_a_gate_learns_of_new_changed_and_removed_budgets(tmp_path):
    of_search = {"name": "b", "team": "search", "unit": "usd", "window": "month", "mode": "hard"}
    with provider(answers(lambda: 1000)) as origin, service(tmp_path, config(origin.origin)) as running:
        gate, asked = running.gate, 2
        assert call([gate], 2, asks()).statuses == {200: 2}
        running.wait_for_calls(2)
        wait_for(lambda: get(f"{running.console}/api/teams/search").status_code == 200, running)
        change(running, "POST", "/api/budgets", of_search | {"limit": 5.5 * a_call("usd")}, 201)
        change(running, "POST", "/api/teams", {"name": "told"}, 201)
        told = {"name": "told", "team": "told", "unit": "requests", "limit": 1, "window": "24h", "mode": "hard"}
        change(running, "POST", "/api/budgets", told, 201)
        asked += until(gate, 429, "told")  # so it knows of the other one, too
        more, after = use_up([gate], asks())
        assert more == 3
        change(running, "PATCH", "/api/budgets/b", {"limit": 7.5 * a_call("usd")})
        asked += after + until(gate, 200, "search")
        more, after = use_up([gate], asks())
        assert more == 1
        asked += after
        ledger = ["--database", f"sqlite:///{running.ledger}", "--json"]
        removed = CliRunner().invoke(command_line(["budgets"]), ["budgets", "remove", "b", *ledger])
        assert json.loads(removed.stdout) == {"removed": "b"}
        asked += until(gate, 200, "search")
        assert call([gate], 4, asks()).statuses == {200: 4}
        change(running, "DELETE", "/api/budgets/told", {})  # the last one
        asked += 4 + until(gate, 200, "told")
        running.wait_for_calls(asked)
        health = get(f"{running.console}/api/health").json()
        assert health["status"] == "ok", health


@pytest.mark.heavy
def test_no_call_fails_of_a_change(tmp_path):
    """Not even of the budgets that it has: what one of them allows goes on until gates know of the next."""
    wide = {"name": "b", "team": "search", "unit": "usd", "window": "month", "mode": "hard", "limit": 1000}
    changes = [
        ("POST", "/api/budgets", wide, 201), ("PATCH", "/api/budgets/b", {"limit": 900}, 200),
        ("PATCH", "/api/budgets/b", {"window": "30d"}, 200), ("PATCH", "/api/budgets/b", {"mode": "soft"}, 200),
        ("PATCH", "/api/budgets/b", {"mode": "hard"}, 200), ("PATCH", "/api/budgets/b", {"window": "week"}, 200),
        ("DELETE", "/api/budgets/b", {}, 200), ("POST", "/api/budgets", wide, 201),
        ("DELETE", "/api/budgets/b", {}, 200),
    ]  # fmt: skip
    over = threading.Event()
    with (
        provider(answers(lambda: 10)) as origin,
        service(tmp_path, config(origin.origin, workers=2)) as running,
        ThreadPoolExecutor() as pool,
    ):

        def traffic() -> Counter[int]:
            made: Counter[int] = Counter()
            while not over.is_set():
                made += call([running.gate], 4, asks(), again=1).statuses
            return made

        wait_for(lambda: get(f"{running.console}/api/teams/search").status_code == 200, running)
        calls = pool.submit(traffic)
        try:
            for one in changes:
                change(running, *one)
                time.sleep(3)  # for gates to follow
        finally:
            over.set()
        assert calls.result().keys() == {200}, calls.result()
        assert calls.result()[200] > 100


@pytest.mark.heavy
def test_all_machines_follow_and_none_needs_the_list_of_another(tmp_path, postgres):
    url, limit = postgres.migrated(), 20.5 * a_call("usd")
    one, two = (tmp_path / name for name in ("one", "two"))
    for folder in (one, two):
        folder.mkdir()
    with (
        provider(answers(lambda: 1000, wait_s=0.1)) as origin,
        service(one, config(origin.origin, budget(limit=limit), url=url)) as first,
        service(two, config(origin.origin, url=url)) as second,
    ):
        change(second, "POST", "/api/teams", {"name": "told"}, 201)
        told = {"name": "told", "team": "told", "unit": "requests", "limit": 1, "window": "24h", "mode": "hard"}
        change(second, "POST", "/api/budgets", told, 201)
        gates = [first.gate, second.gate]
        asked = sum(until(gate, 429, "told") for gate in gates)
        rush = call(gates, 40, asks())
        assert set(rush.statuses) <= {200, 429}
        more, after = use_up(gates, asks())
        wait_for_rows(url, asked + 40 + after)
        assert rush.statuses[200] + more == 20
        assert request("DELETE", f"{second.console}/api/budgets/b", json={}).status_code == 409
        assert rows(url)["ok"] >= 20
