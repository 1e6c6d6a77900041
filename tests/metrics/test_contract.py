"""What can be scraped is what is declared and documented; the gauges."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import metrics as module
from proxy.budgets.budget import budget_of
from proxy.declared import DECLARED
from proxy.lag import Lag
from proxy.sections import BudgetSection
from proxy.space import Space
from tests.metrics.reading import make, value
from tests.rows import UNESTIMATED, UNPRICED, call_row

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"

# The public contract, spelled out: name, type, labels. Budgets have no metric before there are budgets.
WHO = {"team", "provider", "model"}
CONTRACT = {
    "joulegate_calls_total": ("counter", WHO | {"surface", "outcome"}),
    "joulegate_tokens_total": ("counter", WHO | {"kind"}),
    "joulegate_flops_total": ("counter", WHO),
    "joulegate_energy_joules_total": ("counter", WHO),
    "joulegate_prefill_energy_joules_total": ("counter", WHO),
    "joulegate_energy_joules_low_total": ("counter", WHO),
    "joulegate_energy_joules_high_total": ("counter", WHO),
    "joulegate_carbon_grams_total": ("counter", WHO | {"scope"}),
    "joulegate_carbon_grams_low_total": ("counter", WHO | {"scope"}),
    "joulegate_carbon_grams_high_total": ("counter", WHO | {"scope"}),
    "joulegate_water_liters_total": ("counter", WHO),
    "joulegate_cost_usd_total": ("counter", WHO),
    "joulegate_latency_seconds": ("histogram", {"provider", "model"}),
    "joulegate_time_to_first_token_seconds": ("histogram", {"provider", "model"}),
    "joulegate_overhead_seconds": ("histogram", set()),
    "joulegate_streams_open": ("gauge", set()),
    "joulegate_usage_source_total": ("counter", {"provider", "source"}),
    "joulegate_unpriced_calls_total": ("counter", {"model"}),
    "joulegate_unknown_models_total": ("counter", set()),
    "joulegate_ledger_lag_seconds": ("gauge", set()),
    "joulegate_mirror_lag_seconds": ("gauge", set()),
    "joulegate_budget_used_ratio": ("gauge", {"team", "unit", "window"}),
    "joulegate_journal_records": ("gauge", {"state"}),
    "joulegate_journal_bytes": ("gauge", set()),
    "joulegate_journal_free_bytes": ("gauge", set()),
    "joulegate_ledger_replaced": ("gauge", set()),
    "joulegate_dropped_series_total": ("counter", set()),
}


class Recorder:
    """What a recorder tells at one moment."""

    streams_open = 3
    lag_seconds = 0.25
    record_counts = {"recorded": 12, "lost": 0}  # noqa: RUF012
    ledgers_replaced = 1
    journal_space = Space(segments=2, segment_bytes=5000, free_bytes=10**9)


BUDGETS = [
    (budget_of(BudgetSection(name="b", limit=1.0, **said)), used)
    for used, said in (
        (0.2, {"team": "search", "unit": "usd", "window": "month"}),
        (0.5, {"team": "search", "unit": "usd", "window": "month"}),
        (0.8, {"team": "search", "user": "ann", "unit": "usd", "window": "month"}),
        (0.9, {"key": "k1", "unit": "requests", "window": "minute"}),
    )
]


def test_names_types_and_labels_are_the_contract():
    assert {each.name: (each.kind, set(each.labels)) for each in DECLARED} == CONTRACT


def test_what_is_rendered_is_what_is_declared():
    metrics = make()
    metrics.watch(Recorder(), Lag(), lambda: BUDGETS)
    metrics.record([call_row(), call_row(**UNPRICED, **UNESTIMATED)])
    families = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in text_string_to_metric_families(metrics.render().decode())
    }
    assert {name: family.type for name, family in families.items()} == {e.name: e.kind for e in DECLARED}
    assert {name: family.documentation for name, family in families.items()} == {e.name: e.help for e in DECLARED}
    for each in DECLARED:
        assert families[each.name].samples, each.name
        for sample in families[each.name].samples:
            assert set(sample.labels) - {"le"} == set(each.labels)


def test_every_metric_is_documented_as_declared():
    rows = {
        cells[0]: cells[1:]
        for line in REFERENCE.read_text(encoding="utf-8").splitlines()
        if (cells := re.findall(r"(?<=\| ).*?(?= \|)", line)) and cells[0].startswith("`joulegate_")
    }
    declared = {
        f"`{each.name}`": [each.kind, ", ".join(f"`{label}`" for label in each.labels) or "–", each.help]
        for each in DECLARED
    }
    assert rows == declared


def test_no_series_the_contract_does_not_name():
    metrics = make()
    metrics.record([call_row()])
    text = metrics.render().decode()
    assert "_created" not in text
    assert module.CONTENT_TYPE.startswith("text/plain; version=0.0.4")


@pytest.mark.heavy
def test_promtool_finds_nothing_to_complain_about():
    metrics = make()
    metrics.watch(Recorder())
    metrics.record([call_row(), call_row(**UNPRICED)])
    tool = shutil.which("promtool")
    assert tool, "needs promtool (Debian package prometheus)"
    ran = subprocess.run([tool, "check", "metrics"], input=metrics.render(), capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_budget_is_its_teams_and_of_several_alike_the_fullest_is_shown():
    metrics = make()
    metrics.watch(Recorder(), None, lambda: BUDGETS)
    assert value(metrics, "joulegate_budget_used_ratio", team="search", unit="usd", window="month") == 0.5
    assert value(metrics, "joulegate_budget_used_ratio", team="other", unit="requests", window="minute") == 0.9


def test_gauges_are_absent_without_a_recorder_and_fresh_with_one():
    metrics = make()
    assert value(metrics, "joulegate_streams_open") is None
    recorder = Recorder()
    metrics.watch(recorder)
    assert value(metrics, "joulegate_streams_open") == 3
    assert value(metrics, "joulegate_ledger_lag_seconds") == 0.25
    assert value(metrics, "joulegate_journal_records", state="recorded") == 12
    assert value(metrics, "joulegate_ledger_replaced") == 1
    assert value(metrics, "joulegate_mirror_lag_seconds") is None
    recorder.streams_open = 0
    assert value(metrics, "joulegate_streams_open") == 0


def test_how_far_a_mirror_is_behind_grows_until_it_says_so():
    metrics, now = make(), [100.0]
    lag = Lag(lambda: now[0])
    metrics.watch(Recorder(), lag)
    now[0] = 130.0
    assert value(metrics, "joulegate_mirror_lag_seconds") == 30
    lag.say(2)
    assert value(metrics, "joulegate_mirror_lag_seconds") == 2
