"""The queries and alerts before a real Prometheus (Debian's package) that scrapes a real console."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dashboards import build
from tests.console.conftest import Running, serve
from tests.dashboards.test_build import DASHBOARD, ROOT
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row

pytestmark = pytest.mark.heavy

PROMETHEUS = ROOT / "prometheus"
# What Grafana puts in: everything chosen, and short windows for a scrape every second.
FILLED = {"$team": ".*", "$provider": ".*", "$model": ".*", "$__rate_interval": "5s", "$__range": "30s"}


def filled(expr: str) -> str:
    for variable, value in FILLED.items():
        expr = expr.replace(variable, value)
    return expr


def run(tool: str, *arguments: str, cwd: Path = PROMETHEUS) -> str:
    found = shutil.which(tool)
    assert found, f"needs {tool} (Debian package prometheus)"
    ran = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_configuration_is_one():
    assert "SUCCESS" in run("promtool", "check", "config", "prometheus.yml")


def test_the_rules_do_what_their_tests_say():
    assert "SUCCESS" in run("promtool", "test", "rules", "joulegate.rules.test.yml")


def test_every_query_is_promql(tmp_path):
    expressions = [filled(target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    assert not [expr for expr in expressions if "$" in expr]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(expressions)} rules found" in run("promtool", "check", "rules", "panels.yml", cwd=tmp_path)


@contextlib.contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """Run Prometheus with the shipped configuration, but for the target and a scrape every second."""
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(PROMETHEUS / "joulegate.rules.yml")]
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = shutil.which("prometheus")
    assert found, "needs prometheus (Debian package prometheus)"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                found,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, path: str, **parameters: str) -> dict:
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as reply:
        return json.load(reply)["data"]


def query(url: str, expr: str) -> list[dict]:
    return ask(url, "/api/v1/query", query=expr)["result"]


def wait(what: str, condition, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if condition():
                return
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)


@contextlib.contextmanager
def traffic(console: Running) -> Iterator[None]:
    """Record calls of every kind until the test is done."""
    done = threading.Event()

    def feed() -> None:
        while not done.wait(0.2):
            console.record(
                call_row(),
                call_row(team="ads", model="house-model", **UNESTIMATED, cost_usd=None),
                call_row(team="nobody", provider="somewhere", model="x", model_requested="x"),
                call_row(**UNPRICED),
                call_row(**UNMETERED | {"outcome": "error"}),
            )

    console.recorder.record_counts |= {"closed": 10, "recorded": 9, "lost": 1}
    console.recorder.streams_open = 3
    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_every_panel_has_data(tmp_path):
    with (
        serve(f"sqlite:///{tmp_path}/ledger.db") as console,
        traffic(console),
        prometheus(tmp_path, console.port) as url,
    ):
        wait("two scrapes with calls", lambda: query(url, "sum(rate(joulegate_calls_total[5s])) > 0"))
        for panel in DASHBOARD["panels"]:
            for target in panel.get("targets", []):
                expr = filled(target["expr"])

                def drawn(expr: str = expr) -> bool:
                    values = [float(series["value"][1]) for series in query(url, expr)]
                    return bool(values) and all(value == value and value >= 0 for value in values)

                wait(f"{panel['title']}: {expr}", drawn, seconds=20)
        for label in ("team", "provider", "model"):
            values = ask(url, f"/api/v1/label/{label}/values", **{"match[]": "joulegate_calls_total"})
            assert (
                values
                == {
                    "team": ["ads", "other", "search"],
                    "provider": ["openai", "other"],
                    "model": ["gpt-4o", "house-model", "other"],
                }[label]
            )
        # Band and centre are of the same calls.
        names = (f"sum(joulegate_energy_joules_{part}total)" for part in ("low_", "", "high_"))
        low, centre, high = (float(query(url, name)[0]["value"][1]) for name in names)
        assert 4 * low == pytest.approx(centre, rel=0.5)
        assert high == pytest.approx(4 * centre, rel=0.5)
        alerts = ask(url, "/api/v1/alerts")["alerts"]
        assert {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"} == {"JoulegateRecordsLost"}
        (group,) = ask(url, "/api/v1/rules")["groups"]
        assert {rule["health"] for rule in group["rules"]} == {"ok"}


def test_an_increase_survives_a_restart_of_the_console(tmp_path):
    assert "increase(" in build.total("joulegate_calls_total")
    url_of = f"sqlite:///{tmp_path}/ledger.db"
    calls = filled(build.total("joulegate_calls_total")).replace("[30s]", "[60s]")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with prometheus(tmp_path, port) as url:
        with serve(url_of, port=port) as console:
            console.record(*(call_row() for _ in range(5)))
            wait("five calls", lambda: query(url, "sum(joulegate_calls_total) == 5"))
            console.record(*(call_row() for _ in range(10)))
            wait("fifteen calls", lambda: query(url, "sum(joulegate_calls_total) == 15"))
        with serve(url_of, port=port) as console:
            console.record(*(call_row() for _ in range(7)))
            wait("the counter fell", lambda: query(url, "sum(joulegate_calls_total) == 7"))
            # 10 before and 7 after; Prometheus stretches a sum to its window, so it may say a little more.
            (found,) = query(url, calls)
            assert 17 <= float(found["value"][1]) < 40
