from __future__ import annotations

import logging
from pathlib import Path

import pytest

from proxy.metrics import Metrics
from proxy.metrics_file import MetricsFile
from tests.rows import call_row, known


def make() -> Metrics:
    return Metrics(teams={"search"}, providers={"openai"}, model_name=known({"gpt-4o"}))


def text(metrics: Metrics) -> bytes:
    return metrics.render(max_age_seconds=0)


def test_it_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    first, second, third = make(), make(), make()
    first.record([call_row(), call_row()])
    MetricsFile(path, first).save()
    MetricsFile(path, second).restore()
    assert text(second) == text(first)
    MetricsFile(path, third).restore()  # the second one was killed
    assert text(third) == text(make())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"counters": [["x", [], null]], "histograms": []}'])
def test_what_cannot_be_read_is_said_and_begins_at_0(tmp_path: Path, caplog, damage: bytes) -> None:
    path = tmp_path / "metrics.json"
    path.write_bytes(damage)
    metrics = make()
    with caplog.at_level(logging.WARNING):
        MetricsFile(path, metrics).restore()
    assert text(metrics) == text(make())
    assert "metrics begin at 0" in caplog.text
    assert not path.exists()


def test_where_it_cannot_be_written_that_is_said(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        MetricsFile(tmp_path / "not there" / "metrics.json", make()).save()
    assert "metrics will begin at 0 at the next start" in caplog.text
