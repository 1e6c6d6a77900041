"""Series are few, whatever names callers send."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.metrics.reading import make, samples, value
from tests.rows import call_row


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
