from __future__ import annotations

import math
import re
import shutil
import subprocess
import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy import metrics as module
from proxy.budgets.budget import budget_of
from proxy.declared import DECLARED, TOKEN_KINDS
from proxy.lag import Lag
from proxy.metrics import Counted, Metrics
from proxy.sections import BudgetSection
from proxy.space import Space
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, known

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"

# The public contract, spelled out: name, type, labels. Budgets have no metric before there are budgets.
WHO = {"team", "provider", "model"}
CONTRACT = {
    "joulegate_calls_total": ("counter", WHO | {"surface", "outcome"}),
    "joulegate_tokens_total": ("counter", WHO | {"kind"}),
    "joulegate_flops_total": ("counter", WHO),
    "joulegate_energy_joules_total": ("counter", WHO),
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
GPT = {"team": "search", "provider": "openai", "model": "gpt-4o"}


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


def make(**changes) -> Metrics:
    models = changes.pop("models", {"gpt-4o", "o3", "llama"})
    closed = {"teams": {"search", "ads"}, "providers": {"openai", "groq"}, "model_name": known(models)}
    return Metrics(**(closed | changes))


def test_teams_made_while_it_runs_are_told_apart_and_the_first_ones_stay():
    metrics = make()
    metrics.record([call_row(team="late"), call_row(team="search")])
    metrics.know_teams(["late"])
    metrics.record([call_row(team="late"), call_row(team="ads"), call_row(team="unknown")])
    counted = {
        sample.labels["team"]: sample.value
        for family in text_string_to_metric_families(metrics.render(max_age_seconds=0).decode())
        for sample in family.samples
        if sample.name == "joulegate_calls_total"
    }
    assert counted == {"other": 2, "search": 1, "late": 1, "ads": 1}


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.render(max_age_seconds=0).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def test_names_types_and_labels_are_the_contract():
    assert {each.name: (each.kind, set(each.labels)) for each in DECLARED} == CONTRACT


def test_a_budget_is_its_teams_and_of_several_alike_the_fullest_is_shown():
    metrics = make()
    metrics.watch(Recorder(), None, lambda: BUDGETS)
    assert value(metrics, "joulegate_budget_used_ratio", team="search", unit="usd", window="month") == 0.5
    assert value(metrics, "joulegate_budget_used_ratio", team="other", unit="requests", window="minute") == 0.9


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


def test_one_call_adds_every_figure_it_has():
    metrics = make()
    metrics.record([call_row(), call_row()])
    assert value(metrics, "joulegate_calls_total", **GPT, surface="openai.chat", outcome="ok") == 2
    tokens = {kind: value(metrics, "joulegate_tokens_total", **GPT, kind=kind) for kind in TOKEN_KINDS}
    assert {kind: count for kind, count in tokens.items() if count is not None} == {
        "input": 200,
        "cached_input": 80,
        "output": 100,
        "reasoning": 20,
    }
    assert value(metrics, "joulegate_flops_total", **GPT) == 1.2e14
    assert value(metrics, "joulegate_energy_joules_total", **GPT) == 800
    assert value(metrics, "joulegate_energy_joules_low_total", **GPT) == 200
    assert value(metrics, "joulegate_energy_joules_high_total", **GPT) == 3200
    assert value(metrics, "joulegate_carbon_grams_total", **GPT, scope="operational") == pytest.approx(0.08)
    assert value(metrics, "joulegate_carbon_grams_low_total", **GPT, scope="operational") == pytest.approx(0.02)
    assert value(metrics, "joulegate_carbon_grams_high_total", **GPT, scope="operational") == pytest.approx(0.32)
    assert value(metrics, "joulegate_carbon_grams_total", **GPT, scope="embodied") == pytest.approx(0.01)
    assert value(metrics, "joulegate_water_liters_total", **GPT) == pytest.approx(0.001)
    assert value(metrics, "joulegate_cost_usd_total", **GPT) == pytest.approx(0.0015)
    assert value(metrics, "joulegate_usage_source_total", provider="openai", source="reported") == 2


def test_histograms_are_in_seconds():
    metrics = make()
    metrics.record([call_row(latency_ms=1500, time_to_first_token_ms=250, overhead_us=180)])
    who = {"provider": "openai", "model": "gpt-4o"}
    assert value(metrics, "joulegate_latency_seconds_sum", **who) == 1.5
    assert value(metrics, "joulegate_time_to_first_token_seconds_sum", **who) == 0.25
    assert value(metrics, "joulegate_overhead_seconds_sum") == pytest.approx(0.00018)
    assert value(metrics, "joulegate_latency_seconds_bucket", **who, le="1.0") == 0
    assert value(metrics, "joulegate_latency_seconds_bucket", **who, le="2.0") == 1


def test_an_error_is_a_call_but_not_a_latency():
    metrics = make()
    metrics.record([call_row(outcome="error", status=500, stream=False, time_to_first_token_ms=None)])
    assert value(metrics, "joulegate_calls_total", **GPT, surface="openai.chat", outcome="error") == 1
    assert value(metrics, "joulegate_latency_seconds_count", provider="openai", model="gpt-4o") is None


def test_unknown_is_no_series_rather_than_zero():
    metrics = make()
    metrics.record([call_row(**UNMETERED)])
    present = {name for name, labels in samples(metrics) if labels}
    absent = ("tokens", "flops", "energy_joules", "carbon_grams", "water_liters", "cost_usd")
    assert not {name for name in present if name.startswith(tuple(f"joulegate_{each}" for each in absent))}
    assert value(metrics, "joulegate_usage_source_total", provider="openai", source="absent") == 1
    assert value(metrics, "joulegate_unpriced_calls_total", model="gpt-4o") is None
    assert value(metrics, "joulegate_unknown_models_total") == 0


def test_a_known_zero_is_a_series():
    metrics = make()
    metrics.record([call_row(cost_usd=Decimal(0), reasoning_tokens=0)])
    assert value(metrics, "joulegate_cost_usd_total", **GPT) == 0
    assert value(metrics, "joulegate_tokens_total", **GPT, kind="reasoning") == 0


def test_tokens_without_price_or_energy_are_counted():
    metrics = make(models={"gpt-4o", "house-model"})
    metrics.record([call_row(**UNPRICED), call_row(**UNESTIMATED), call_row()])
    assert value(metrics, "joulegate_unpriced_calls_total", model="house-model") == 1
    assert value(metrics, "joulegate_unpriced_calls_total", model="gpt-4o") is None
    assert value(metrics, "joulegate_unknown_models_total") == 1


def test_a_refusal_before_any_provider_is_not_a_missing_usage():
    metrics = make()
    metrics.record([call_row(**UNMETERED | {"provider": None, "outcome": "rejected", "status": 404})])
    assert not [name for name, labels in samples(metrics) if name == "joulegate_usage_source_total"]
    who = {"team": "search", "provider": "other", "model": "gpt-4o"}
    assert value(metrics, "joulegate_calls_total", **who, surface="openai.chat", outcome="rejected") == 1


@pytest.mark.parametrize(
    ("changes", "labels", "dropped"),
    [
        ({}, ("search", "openai", "gpt-4o"), 0),
        ({"team": None}, ("other", "openai", "gpt-4o"), 0),
        ({"team": "../../etc"}, ("other", "openai", "gpt-4o"), 1),
        ({"team": 'a"b\\c\n'}, ("other", "openai", "gpt-4o"), 1),
        ({"provider": "evil"}, ("search", "other", "gpt-4o"), 1),
        ({"model": None, "model_requested": None}, ("search", "openai", "other"), 0),
        ({"model": None, "model_requested": "o3"}, ("search", "openai", "o3"), 0),
        ({"model": "gpt-4o-2024-08-06"}, ("search", "openai", "gpt-4o-2024-08-06"), 0),
        ({"model": "o3", "model_requested": "gpt-4o"}, ("search", "openai", "o3"), 0),
        ({"model": "x", "model_requested": "y"}, ("search", "openai", "other"), 1),
        ({"team": "x", "provider": "y", "model": "z", "model_requested": "z"}, ("other", "other", "other"), 3),
    ],
)
def test_labels_come_from_closed_sets(changes, labels, dropped):
    metrics = make()
    metrics.record([call_row(**changes)])
    who = dict(zip(("team", "provider", "model"), labels, strict=True))
    assert value(metrics, "joulegate_calls_total", **who, surface="openai.chat", outcome="ok") == 1
    assert value(metrics, "joulegate_dropped_series_total") == dropped


def test_junk_names_do_not_grow_the_series():
    metrics = make()
    metrics.record([call_row(team="junk", model="junk", model_requested="junk")])
    before = len(samples(metrics))
    metrics.record(
        [call_row(team=f"t{n}", provider=f"p{n}", model=f"m{n}", model_requested=f"r{n}") for n in range(1, 500)]
    )
    metrics.record([call_row(team=f"t{n}", model=f"m{n}", model_requested=f"r{n}") for n in range(5000)])
    assert len(samples(metrics)) <= before * 2  # provider "openai" and "other"


def test_known_names_do_not_grow_the_series_beyond_the_cap():
    names = [f"m{n}" for n in range(100)]
    metrics = make(models=names, series_limit=10)
    metrics.record([call_row(model=model) for model in names])
    models = {dict(labels)["model"] for name, labels in samples(metrics) if name == "joulegate_calls_total"}
    assert models == {*names[:10], "other"}
    assert value(metrics, "joulegate_dropped_series_total") == 90
    assert sum(v for (name, _), v in samples(metrics).items() if name == "joulegate_calls_total") == 100


def test_a_known_model_has_few_spellings_and_its_own_name_always():
    metrics = make(model_name=lambda row: "gpt-4o")
    metrics.record([call_row(model=f"gpt-4o-{n:04}") for n in range(500)])
    metrics.record([call_row(model="gpt-4o"), call_row(model="gpt-4o-0000")])
    calls = {
        dict(labels)["model"]: count
        for (name, labels), count in samples(metrics).items()
        if name == "joulegate_calls_total"
    }
    assert len(calls) == 16
    assert calls["gpt-4o-0000"] == 2
    assert calls["gpt-4o"] == 485 + 1
    assert value(metrics, "joulegate_dropped_series_total") == 485


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_figure_that_makes_no_sense_does_not_spoil_the_counter(bad):
    metrics = make()
    metrics.record([call_row(joules=bad), call_row()])
    assert value(metrics, "joulegate_energy_joules_total", **GPT) == 400


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


def test_rendering_is_kept_for_a_second():
    now = [100.0]
    metrics = make(clock=lambda: now[0])
    first = metrics.render()
    metrics.record([call_row()])
    now[0] += 0.9
    assert metrics.render() == first
    now[0] += 0.2
    assert b'outcome="ok"' in metrics.render()


def test_rendering_while_recording():
    metrics = make()
    rows = [call_row(model=model) for model in ("gpt-4o", "o3", "llama") for _ in range(200)]
    recording = threading.Thread(target=lambda: [metrics.record([row]) for row in rows])
    recording.start()
    while recording.is_alive():
        assert metrics.render(max_age_seconds=0)
    recording.join()
    assert sum(v for (name, _), v in samples(metrics).items() if name == "joulegate_calls_total") == len(rows)


def test_two_instances_do_not_share_anything():
    one, other = make(), make()
    one.record([call_row()])
    assert not [name for name, _ in samples(other) if name == "joulegate_calls_total"]


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


def test_another_goes_on_where_one_has_ended():
    first, both = make(), make()
    rows = [
        call_row(),
        call_row(outcome="aborted"),
        call_row(model="o3", model_requested="o3", cost_usd=None),
        call_row(team=None),
    ]
    more = [call_row(), call_row(stream=False, latency_ms=90_000)]
    first.record(rows)
    second = make()
    second.go_on_from(msgspec.json.decode(msgspec.json.encode(first.counted()), type=Counted))
    assert samples(second) == samples(first)
    second.record(more)
    both.record([*rows, *more])
    assert samples(second) == pytest.approx(samples(both))


def test_what_is_declared_otherwise_by_now_begins_at_0():
    before = Counted(
        counters=(
            ("joulegate_calls_total", ("search", "openai"), 5.0),
            ("joulegate_gone_total", (), 5.0),
            ("joulegate_unknown_models_total", (), 5.0),
        ),
        histograms=(
            ("joulegate_overhead_seconds", (), (1, 2), 5.0),
            ("joulegate_latency_seconds", ("openai",), (1,) * 14, 5.0),
            ("joulegate_gone_seconds", (), (1, 2), 5.0),
        ),
    )
    metrics, fresh = make(), make()
    metrics.go_on_from(before)
    changed = {name: now for name, now in samples(metrics).items() if samples(fresh).get(name) != now}
    assert changed == {("joulegate_unknown_models_total", frozenset()): 5.0}


def test_series_that_come_from_before_count_for_the_limit():
    first = make()
    first.record([call_row()])
    second = make(series_limit=1)
    second.go_on_from(first.counted())
    second.record([call_row(), call_row(model="o3", model_requested="o3")])
    models = {dict(labels)["model"] for name, labels in samples(second) if name == "joulegate_calls_total"}
    assert models == {"gpt-4o", "other"}
