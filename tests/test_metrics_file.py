from __future__ import annotations

import logging
import os
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.ledger.tables import CallRow
from proxy.metrics import Metrics
from proxy.metrics_file import MetricsFile
from tests.rows import call_row, known


class Life:
    """One console: its metrics and their files; the ledger is a dictionary that outlives it."""

    def __init__(self, folder: Path, ledger: dict[str, CallRow], *, boot: str = "a", names_at_most: int = 100) -> None:
        self.metrics = Metrics(teams={"search"}, providers={"openai"}, model_name=known({"gpt-4o"}))
        self.file = MetricsFile(folder / "metrics.json", self.metrics, boot=boot, names_at_most=names_at_most)
        self.ledger = ledger
        self.doubtful: set[str] = set()

    def begin(self) -> Life:
        self.file.restore()
        found, self.doubtful = self.file.missing(self.rows)
        self.metrics.record(found)
        self.file.mark(self.doubtful)
        return self

    def rows(self, ids: Sequence[str]) -> list[CallRow]:
        return [self.ledger[each] for each in ids if each in self.ledger]

    def name(self, calls: int) -> list[CallRow]:
        rows = [call_row() for _ in range(calls)]
        self.file.name([row.id for row in rows])
        return rows

    def write(self, calls: int) -> list[CallRow]:
        rows = self.name(calls)
        self.ledger.update({row.id: row for row in rows})
        return rows

    def record(self, calls: int) -> None:
        self.metrics.record(self.write(calls))
        self.file.told()

    def shows(self) -> dict[tuple[str, ...], float]:
        return samples(self.metrics)


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(metrics.render(max_age_seconds=0).decode())
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}


def after(calls: int) -> Any:
    metrics = Metrics(teams={"search"}, providers={"openai"}, model_name=known({"gpt-4o"}))
    metrics.record([call_row() for _ in range(calls)])
    return pytest.approx(samples(metrics), rel=1e-12)


@pytest.fixture
def ledger() -> dict[str, CallRow]:
    return {}


def test_after_an_end_in_good_order_all_is_there(tmp_path: Path, ledger) -> None:
    first = Life(tmp_path, ledger).begin()
    first.record(3)
    first.file.save()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    assert Life(tmp_path, ledger, boot="the machine was down meanwhile").begin().shows() == after(3)


@pytest.mark.parametrize("names_at_most", [1, 4, 100])
def test_one_that_is_killed_leaves_what_it_told_and_what_it_only_wrote(tmp_path: Path, ledger, names_at_most) -> None:
    first = Life(tmp_path, ledger, names_at_most=names_at_most).begin()
    for calls in (3, 1, 5):
        first.record(calls)
    first.write(2)  # and is killed before it has told of them
    second = Life(tmp_path, ledger, names_at_most=names_at_most).begin()
    assert second.shows() == after(11)
    second.record(1)
    assert Life(tmp_path, ledger).begin().shows() == after(12)


def test_what_may_be_written_yet_stays_in_question(tmp_path: Path, ledger) -> None:
    begun = Life(tmp_path, ledger).begin()
    begun.record(1)
    late = begun.name(2)
    second = Life(tmp_path, ledger).begin()
    assert second.shows() == after(1)
    assert second.doubtful == {row.id for row in late}
    ledger.update({row.id: row for row in late})  # what the database had still to do for the first one is done
    assert Life(tmp_path, ledger).begin().shows() == after(3)


def test_counters_that_lack_calls_are_not_shown(tmp_path: Path, ledger) -> None:
    """The ledger is away: a scrape would take them for counters that began anew."""
    Life(tmp_path, ledger).begin().record(2)
    second = Life(tmp_path, ledger)
    second.file.restore()
    assert second.shows() == {}
    second.file.save()  # told to end before the ledger was back
    third = Life(tmp_path, ledger).begin()
    assert third.shows() == after(2)


def test_one_that_ends_in_doubt_of_its_last_calls_leaves_them_to_the_next(tmp_path: Path, ledger) -> None:
    first = Life(tmp_path, ledger).begin()
    first.record(1)
    first.write(2)  # the answer of the ledger did not come
    first.file.save()
    assert Life(tmp_path, ledger).begin().shows() == after(3)


@pytest.mark.parametrize("boots", [("a", "b"), ("", "")])
def test_after_the_machine_went_down_they_begin_at_0(tmp_path: Path, ledger, caplog, boots) -> None:
    Life(tmp_path, ledger, boot=boots[0]).begin().record(2)
    with caplog.at_level(logging.WARNING):
        second = Life(tmp_path, ledger, boot=boots[1]).begin()
    assert second.shows() == after(0)
    assert "the machine went down" in caplog.text


def test_names_of_another_mark_and_half_a_name_are_none(tmp_path: Path, ledger) -> None:
    first = Life(tmp_path, ledger).begin()
    first.record(1)
    stale = (tmp_path / "metrics.names").read_text()
    first.file.mark()  # is killed before it begins with its names
    (tmp_path / "metrics.names").write_text(stale)
    second = Life(tmp_path, ledger).begin()
    assert second.shows() == after(1)
    (row,) = second.name(1)
    os.truncate(tmp_path / "metrics.names", (tmp_path / "metrics.names").stat().st_size - 9)
    assert Life(tmp_path, {**ledger, row.id: row}).begin().shows() == after(1)


def test_what_the_release_before_has_kept_is_read(tmp_path: Path, ledger) -> None:
    (tmp_path / "metrics.json").write_text(
        '{"counters": [["joulegate_calls_total", ["search", "openai", "gpt-4o", "openai.chat", "ok"], 7.0]],'
        ' "histograms": []}'
    )
    shown = Life(tmp_path, ledger).begin().shows()
    assert shown["joulegate_calls_total", "gpt-4o", "ok", "openai", "openai.chat", "search"] == 7


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"counters": [["x", [], null]], "histograms": []}'])
def test_what_cannot_be_read_is_said_and_begins_at_0(tmp_path: Path, ledger, caplog, damage: bytes) -> None:
    (tmp_path / "metrics.json").write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        life = Life(tmp_path, ledger).begin()
    assert life.shows() == after(0)
    assert "metrics begin at 0" in caplog.text
    life.record(2)
    assert Life(tmp_path, ledger).begin().shows() == after(2)


def test_where_names_cannot_be_written_nothing_is_left_that_is_too_little(tmp_path: Path, ledger, caplog) -> None:
    life = Life(tmp_path, ledger).begin()
    life.record(1)
    (tmp_path / "metrics.names").unlink()
    (tmp_path / "metrics.names").symlink_to("/dev/full")
    with caplog.at_level(logging.WARNING):
        life.file.mark()
    assert "metrics would begin at 0 after an end of the console now: [Errno 28] No space" in caplog.text
    assert not (tmp_path / "metrics.json").exists()
    (tmp_path / "metrics.names").unlink()
    life.record(1)  # can be kept again, with all before it
    life.write(1)
    assert Life(tmp_path, ledger).begin().shows() == after(3)


def test_a_disk_that_fills_up_while_calls_are_named(tmp_path: Path, ledger) -> None:
    life = Life(tmp_path, ledger).begin()
    life.record(2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "metrics.names").stat().st_size + 50, before[1]))
    try:
        life.record(2)  # one of them is named
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert life.shows() == after(4)
    assert Life(tmp_path, ledger).begin().shows() == after(0)
