"""What is appended is in files, in order; files end, have names, and can be lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from estimator.usage import Usage
from proxy.call import Lost
from proxy.journal import FRAME_BYTES_MAX, Journal, frame
from tests.journal.reading import is_locked, read_all, segments
from tests.records import closed, opened


def test_what_is_appended_can_be_read_at_once_and_in_order(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    begun = opened()
    records = [begun, closed(begun), closed()]
    assert all(journal.append(record) for record in records)
    assert read_all(tmp_path) == records
    journal.close()


def test_each_record_is_in_the_file_when_append_returns(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1", fsync="never")
    written = b""
    for record in (opened(), closed(), closed()):
        journal.append(record)
        written += frame(record)
        assert segments(tmp_path)[0].read_bytes() == written
    journal.close()


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_segments_end_at_their_size_and_lose_nothing(tmp_path, fsync):
    journal = Journal.open(tmp_path, worker="gate-1", fsync=fsync, segment_bytes=2000)
    records = [closed() for _ in range(40)]
    for number, record in enumerate(records):
        assert journal.append(record)
        if number % 7 == 0:
            journal.tick()
    paths = segments(tmp_path)
    assert len(paths) > 5
    assert all(path.stat().st_size <= 2000 for path in paths)
    assert [is_locked(path) for path in paths] == [False] * (len(paths) - 1) + [True]
    journal.close()
    assert not is_locked(paths[-1])
    assert read_all(tmp_path) == records
    assert (journal.lost, journal.problem) == (0, None)


def test_rotated_segments_do_not_keep_their_files_open(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1", fsync="interval", segment_bytes=1000)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(30):
        journal.append(closed())
        journal.sync()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
    journal.close()


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1", segment_bytes=1000)
    long = closed(opened(tags={"k": "v" * 5000}))
    assert journal.append(closed())
    assert journal.append(long)
    assert journal.append(closed())
    journal.close()
    assert [path.stat().st_size > 1000 for path in segments(tmp_path)] == [False, True, False]
    assert read_all(tmp_path)[1] == long


def test_an_ended_journal_leaves_no_empty_file_and_counts_what_comes_later(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.close()
    journal.close()
    assert segments(tmp_path) == []
    assert not journal.append(closed())
    assert journal.lost == 1


def test_two_processes_of_one_name_in_the_same_microsecond_write_to_different_segments(tmp_path):
    first = Journal.open(tmp_path, worker="gate-1", clock=lambda: 1_795_000_000.0)
    second = Journal.open(tmp_path, worker="gate-1", clock=lambda: 1_795_000_000.0)
    assert first.append(opened(id="first"))
    assert second.append(opened(id="second"))
    assert len(segments(tmp_path)) == 2
    first.close()
    second.close()
    assert sorted(record.id for record in read_all(tmp_path)) == ["first", "second"]


def test_a_file_left_by_a_process_killed_while_opening_is_in_nobodys_way(tmp_path):
    (tmp_path / "gate-1-1795000000000000-000001.opening").touch()
    journal = Journal.open(tmp_path, worker="gate-1", clock=lambda: 1_795_000_000.0)
    assert journal.append(opened())
    journal.close()
    assert len(read_all(tmp_path)) == 1


@pytest.mark.parametrize("name", ["", "a/b", "..//x", "gate 1"])
def test_a_worker_name_that_could_leave_the_directory_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="worker name"):
        Journal.open(tmp_path, worker=name)


@pytest.mark.parametrize(
    "record",
    [
        closed(usage=Usage(input_tokens=2**70)),
        closed(opened(team="\udcff")),
        closed(opened(user="x" * FRAME_BYTES_MAX)),
    ],
    ids=["integer too large", "lone surrogate", "too long"],
)
def test_a_record_that_cannot_be_written_is_counted_and_told_later(tmp_path, record):
    journal = Journal.open(tmp_path, worker="gate-1", clock=lambda: 1_795_000_000.5)
    good = closed()
    assert not journal.append(record)
    assert not journal.append(record)
    assert journal.problem is not None
    assert journal.append(good)
    assert journal.problem is None
    assert journal.append(good)
    journal.close()
    assert journal.lost == 2
    assert read_all(tmp_path) == [Lost(at_us=1_795_000_000_500_000, calls=2), good, good]


def test_a_loss_is_told_without_waiting_for_the_next_call(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.append(closed(opened(team="\udcff")))
    assert journal.problem is not None
    journal.tick()
    assert journal.problem is None  # or a gate that gets no calls meanwhile would never be ready again
    assert [record.calls for record in read_all(tmp_path)] == [1]
    journal.close()
    assert len(read_all(tmp_path)) == 1


def test_an_opening_that_cannot_be_written_is_no_loss_while_its_end_can(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    assert not journal.append(opened(team="\udcff"))
    assert journal.lost == 0
    journal.close()


def test_a_directory_that_cannot_be_written_costs_neither_records_nor_an_exception(tmp_path):
    directory = tmp_path / "journal"
    directory.mkdir()
    directory.rmdir()
    directory.write_text("a file is in the way")
    with pytest.raises(OSError, match=r"\[Errno 17\]"):
        Journal.open(directory, worker="gate-1")
    directory.unlink()
    journal = Journal.open(directory, worker="gate-1")
    segments(directory)[0].unlink()
    directory.rmdir()
    directory.write_text("in the way again")
    journal.tick()  # notices that its file is gone
    records = [closed(), closed()]
    assert not journal.append(records[0])
    assert journal.lost == 0
    directory.unlink()
    assert journal.append(records[1])
    assert read_all(directory) == records
    journal.close()


def test_a_deleted_segment_is_noticed_and_replaced(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.append(closed())
    segments(tmp_path)[0].unlink()
    journal.tick()
    kept = closed()
    assert journal.append(kept)
    assert read_all(tmp_path) == [kept]
    journal.close()


def test_a_fsync_in_its_thread_does_not_disturb_appending(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1", fsync="interval", segment_bytes=3000)
    stop = threading.Event()

    def keep_syncing() -> None:
        while not stop.is_set():
            journal.sync()

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    records = [closed() for _ in range(500)]
    assert all(journal.append(record) for record in records)
    stop.set()
    thread.join()
    journal.close()
    assert journal.problem is None
    assert read_all(tmp_path) == records
