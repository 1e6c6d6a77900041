"""Reading the journals of all gate processes of one machine, while they are being written.

The rule it keeps: nothing damaged stops the reading. What cannot be read is counted, and the segment
it was found in gets a second name under ``set-aside/``, so that it outlives the segment's removal.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from proxy.call import Record
from proxy.journal import FRAME_BYTES_MAX, HEADER, SEGMENT_NAME

SET_ASIDE = "set-aside"
_READ_BYTES = 128 * 1024

_decode = msgspec.msgpack.Decoder(Record).decode


class Entry(NamedTuple):
    """One record and where its frame lies: bytes ``offset`` to ``end`` of ``segment``."""

    segment: str
    offset: int
    end: int
    record: Record


@dataclass(slots=True, kw_only=True)
class _Segment:
    name: str
    offset: int
    fd: int = -1  # open only while it is this segment's turn: there may be thousands after an outage
    sealed: bool = False  # its writer let go of it: not a byte will be added
    drained: bool = False  # sealed and read to its end
    doubtful_at: int = -1  # where a frame did not check out at the last look

    def drain(self) -> None:
        os.close(self.fd)
        self.fd = -1
        self.drained = True


def parse(data: bytes, at: int = 0) -> tuple[Record, int] | Literal["incomplete", "damaged"]:
    """Read the frame at ``at``: the record and where the next frame begins, or what is wrong."""
    if len(data) - at < HEADER.size:
        return "incomplete"
    length, checksum = HEADER.unpack_from(data, at)
    if not 0 < length <= FRAME_BYTES_MAX:
        return "damaged"
    start, end = at + HEADER.size, at + HEADER.size + length
    if end > len(data):
        return "incomplete"
    payload = data[start:end]
    if zlib.crc32(payload) != checksum:
        return "damaged"
    try:
        return _decode(payload), end
    except (msgspec.MsgspecError, ValueError):  # written whole, but not by a release this one understands
        return "damaged"


def set_aside(directory: Path, segment: str) -> None:
    """Give a segment a second name, under which a person can look at what was wrong in it."""
    aside = directory / SET_ASIDE
    aside.mkdir(exist_ok=True)
    try:
        os.link(directory / segment, aside / segment)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        shutil.copyfile(directory / segment, aside / segment)


class Tail:
    """Reader of a journal directory; one thread. ``torn`` and ``poison`` count what could not be read."""

    def __init__(self, directory: Path, start: Mapping[str, int] | None = None) -> None:
        """Begin each segment at its offset in ``start``, others at 0."""
        self.torn = 0  # last frames cut short by the end of their writer: those appends never returned
        self.poison = 0  # damaged stretches inside a segment
        self._directory = directory
        self._start = dict(start or {})
        self._writers: dict[str, dict[str, _Segment]] = {}  # by writer, segments in the order written
        self._ended: set[str] = set()
        self._turn = 0

    def read(self, limit: int) -> list[Entry]:
        """Give up to ``limit`` new records, each writer's in the order written.

        Raises ``OSError`` when a segment cannot be read and there was nothing else to give.
        """
        self._list()
        entries: list[Entry] = []
        writers = list(self._writers.values())
        self._turn += 1  # whose turn is first goes round, so that one busy writer does not starve the others
        for index in range(len(writers)):
            try:
                self._read_writer(writers[(self._turn + index) % len(writers)], limit, entries)
            except OSError:
                if not entries:
                    raise
                break
            if len(entries) >= limit:
                break
        return entries

    def drained(self) -> list[str]:
        """Name the segments that will give nothing more."""
        return [each.name for segments in self._writers.values() for each in segments.values() if each.drained]

    def ended(self, segment: str) -> bool:
        """Tell whether the process that wrote ``segment`` is gone and all it wrote was read."""
        match = SEGMENT_NAME.fullmatch(segment)
        return match is not None and match["writer"] in self._ended

    def remove(self, segment: str) -> None:
        """Delete a drained segment; raises ``OSError`` when it cannot be deleted."""
        for segments in self._writers.values():
            found = segments.get(segment)
            if found is not None:
                (self._directory / segment).unlink(missing_ok=True)
                del segments[segment]
        self._writers = {writer: segments for writer, segments in self._writers.items() if segments}
        self._ended &= self._writers.keys()

    def close(self) -> None:
        """Let go of all files."""
        for segments in self._writers.values():
            for segment in segments.values():
                if segment.fd >= 0:
                    os.close(segment.fd)
        self._writers = {}

    def _read_writer(self, segments: Mapping[str, _Segment], limit: int, entries: list[Entry]) -> None:
        for segment in segments.values():
            while not segment.drained and len(entries) < limit and self._step(segment, limit, entries):
                pass
            if not segment.drained:
                break  # a later segment may close calls that this one opens

    def _list(self) -> None:
        """Find new segments, and writers that are gone.

        The order matters: a segment seen unlocked before this listing has its successor in this
        listing, if its writer lives; so without one the writer is gone.
        """
        drained = {writer for writer, segments in self._writers.items() if all(s.drained for s in segments.values())}
        found: list[tuple[str, int, str]] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory) as listing:
            for each in listing:
                match = SEGMENT_NAME.fullmatch(each.name)
                if match is not None:
                    found.append((match["writer"], int(match["sequence"]), each.name))
        fresh: set[str] = set()
        for writer, _, name in sorted(found):
            segments = self._writers.setdefault(writer, {})
            if name not in segments:
                fresh.add(writer)
                segments[name] = _Segment(name=name, offset=self._start.get(name, 0))
        self._ended |= drained - fresh

    def _step(self, segment: _Segment, limit: int, entries: list[Entry]) -> bool:
        """Read one stretch of a segment; False when there is nothing more to read now."""
        if segment.fd < 0:
            segment.fd = os.open(self._directory / segment.name, os.O_RDONLY)
        # Looked at before reading: what is read after the lock was gone is all there will ever be.
        segment.sealed = segment.sealed or _unlocked(segment.fd)
        data = os.pread(segment.fd, _READ_BYTES, segment.offset)
        if len(data) == _READ_BYTES and parse(data) == "incomplete":
            data = os.pread(segment.fd, HEADER.size + FRAME_BYTES_MAX, segment.offset)
        found, at = _frames(data, segment.name, segment.offset, limit - len(entries))
        entries += found
        segment.offset += at
        if len(entries) >= limit:
            return False
        if at:
            segment.doubtful_at = -1
            return True
        return self._stuck(segment, data, damaged=parse(data) == "damaged")

    def _stuck(self, segment: _Segment, data: bytes, *, damaged: bool) -> bool:
        """Decide about an unreadable frame at the segment's offset; True when reading can go on behind it."""
        if not segment.sealed:
            # A live writer may be in the middle of a frame, or of cutting one off again: look twice.
            if not damaged or segment.doubtful_at != segment.offset:
                segment.doubtful_at = segment.offset if damaged else -1
                return False
        elif not data:
            segment.drain()
            return False
        rest = os.fstat(segment.fd).st_size - segment.offset
        behind = next(_frames_behind(os.pread(segment.fd, rest, segment.offset)), None)
        if behind is not None:
            self._set_aside(segment)
            segment.offset += behind
            return True
        if segment.sealed:
            if damaged:
                self._set_aside(segment)
            else:
                self.torn += 1
            segment.offset += rest
            segment.drain()
        return False

    def _set_aside(self, segment: _Segment) -> None:
        set_aside(self._directory, segment.name)
        self.poison += 1


