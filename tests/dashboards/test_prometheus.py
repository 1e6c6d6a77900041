"""The queries, rules and alerts before a real Prometheus (Debian's package)."""

from __future__ import annotations

import math
import re
import threading
import time

import pytest
import yaml

from dashboards.queries import total
from tests.console.conftest import serve
from tests.dashboards import grafana
from tests.dashboards.boards import ASKED, RULES
from tests.dashboards.prometheus import SHIPPED, ask, free_port, numbers, prometheus, query, run, wait
from tests.rows import call_row

pytestmark = pytest.mark.heavy

EXPRESSIONS = sorted({each.expr for each in ASKED if each.expr})
WEEK_BEFORE = [expr for expr in EXPRESSIONS if "offset 1w" in expr]
# What has no series when all is well, and why: each is shown to have some in `test_what_is_empty_as_a_rule_…`.
EMPTY_AS_A_RULE = {
    **dict.fromkeys(WEEK_BEFORE, "Prometheus is younger than a week"),
    **{expr: "no budget" for expr in EXPRESSIONS if "joulegate_budget_used_ratio" in expr},
    **{expr: "no mirror" for expr in EXPRESSIONS if "joulegate_mirror_lag_seconds" in expr},
}


def test_the_configuration_is_one():
    assert "SUCCESS" in run("promtool", "check", "config", "--syntax-only", "prometheus.yml")


@pytest.mark.parametrize("cases", sorted(path.name for path in SHIPPED.glob("*.test.yml")))
def test_the_rules_do_what_their_tests_say(cases):
    assert "SUCCESS" in run("promtool", "test", "rules", cases)


def test_every_query_is_promql(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": grafana.promql(expr)} for number, expr in enumerate(EXPRESSIONS)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(EXPRESSIONS)} rules found" in run("promtool", "check", "rules", "panels.yml", cwd=tmp_path)


def openmetrics(now: int) -> str:
    """Make samples of two stretches, now and a week before, in the text that promtool takes."""
    labels = 'team="search",provider="openai",model="gpt-4o"'
    week, scopes = 7 * 86400, ',scope="operational"'
    growing = {
        "joulegate_calls": f'{labels},surface="openai.chat",outcome="ok"',
        "joulegate_tokens": f'{labels},kind="input"',
        "joulegate_cost_usd": labels,
        "joulegate_energy_joules": labels,
        "joulegate_carbon_grams": labels + scopes,
        "joulegate_water_liters": labels,
    }
    lines = []
    for name, given in growing.items():
        lines.append(f"# TYPE {name} counter")
        # Two a step a week before, three a step now.
        for begin, each in ((now - week, 2), (now, 3)):
            lines += [f"{name}_total{{{given}}} {step * each} {begin - 240 + step * 15}" for step in range(17)]
    for name, given in {
        "joulegate_budget_used_ratio": 'team="search",unit="usd",window="month"',
        "joulegate_mirror_lag_seconds": 'job="joulegate",instance="a"',
    }.items():
        lines += [f"# TYPE {name} gauge", *(f"{name}{{{given}}} 0.5 {now - 240 + step * 15}" for step in range(17))]
    return "\n".join((*lines, "# EOF\n"))


def test_what_is_empty_as_a_rule_has_data_where_there_is_some(tmp_path):
    now = int(time.time())
    (tmp_path / "samples").write_text(openmetrics(now))
    run("promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "tsdb", cwd=tmp_path)
    with prometheus(tmp_path, free_port()) as url:
        wait("Prometheus", lambda: query(url, "vector(1)"))
        for expr in EMPTY_AS_A_RULE:
            values = {"__range": "3m", "__rate_interval": "2m", "team": ".*"}
            filled = grafana.promql(expr, **values | ({"team": "search"} if 'team="$team"' in expr else {}))
            found = [
                float(each["value"][1]) for each in ask(url, "/api/v1/query", query=filled, time=str(now))["result"]
            ]
            assert found, expr
            if re.search(r"offset 1w\]?\)+ > 0\) - 1$", expr):
                assert found == [pytest.approx(0.5)], expr


def test_an_increase_survives_a_restart_of_the_console(tmp_path):
    url_of = f"sqlite:///{tmp_path}/ledger.db"
    calls = grafana.promql(total("joulegate_calls_total"), __range="60s")
    port = free_port()
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
            (found,) = numbers(url, calls)
            assert 17 <= found < 40


def test_two_consoles_are_one_sum_and_what_is_wrong_fires(tmp_path):
    with (
        serve(f"sqlite:///{tmp_path}/a.db") as one,
        serve(f"sqlite:///{tmp_path}/b.db") as other,
        prometheus(tmp_path, one.port, other.port) as url,
    ):
        done = threading.Event()

        def feed() -> None:
            while not done.wait(0.2):
                one.record(call_row())
                other.record(call_row(), call_row())

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            one.recorder.record_counts |= {"closed": 10, "recorded": 9, "lost": 1}
            other.recorder.lag_seconds = 30.0
            share = grafana.promql("sum by (instance) (rate(joulegate_calls_total[$__rate_interval]))")
            wait("both consoles", lambda: len(numbers(url, share)) == 2, seconds=30)
            wait("the longest lag", lambda: numbers(url, "max(joulegate_ledger_lag_seconds)") == [30.0])
            wait("an alert", lambda: query(url, 'ALERTS{alertname="JoulegateRecordsLost",alertstate="firing"}'))
            calls = grafana.promql(total("joulegate_calls_total"), __range="10s")

            def added_up() -> bool:
                both, each = numbers(url, calls), numbers(url, calls.replace("sum(", "sum by (instance) ("))
                return len(each) == 2 and math.isclose(both[0], sum(each)) and max(each) > 1.5 * min(each) > 0

            wait("a sum of both", added_up, seconds=30)
            # Of what Prometheus has seen: it may come late to consoles that count already.
            seen = "sum(max_over_time(joulegate_calls_total[10m]) - min_over_time(joulegate_calls_total[10m]))"
            wait("calls of some sums", lambda: query(url, f"{seen} > 150"))
        finally:
            done.set()
            thread.join()
        recorded = "sum(sum_over_time(team_provider_model:joulegate_calls:increase5m[10m]))"
        # A busy machine scrapes late, and sums late; nothing is there twice.
        close = f"{recorded} / {seen} > 0.5 < 1.3"
        wait("sums of the calls of both", lambda: query(url, close), seconds=20)
        groups = ask(url, "/api/v1/rules")["groups"]
        assert {group["name"] for group in groups} == {group["name"] for group in RULES["groups"]}
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
