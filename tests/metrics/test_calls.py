"""What a call adds."""

from __future__ import annotations

import math
import threading
from decimal import Decimal

import pytest

from proxy.declared import TOKEN_KINDS
from tests.metrics.reading import GPT, make, samples, value
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row


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
    assert value(metrics, "joulegate_prefill_energy_joules_total", **GPT) == 100
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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_figure_that_makes_no_sense_does_not_spoil_the_counter(bad):
    metrics = make()
    metrics.record([call_row(joules=bad), call_row()])
    assert value(metrics, "joulegate_energy_joules_total", **GPT) == 400


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
