from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.usage import Usage
from proxy.backlog import BACKLOG_BYTES
from proxy.call import Closed, Lost, Opened
from proxy.journal import FRAME_BYTES_MAX, Journal, frame
from proxy.tail import Tail, parse
from proxy.unwritten import Unwritten
from tests.records import closed, opened

texts = st.text(max_size=40)
counts = st.integers(0, 2**63 - 1)
maybe_count = st.none() | counts
usages = st.builds(
    Usage,
    **dict.fromkeys(
        (name for name in Usage.__dataclass_fields__ if name != "units"),
        maybe_count,
    ),
    units=st.dictionaries(texts, st.floats(allow_nan=False), max_size=3),
)
openings = st.builds(
    Opened,
    id=texts,
    operation_id=texts,
    attempt=st.integers(1, 9),
    started_at_us=counts,
    team=st.none() | texts,
    project=st.none() | texts,
    user=st.none() | texts,
    key_id=st.none() | texts,
    tags=st.dictionaries(texts, texts, max_size=3),
    provider=st.none() | texts,
    surface=texts,
    model_requested=st.none() | texts,
    stream=st.booleans(),
    request_bytes=maybe_count,
    zone=st.none() | texts,
)
ends = st.builds(
    Closed,
    opened=openings,
    ended_at_us=counts,
    outcome=st.sampled_from(["ok", "error", "aborted", "interrupted", "rejected"]),
    status=st.none() | st.integers(100, 599),
    model=st.none() | texts,
    provider_request_id=st.none() | texts,
    usage=st.none() | usages,
    usage_source=st.sampled_from(["reported", "counted", "inferred", "absent"]),
    flags=st.lists(texts, max_size=3).map(tuple),
    reason=st.none() | texts,
    latency_us=counts,
    time_to_first_token_us=maybe_count,
    overhead_us=maybe_count,
    response_bytes=counts,
    service_tier=st.none() | texts,
    region=st.none() | texts,
)
losses = st.builds(Lost, at_us=counts, calls=counts, ids=st.lists(texts, max_size=3).map(tuple))


def read_all(directory: Path) -> list:
    tail = Tail(directory)
    entries = []
    while batch := tail.read(100):
        entries += batch
    assert (tail.torn, tail.poison) == (0, 0)
    tail.close()
    return [entry.record for entry in entries]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@given(openings | ends | losses)
def test_a_record_comes_back_from_its_frame_as_it_was(record):
    framed = frame(record)
    assert parse(framed) == (record, len(framed))
    assert parse(framed[:-1]) == "incomplete"


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


