from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.usage import Usage
from proxy.call import Closed, Lost, Opened
from proxy.journal import FRAME_BYTES_MAX, Journal, frame
from proxy.tail import Tail, parse
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
)
losses = st.builds(Lost, at_us=counts, records=counts)


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
        opened(team="\udcff"),
        opened(user="x" * FRAME_BYTES_MAX),
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
    assert read_all(tmp_path) == [Lost(at_us=1_795_000_000_500_000, records=2), good, good]


def test_a_loss_is_told_without_waiting_for_the_next_call(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.append(opened(team="\udcff"))
    journal.tick()
    assert [record.records for record in read_all(tmp_path)] == [1]
    journal.close()
    assert len(read_all(tmp_path)) == 1


def test_a_directory_that_cannot_be_written_costs_records_but_no_exception(tmp_path):
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
    assert not journal.append(closed())
    assert journal.lost == 1
    directory.unlink()
    assert journal.append(closed())
    assert [type(record) for record in read_all(directory)] == [Lost, Closed]
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


def run_child(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


def test_a_file_that_cannot_grow_is_cut_back_to_whole_frames_and_a_new_one_begun(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        from proxy.journal import Journal
        from tests.records import closed
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        journal = Journal.open(Path(sys.argv[1]), worker="gate-1")
        print(sum(journal.append(closed()) for _ in range(20)), journal.lost, flush=True)
        journal.close()
    """
    child = run_child(program, tmp_path)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    written, lost = map(int, out.split())
    assert written + lost == 20
    assert lost > 0
    records = read_all(tmp_path)
    assert sum(isinstance(record, Closed) for record in records) == written
    assert sum(record.records for record in records if isinstance(record, Lost)) == lost


def test_nothing_can_be_written_and_then_it_can(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        from proxy.journal import Journal
        from tests.records import closed
        journal = Journal.open(Path(sys.argv[1]), worker="gate-1", fsync="never")
        assert journal.append(closed())
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert not any(journal.append(closed()) for _ in range(200))
        print(journal.lost, len(list(Path(sys.argv[1]).iterdir())), journal.problem, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert journal.append(closed())
        assert journal.problem is None
        journal.close()
    """
    child = run_child(program, tmp_path)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    lost, files, problem = out.decode().split(maxsplit=2)
    assert int(lost) == 200
    assert int(files) == 2  # not one more for each failure
    assert os.strerror(errno.EFBIG) in problem
    assert [record.records if isinstance(record, Lost) else 0 for record in read_all(tmp_path)] == [0, 200, 0]


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
