"""Counters go on where those of an earlier process ended."""

from __future__ import annotations

import msgspec
import pytest

from proxy.metrics import Counted
from tests.metrics.reading import make, samples
from tests.rows import call_row


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
