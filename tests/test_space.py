from __future__ import annotations

import shutil
from pathlib import Path

from proxy.journal import Journal
from proxy.space import space
from tests.records import closed


def test_segments_are_counted_and_nothing_else(tmp_path: Path) -> None:
    journals = tmp_path / "not" / "there"
    before = space(journals)
    assert (before.segments, before.segment_bytes) == (0, 0)
    assert before.free_bytes is not None
    assert 0 < before.free_bytes <= shutil.disk_usage(tmp_path).total
    journal = Journal.open(journals, worker="gate-1", fsync="never", segment_bytes=1000)
    for _ in range(5):
        assert journal.append(closed())
    (journals / "recorder.lock").write_bytes(b"x" * 100)
    found = space(journals)
    sizes = [path.stat().st_size for path in journals.glob("*.journal")]
    assert (found.segments, found.segment_bytes) == (len(sizes), sum(sizes))
    assert found.segments > 1
    journal.close()


def test_of_a_directory_that_cannot_be_the_disk_is_still_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = space(tmp_path / "file" / "journal")
    assert (found.segments, found.segment_bytes) == (0, 0)
    assert found.free_bytes is not None  # that of the disk under it
