from __future__ import annotations

import fcntl
import random
import zlib
from pathlib import Path

import msgspec
import pytest

import proxy.tail
from proxy.call import Closed
from proxy.journal import FRAME_BYTES_MAX, HEADER, Journal, frame
from proxy.tail import SET_ASIDE, Entry, Tail
from tests.records import closed, opened

SEGMENT = "gate-1-1795000000000000-000001.journal"


def drain(tail: Tail, limit: int = 100) -> list[Entry]:
    entries: list[Entry] = []
    for _ in range(3):  # a live segment's doubtful frame is looked at twice
        while batch := tail.read(limit):
            entries += batch
    return entries


def dead_segment(directory: Path, data: bytes, name: str = SEGMENT) -> None:
    (directory / name).write_bytes(data)


def test_a_missing_or_empty_directory_gives_nothing(tmp_path):
    assert Tail(tmp_path / "none").read(10) == []
    assert Tail(tmp_path).read(10) == []


def test_entries_say_where_their_frames_lie(tmp_path):
    records = [opened(), closed(), closed()]
    frames = [frame(record) for record in records]
    dead_segment(tmp_path, b"".join(frames))
    entries = drain(Tail(tmp_path))
    assert [entry.record for entry in entries] == records
    assert [entry.end - entry.offset for entry in entries] == [len(each) for each in frames]
    assert [entry.offset for entry in entries[1:]] == [entry.end for entry in entries[:-1]]
    resumed = Tail(tmp_path, {SEGMENT: entries[1].offset})
    assert drain(resumed) == entries[1:]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_no_more_than_the_limit_is_read_and_nothing_is_left_out(tmp_path, limit):
    records = [closed() for _ in range(700)]  # more than one stretch of reading
    dead_segment(tmp_path, b"".join(map(frame, records)))
    tail = Tail(tmp_path)
    found: list[Entry] = []
    while batch := tail.read(limit):
        assert len(batch) <= limit
        found += batch
    assert [entry.record for entry in found] == records


def test_a_frame_of_the_greatest_length_is_read(tmp_path):
    empty = len(frame(opened(id="i", operation_id="o", started_at_us=1, user=""))) - HEADER.size
    record = opened(id="i", operation_id="o", started_at_us=1, user="x" * (FRAME_BYTES_MAX - empty - 4))
    assert FRAME_BYTES_MAX - 4 <= len(frame(record)) - HEADER.size <= FRAME_BYTES_MAX
    dead_segment(tmp_path, frame(closed()) + frame(record) + frame(closed()))
    assert [type(entry.record) for entry in drain(Tail(tmp_path))] == [Closed, type(record), Closed]


def test_a_tail_torn_at_any_byte_costs_only_the_torn_record(tmp_path):
    whole, last = frame(opened()) + frame(closed()), frame(closed())
    for cut in range(len(last)):
        directory = tmp_path / str(cut)
        directory.mkdir()
        dead_segment(directory, whole + last[:cut])
        tail = Tail(directory)
        assert len(drain(tail)) == 2, cut
        assert (tail.torn, tail.poison) == (int(cut > 0), 0), cut
        assert tail.drained() == [SEGMENT]
        assert not (directory / SET_ASIDE).exists()


