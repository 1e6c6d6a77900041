"""A disk that takes no more, for a while or for good, and processes that are killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from proxy.backlog import BACKLOG_BYTES
from proxy.call import Closed, Lost, Opened
from proxy.tail import Tail
from proxy.unwritten import Unwritten
from tests.journal.reading import read_all, segments


def run_child(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
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
