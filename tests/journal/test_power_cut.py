"""What each way of syncing leaves of a journal when the power is cut."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from proxy.journal import Journal
from tests.journal.reading import read_all, segments
from tests.records import closed


class Disk:
    """What would be left of a directory after a power cut: names and bytes as they were when fsync last returned."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._names: set[str] = set()
        self._sizes: dict[int, int] = {}
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            names = {path.name for path in self._directory.iterdir()}
            self._real(fd)
            self._names = names
        else:
            size = os.fstat(fd).st_size
            self._real(fd)
            self._sizes[os.fstat(fd).st_ino] = size

    def after_a_power_cut(self, elsewhere: Path) -> list:
        """Give the records that a new start would find."""
        shutil.rmtree(elsewhere, ignore_errors=True)
        elsewhere.mkdir()
        for name in self._names:
            path = self._directory / name
            (elsewhere / name).write_bytes(path.read_bytes()[: self._sizes.get(path.stat().st_ino, 0)])
        return read_all(elsewhere)


def test_with_fsync_always_a_power_cut_takes_nothing_that_was_appended(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "journal", monkeypatch)
    journal = Journal.open(tmp_path / "journal", worker="gate-1", fsync="always", segment_bytes=2000)
    written = []
    for _ in range(20):
        written.append(closed())
        assert journal.append(written[-1])
        assert disk.after_a_power_cut(tmp_path / "after") == written
    journal.close()
    assert len(segments(tmp_path / "journal")) > 3


def test_with_fsync_at_intervals_a_power_cut_takes_what_came_since_the_last_tick(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "journal", monkeypatch)
    journal = Journal.open(tmp_path / "journal", worker="gate-1", fsync="interval", segment_bytes=2000)
    written = []
    for _ in range(5):
        for _ in range(7):
            written.append(closed())
            assert journal.append(written[-1])
        before = disk.after_a_power_cut(tmp_path / "after")
        assert before == written[: len(before)]
        journal.tick()
        deadline = time.monotonic() + 20
        while disk.after_a_power_cut(tmp_path / "after") != written:  # it is another thread that waits for the disk
            assert time.monotonic() < deadline
            time.sleep(0.01)
    journal.close()


def test_with_fsync_never_nothing_waits_for_the_disk_and_a_power_cut_may_take_all(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "journal", monkeypatch)
    journal = Journal.open(tmp_path / "journal", worker="gate-1", fsync="never", segment_bytes=2000)
    for _ in range(20):
        assert journal.append(closed())
    journal.tick()
    journal.close()
    assert disk.after_a_power_cut(tmp_path / "after") == []
    assert len(read_all(tmp_path / "journal")) == 20  # of a process that was killed it takes nothing