def test_a_live_writers_half_written_frame_is_waited_for_at_any_byte(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.append(opened())
    (path,) = tmp_path.glob("*.journal")
    tail = Tail(tmp_path)
    assert len(tail.read(10)) == 1
    framed = frame(closed())
    with path.open("ab", buffering=0) as behind:
        for number in range(len(framed) - 1):
            behind.write(framed[number : number + 1])
            assert tail.read(10) == []
        behind.write(framed[-1:])
    assert len(tail.read(10)) == 1
    assert (tail.torn, tail.poison, tail.drained()) == (0, 0, [])
    journal.close()


def test_a_damaged_byte_anywhere_costs_one_record_and_the_segment_is_kept_aside(tmp_path):
    frames = [frame(opened()), frame(closed()), frame(closed())]
    start, end = len(frames[0]), len(frames[0]) + len(frames[1])
    data = b"".join(frames)
    for at in range(start, end):
        directory = tmp_path / str(at)
        directory.mkdir()
        damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        dead_segment(directory, damaged)
        tail = Tail(directory)
        assert [entry.offset for entry in drain(tail)] == [0, end], at
        assert (tail.torn, tail.poison) == (0, 1), at
        tail.remove(SEGMENT)
        assert not (directory / SEGMENT).exists()
        assert (directory / SET_ASIDE / SEGMENT).read_bytes() == damaged


def test_damage_in_a_live_segment_is_believed_at_the_second_look(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1")
    journal.append(opened())
    (path,) = tmp_path.glob("*.journal")
    first = path.stat().st_size
    journal.append(closed())
    with path.open("r+b") as file:
        file.seek(first + HEADER.size + 5)
        file.write(b"\xff\xff")
    kept = closed()
    journal.append(kept)
    tail = Tail(tmp_path)
    assert len(tail.read(10)) == 1
    assert tail.poison == 0
    assert [entry.record for entry in tail.read(10)] == [kept]
    assert tail.poison == 1
    journal.close()


def test_a_whole_frame_of_an_unknown_kind_is_poison_not_an_end(tmp_path):
    payload = msgspec.msgpack.encode(["z", 1, 2])
    unknown = HEADER.pack(len(payload), zlib.crc32(payload)) + payload
    dead_segment(tmp_path, unknown + frame(closed()))
    tail = Tail(tmp_path)
    assert len(drain(tail)) == 1
    assert (tail.poison, tail.torn) == (1, 0)


@pytest.mark.parametrize("noise", [bytes(5000), random.Random(4).randbytes(5000)], ids=["zeros", "random"])
def test_noise_after_a_power_cut_is_poison_and_what_lies_around_it_is_read(tmp_path, noise):
    dead_segment(tmp_path, frame(closed()) + noise)
    tail = Tail(tmp_path)
    assert len(drain(tail)) == 1
    assert tail.poison + tail.torn == 1
    assert tail.drained() == [SEGMENT]
    other = tmp_path / "between"
    other.mkdir()
    dead_segment(other, frame(closed()) + noise + frame(closed()))
    tail = Tail(other)
    assert len(drain(tail)) == 2
    assert tail.poison == 1


def test_an_older_release_s_shorter_records_are_read_with_defaults(tmp_path):
    record = opened(zone=None)
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    payload = msgspec.msgpack.encode(fields[:-1])
    dead_segment(tmp_path, HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
    assert [entry.record for entry in drain(Tail(tmp_path))] == [record]


def test_other_files_in_the_directory_are_left_alone(tmp_path):
    for name in ("notes.txt", "x.journal", "gate-1-1795000000000000-000001.opening", "recorder.lock"):
        (tmp_path / name).write_bytes(frame(closed()))
    tail = Tail(tmp_path)
    assert drain(tail) == []
    assert tail.drained() == []


def test_a_writer_is_ended_when_it_let_go_of_its_last_segment_not_when_it_rotates(tmp_path):
    journal = Journal.open(tmp_path, worker="gate-1", segment_bytes=1000)
    tail = Tail(tmp_path)
    for _ in range(20):
        journal.append(closed())
        drain(tail)
        for name in tail.drained():
            assert not tail.ended(name)
    assert len(tail.drained()) > 5
    last = max(path.name for path in tmp_path.glob("*.journal"))
    assert last not in tail.drained()
    journal.close()
    drain(tail)
    assert tail.ended(last)
    assert last in tail.drained()


def test_a_rotation_while_the_reader_looks_does_not_look_like_the_writers_end(tmp_path, monkeypatch):
    journal = Journal.open(tmp_path, worker="gate-1", segment_bytes=500)
    journal.append(opened())
    (first,) = (path.name for path in tmp_path.glob("*.journal"))
    looked = proxy.tail._unlocked

    def rotate_then_look(fd: int) -> bool:
        if len(list(tmp_path.glob("*.journal"))) == 1:  # after the listing, before the lock is looked at
            journal.append(closed())
        return looked(fd)

    monkeypatch.setattr(proxy.tail, "_unlocked", rotate_then_look)
    tail = Tail(tmp_path)
    assert len(tail.read(10)) == 1
    assert tail.drained() == [first]
    assert not tail.ended(first)
    assert len(tail.read(10)) == 1
    assert not tail.ended(first)
    journal.close()


def test_a_segment_is_not_read_while_an_earlier_one_may_still_grow(tmp_path):
    first, second = (f"gate-1-1795000000000000-00000{number}.journal" for number in (1, 2))
    begun = opened()
    framed = frame(begun)
    dead_segment(tmp_path, framed[:-1], first)
    dead_segment(tmp_path, frame(closed(begun)), second)
    tail = Tail(tmp_path)
    with (tmp_path / first).open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert drain(tail) == []
        writer.write(framed[-1:])
    assert [entry.segment for entry in drain(tail)] == [first, second]


def test_a_segments_successor_waits_until_it_is_read_to_its_end(tmp_path):
    begun = opened()
    dead_segment(tmp_path, frame(begun), "gate-1-1795000000000000-000009.journal")
    dead_segment(tmp_path, frame(closed(begun)), "gate-1-1795000000000000-000010.journal")
    dead_segment(tmp_path, frame(opened()), "gate-0-1795000000000000-1000000.journal")
    tail = Tail(tmp_path)
    order = [entry.segment.split("-")[-1] for entry in drain(tail, limit=1) if entry.segment.startswith("gate-1")]
    assert order == ["000009.journal", "000010.journal"]


def test_a_busy_writer_does_not_keep_the_others_waiting(tmp_path):
    for worker in ("a", "b", "c"):
        data = b"".join(frame(closed()) for _ in range(50))
        dead_segment(tmp_path, data, f"{worker}-1795000000000000-000001.journal")
    tail = Tail(tmp_path)
    seen = {entry.segment[0] for _ in range(3) for entry in tail.read(10)}
    assert seen == {"a", "b", "c"}


def test_what_was_read_is_given_even_when_another_segment_cannot_be(tmp_path):
    dead_segment(tmp_path, frame(closed()), "a-1795000000000000-000001.journal")
    (tmp_path / "b-1795000000000000-000001.journal").mkdir()
    tail = Tail(tmp_path)
    given, failures = [], 0
    for _ in range(4):
        try:
            given += tail.read(10)
        except OSError:
            failures += 1
    assert len(given) == 1
    assert failures > 0
