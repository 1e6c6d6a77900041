"""Every panel of every dashboard under the demo's traffic: a real service, Prometheus and PostgreSQL."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.rows import dict_row

from proxy.demo import drive
from proxy.demo_teams import TEAMS
from proxy.reports.period import month_of
from tests.dashboards import grafana
from tests.dashboards.boards import ASKED, BOARDS, PROMETHEUS, Asked, variables
from tests.dashboards.ledger import Ledger, check, named, of
from tests.dashboards.prometheus import ask, free_port, numbers, prometheus, query, wait
from tests.dashboards.test_prometheus import EMPTY_AS_A_RULE

pytestmark = pytest.mark.heavy

NEVER_IN_THE_DEMO = {"joulegate-month: Market-based carbon": "no supplier's figure is known of its zones"}
TEAM = "search"


@dataclass
class Demo:
    prometheus: str
    ledger: Ledger


@pytest.fixture(scope="module")
def demo(postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo with a ledger on PostgreSQL, ten times its traffic, and Prometheus."""
    folder: Path = tmp_path_factory.mktemp("demo")
    url, gate, console = postgres.migrated(), free_port(), free_port()
    command = [sys.executable, "-m", "proxy.cli", "serve", "--demo", "--database", url]
    command += ["--port", str(gate), "--console-port", str(console)]
    with (folder / "service").open("wb") as log:
        service = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    loop, until = asyncio.new_event_loop(), asyncio.Event()
    driving = drive(f"http://127.0.0.1:{gate}", keys={}, until=until, rate=20)
    thread = threading.Thread(target=loop.run_until_complete, args=(driving,))
    try:
        wait("the gate", lambda: urllib.request.urlopen(f"http://127.0.0.1:{gate}/healthz", timeout=2).read())
        with prometheus(folder, console) as scraped:
            thread.start()
            wait("a price that is missing", lambda: query(scraped, "joulegate_unpriced_calls_total > 3"))
            wait("sums", lambda: query(scraped, '{__name__=~"model:joulegate_unpriced_calls.*"} > 0'))
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, row_factory=dict_row) as reading:
                yield Demo(scraped, Ledger(url, reading))
    finally:
        if thread.ident is not None:
            loop.call_soon_threadsafe(until.set)
            thread.join(30)
        driving.close()
        loop.close()
        service.terminate()
        service.wait(60)


def filled(asked: Asked) -> str:
    one = 'team="$team"' in asked.expr or asked.board == "joulegate-team"
    return grafana.promql(asked.expr, **({"team": TEAM} if one else {}))


def step_s(asked: Asked) -> int:
    """How far apart the points of a curve are at least."""
    return {"1d": 86400}.get(asked.panel.get("interval", ""), 1) if asked.series else 0


def test_every_panel_has_data(demo: Demo):
    for asked in ASKED:
        if asked.expr in EMPTY_AS_A_RULE or asked.where in NEVER_IN_THE_DEMO:
            continue

        def drawn(asked: Asked = asked) -> bool:
            if asked.sql:
                now = month_of(f"{datetime.now(UTC):%Y-%m}", ZoneInfo("UTC"))
                return any(value is not None for row in demo.ledger.rows(asked.sql, now) for value in row.values())
            values = numbers(demo.prometheus, filled(asked), step_s=step_s(asked))
            if asked.series:  # a curve may have gaps
                values = [value for value in values if not math.isnan(value)]
            return bool(values) and all(0 <= value < math.inf for value in values)

        wait(f"{asked.where}: {asked.expr}{asked.sql}", drawn, seconds=30)


def test_what_is_empty_is_so_because_all_is_well(demo: Demo):
    """Whatever stands in the list and has data after all does not belong there."""
    filled_in = [expr for expr in EMPTY_AS_A_RULE if numbers(demo.prometheus, grafana.promql(expr, team=TEAM))]
    assert filled_in == []


@pytest.mark.parametrize("board", BOARDS)
def test_every_variable_offers_something(demo: Demo, board: str):
    for each in variables(board):
        if each["datasource"] == PROMETHEUS:
            series, label = grafana.label_values(each["query"])
            match = grafana.promql(series, team=TEAM) if "team=" in series else grafana.promql(series)
            values = set(ask(demo.prometheus, f"/api/v1/label/{label}/values", **{"match[]": match}))
        else:
            label, values = each["name"], set(demo.ledger.column(each["query"]))
        assert values, each["query"]
        if label == "team" and "{" not in each["query"]:
            assert values - {"other"} == set(TEAMS)
        elif label == "provider" and board != "joulegate-team":
            assert values >= {"openai", "groq", "mistral"}


def test_the_month_is_the_report(demo: Demo):
    month = month_of(f"{datetime.now(UTC):%Y-%m}", ZoneInfo("UTC"))
    # Traffic goes on: what is asked twice is asked of one state of the ledger.
    for title, name in (("Cost report", "cost"), ("Energy report", "energy"), ("Carbon report", "carbon")):
        for _ in range(20):
            before = demo.ledger.report(name, "team,model", month)
            found = demo.ledger.rows(of(title), month)
            if demo.ledger.report(name, "team,model", month) == before:
                break
        else:
            pytest.fail("the ledger never stood still")
        assert len(before.rows) > 8
        check(found, named(before), ("team", "model"))


def test_alerts_name_the_model_without_a_price(demo: Demo):
    pending = query(demo.prometheus, 'ALERTS{alertname="JoulegateUnpricedCalls"}')
    assert {each["metric"]["alertstate"] for each in pending} == {"pending"}
    firing = query(demo.prometheus, 'ALERTS{alertstate="firing"}')
    assert [each["metric"]["alertname"] for each in firing] == []
    assert re.fullmatch(r"\S+", pending[0]["metric"]["model"])