def run_child(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


def output_of(program: str, *arguments: object) -> list[str]:
    child = run_child(program, *arguments)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return out.decode().splitlines()


LIMITED = """
    import os, resource, sys
    from pathlib import Path
    from proxy.journal import Journal
    from proxy.unwritten import slots
    from tests.records import closed, opened
    directory = Path(sys.argv[1])
    (slot,) = slots(1)
    def file_bytes_at_most(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    def free():
        file_bytes_at_most(resource.RLIM_INFINITY)
"""


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_a_file_that_cannot_grow_is_cut_back_to_whole_frames_and_a_new_one_begun(tmp_path, fsync):
    program = (
        LIMITED
        + """
    file_bytes_at_most(1500)
    journal = Journal.open(directory, worker="gate-1", fsync=sys.argv[2], slot=slot)
    for number in range(20):
        journal.append(closed(opened(id=str(number))))
    journal.close()
    print(journal.lost, slot.said().waiting)
    """
    )
    assert output_of(program, tmp_path, fsync) == ["0 0"]
    assert len(segments(tmp_path)) > 3
    assert [record.opened.id for record in read_all(tmp_path)] == [str(number) for number in range(20)]


@pytest.mark.parametrize("how", ["append", "tick", "close"])
def test_nothing_can_be_written_for_a_while_and_nothing_is_lost(tmp_path, how):
    program = (
        LIMITED
        + """
    journal = Journal.open(directory, worker="gate-1", fsync="never", slot=slot)
    assert journal.append(closed(opened(id="first")))
    file_bytes_at_most(0)
    for number in range(200):
        begun = opened(id=str(number))
        assert not journal.append(begun)
        assert not journal.append(closed(begun))
    journal.tick()
    print(slot.said())
    print(journal.lost, len(list(directory.iterdir())), journal.problem, flush=True)
    free()
    if sys.argv[2] == "append":
        assert journal.append(opened(id="last"))
    elif sys.argv[2] == "tick":
        journal.tick()
        assert journal.problem is None
    journal.close()
    print(slot.said())
    """
    )
    full, state, after = output_of(program, tmp_path, how)
    problem = f"OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}"
    assert full == repr(Unwritten(waiting=200, lost=0, problem=problem))
    assert state == f"0 2 {problem}"  # not one more file for each failure
    assert after == repr(Unwritten())
    named = [each.id if isinstance(each, Opened) else f"end of {each.opened.id}" for each in read_all(tmp_path)]
    expected = [name for number in range(200) for name in (str(number), f"end of {number}")]
    assert named == ["end of first", *expected, *(["last"] if how == "append" else [])]


def test_beyond_the_bound_calls_are_lost_counted_and_those_in_flight_named(tmp_path):
    program = (
        LIMITED
        + """
    journal = Journal.open(directory, worker="gate-1", fsync="never", slot=slot)
    early, late, long = opened(id="early"), opened(id="late"), opened(id="long")
    for begun in (early, long):
        assert journal.append(begun)
    file_bytes_at_most(0)
    journal.append(late)  # waits in memory
    filled = 0
    while not journal.lost:
        filled += 1
        journal.append(closed(opened(tags={"k": "v" * 10_000})))
    for begun in (early, late, opened(id="never opened")):
        journal.append(closed(begun, flags=("x" * 10_000,)))
    print(filled, journal.lost, slot.said().waiting, slot.said().lost, flush=True)
    free()
    journal.tick()
    print(slot.said())
    journal.append(closed(long))
    journal.close()
    """
    )
    full, after = output_of(program, tmp_path)
    filled, lost, waiting, unreported = map(int, full.split())
    assert (lost, unreported, waiting) == (4, 4, filled)  # one of them lost, and "late" waits
    assert filled * 10_000 == pytest.approx(BACKLOG_BYTES, rel=0.1)
    assert after == repr(Unwritten())
    records = read_all(tmp_path)
    (loss,) = (record for record in records if isinstance(record, Lost))
    assert (loss.calls, loss.ids) == (4, ("early", "late"))
    assert [record.id for record in records if isinstance(record, Opened)] == ["early", "long", "late"]
    assert sum(isinstance(record, Closed) for record in records) == filled - 1 + 1
    assert records[-1].opened.id == "long"


def test_what_waited_in_a_killed_process_is_counted_by_the_next(tmp_path):
    program = (
        LIMITED
        + """
    pid = os.fork()
    if pid == 0:
        journal = Journal.open(directory, worker="gate-1", slot=slot)
        file_bytes_at_most(0)
        for _ in range(7):
            begun = opened()
            journal.append(begun)
            journal.append(closed(begun))
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    print(slot.said().waiting)
    journal = Journal.open(directory, worker="gate-1", slot=slot)
    print(slot.said())
    journal.close()
    """
    )
    assert output_of(program, tmp_path) == ["7", repr(Unwritten())]
    assert [record.calls for record in read_all(tmp_path)] == [7]


def test_what_cannot_be_written_until_the_end_is_left_for_the_next(tmp_path):
    program = (
        LIMITED
        + """
    journal = Journal.open(directory, worker="gate-1", slot=slot)
    file_bytes_at_most(0)
    for _ in range(3):
        journal.append(closed())
    journal.close()
    print(journal.lost, slot.said().waiting, slot.said().lost)
    """
    )
    assert output_of(program, tmp_path) == ["3 0 3"]


@pytest.mark.parametrize("after_lines", [1, 500, 5000])
def test_a_process_killed_under_load_loses_no_append_that_returned(tmp_path, after_lines):
    program = """
        import os, sys
        from pathlib import Path
        from proxy.journal import Journal
        from tests.records import closed, opened
        journal = Journal.open(Path(sys.argv[1]), worker="gate-1", segment_bytes=100_000)
        while True:
            begun = opened()
            for record in (begun, closed(begun)):
                assert journal.append(record)
                os.write(1, f"{type(record).__name__} {begun.id}\\n".encode())
    """
    child = run_child(program, tmp_path)
    assert child.stdout is not None
    returned = [child.stdout.readline() for _ in range(after_lines)]
    os.kill(child.pid, signal.SIGKILL)
    returned += child.stdout.read().splitlines(keepends=True)
    child.wait()
    child.stdout.close()
    whole = [line.decode().split() for line in returned if line.endswith(b"\n")]

    tail = Tail(tmp_path)
    found = []
    while batch := tail.read(1000):
        found += batch
    tail.close()
    assert tail.poison == 0
    names = [["Opened", e.record.id] if isinstance(e.record, Opened) else ["Closed", e.record.opened.id] for e in found]
    assert names[: len(whole)] == whole
    assert len(names) - len(whole) <= 1  # written, but killed before it could say so
    assert len(whole) >= after_lines