def _frames(data: bytes, segment: str, offset: int, limit: int) -> tuple[list[Entry], int]:
    """Read up to ``limit`` frames as :func:`parse` does, many at once; gives where the first other one begins."""
    unpack, header, crc32 = HEADER.unpack_from, HEADER.size, zlib.crc32
    entries: list[Entry] = []
    add, make = entries.append, Entry._make
    at, size, view = 0, len(data), memoryview(data)
    while len(entries) < limit and at + header <= size:
        length, checksum = unpack(data, at)
        start = at + header
        end = start + length
        if not 0 < length <= FRAME_BYTES_MAX or end > size:
            break
        payload = view[start:end]
        if crc32(payload) != checksum:
            break
        try:
            record = _decode(payload)
        except (msgspec.MsgspecError, ValueError):
            break
        add(make((segment, offset + at, offset + end, record)))
        at = end
    return entries, at


def _frames_behind(data: bytes) -> Iterator[int]:
    """Find where readable frames begin behind a damaged one; first where its own length says."""
    if len(data) >= HEADER.size:
        length, _ = HEADER.unpack_from(data)
        if length <= FRAME_BYTES_MAX and not isinstance(parse(data, HEADER.size + length), str):
            yield HEADER.size + length
    for at in range(1, len(data) - HEADER.size):
        if not isinstance(parse(data, at), str):
            yield at


def _unlocked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True
