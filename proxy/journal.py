"""The journal: where the facts of a call are written down before its client sees the end of the reply.

One append-only file per gate process, cut into segments. A segment holds frames and nothing else:

    u32 length of the payload | u32 crc32 of the payload | payload: one record as MessagePack

(little endian). The rules that the reader (``proxy.tail``) may count on:

* a record is one ``write()``, so a killed process leaves whole frames and at most one torn last one;
* a segment has its final name only after its writer locked it (``flock``), and the next segment is
  there before the lock of the last one goes; a process that no longer locks anything is at its end;
* a segment is never opened for writing twice: a new process starts a new one.

What survives: a killed process loses nothing under any ``fsync`` policy, the kernel has the bytes;
a power cut loses what came after the last fsync: nothing under ``always`` (each append waits for
the disk), up to a tick under ``interval``, what the kernel still held under ``never``.

While the disk is full, or fails, records wait in a bounded backlog and are written in order as soon as
that is possible. Beyond the bound they are lost: counted, said at once (``proxy.unwritten``), and
written down as a ``Lost`` record later.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from proxy.backlog import Backlog
from proxy.call import Closed, Lost, Opened, Record
from proxy.unwritten import Slot, Unwritten, slots

Fsync = Literal["never", "interval", "always"]

HEADER = struct.Struct("<II")
FRAME_BYTES_MAX = 256 * 1024  # of a payload; longer in a file can only be damage
SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT_NAME = re.compile(r"(?P<writer>[A-Za-z0-9_.-]+-\d{16})-(?P<sequence>\d{6,})\.journal")
_WORKER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OPENING = ".opening"  # suffix until the writer holds the lock
_IDS_AT_MOST = 5000  # that a Lost record names, to fit a frame: calls that were in flight when the backlog filled up

_log = logging.getLogger("joulegate.journal")

_encode = msgspec.msgpack.Encoder().encode


def frame(record: Record) -> bytes:
    """Give the bytes that stand for ``record`` in a segment; raises ``ValueError`` when it is too long."""
    payload = _encode(record)
    if len(payload) > FRAME_BYTES_MAX:
        raise ValueError(f"record of {len(payload)} bytes, {FRAME_BYTES_MAX} at most")
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


class Journal:
    """Writer of one gate process. Only ``sync`` may be called from another thread."""

    def __init__(
        self,
        directory: Path,
        *,
        worker: str,
        fsync: Fsync,
        segment_bytes: int,
        clock: Callable[[], float],
        slot: Slot,
    ) -> None:
        if not _WORKER_NAME.fullmatch(worker):
            raise ValueError(f"worker name {worker!r}: letters, digits, '_', '.' and '-' only")
        self.lost = 0  # calls whose end could not be written since the start
        self.problem: str | None = None  # why the last write or fsync failed; None once one works again
        self._directory = directory
        self._worker = worker
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._started_us = int(clock() * 1e6)
        self._sequence = 0
        self._path: Path | None = None
        self._fd = -1
        self._size = 0
        self._suspect = False  # the last write failed: better go on in a new segment
        self._unusable = False  # a torn frame could not be cut off, or the file was deleted
        self._backlog = Backlog()
        self._begun: set[str] = set()  # calls whose opening is written, or waits, and which have not ended
        self._slot = slot
        said = slot.said()
        # Losses not yet written down as a Lost record; at first those of the process whose place this one takes.
        self._unreported = said.waiting + said.lost
        self._unended: list[str] = []  # calls among them whose opening is written
        self._closed = False
        self._unsynced = False
        self._retired: list[int] = []  # descriptors of full segments, waiting for their fsync
        self._descriptors = threading.Lock()  # guards _fd and _retired against ``sync`` in its thread
        self._executor: ThreadPoolExecutor | None = None
        self._syncing: Future[None] | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        worker: str,
        fsync: Fsync = "interval",
        segment_bytes: int = SEGMENT_BYTES,
        clock: Callable[[], float] = time.time,
        slot: Slot | None = None,
    ) -> Journal:
        """Make ready to append; raises ``OSError`` only when the directory cannot be made.

        A directory that cannot be written to (now) is no error: records wait until it can be written
        to again. ``clock`` gives seconds since the Unix epoch; ``slot`` is where others see what waits.
        """
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        slot = slots(1)[0] if slot is None else slot
        journal = cls(directory, worker=worker, fsync=fsync, segment_bytes=segment_bytes, clock=clock, slot=slot)
        journal._catch_up()
        return journal

    def append(self, record: Opened | Closed) -> bool:
        """Write one record down, or keep it until that can be done; False where it is not in the file. Never raises."""
        try:
            framed = frame(record)
        except Exception as error:  # a metering failure never fails a call
            self._lose(record)
            self._stumble(error)
            self._say()
            return False
        if self._owes:
            self._catch_up()
        if not self._owes:
            try:
                self._write(framed)
            except Exception as error:
                self._stumble(error)
            else:
                self._follow(record)
                self._done()
                return self.problem is None
        if not self._closed and self._backlog.add(_call_id(record), framed):
            self._follow(record)
        else:
            self._lose(record)
        self._say()
        return False

    def tick(self) -> None:
        """Do what is due, called about once a second; never raises, never waits for the disk."""
        try:
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:
                self._unusable = True  # deleted under us: what is written there is seen by nobody
            if self._owes or self.problem is not None:
                self._catch_up()
            if self._fsync == "interval" and self._unsynced and (self._syncing is None or self._syncing.done()):
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="journal-fsync")
                self._syncing = self._executor.submit(self.sync)
        except Exception as error:
            self._stumble(error)
        self._say()

    def sync(self) -> None:
        """Wait until the disk has everything appended so far; for a thread of its own. Never raises."""
        with self._descriptors:
            self._unsynced = False
            due, self._retired = self._retired, []
            try:
                if self._fd >= 0:
                    due.append(os.dup(self._fd))
            except OSError as error:
                self._unsynced = True
                self.problem = f"fsync: {error}"
        for fd in due:
            try:
                os.fsync(fd)
            except OSError as error:
                self.problem = f"fsync: {error}"
            finally:
                os.close(fd)

    def close(self) -> None:
        """End the segment, so that the reader knows nothing more comes; later appends are losses."""
        if self._closed:
            return
        if self._owes:
            self._catch_up()
        self._closed = True
        if self._backlog:
            _log.error("%d calls are lost: the journal could not be written until the end", self._backlog.calls)
            self.lost += self._backlog.calls
            self._unreported += self._backlog.calls
            self._backlog = Backlog()
        self._say()
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        if self._fsync != "never":
            self.sync()
        with self._descriptors:
            if self._fd >= 0 and self._path is not None:
                if self._size == 0:
                    self._path.unlink(missing_ok=True)
                os.close(self._fd)
            self._fd = -1

    @property
    def _owes(self) -> bool:
        return bool(self._backlog or self._unreported)

    def _catch_up(self) -> None:
        """Write what waits, in order, then what is lost, as far as it goes."""
        try:
            while self._backlog:
                self._write(self._backlog.first())
                self._backlog.drop_first()
            if self._unreported:
                at_us = int(self._clock() * 1e6)
                self._write(frame(Lost(at_us=at_us, calls=self._unreported, ids=tuple(self._unended))))
                self._unreported = 0
                self._unended.clear()
            self._descriptor(0)
        except Exception as error:
            self._stumble(error)
        else:
            self._done()
        self._say()

    def _done(self) -> None:
        """Take note that writing worked."""
        if self.problem is not None:
            _log.warning("the journal is written again; calls lost since the start: %d", self.lost)
            self.problem = None
        if self._fsync == "always":
            self.sync()

    def _stumble(self, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}"
        if self.problem is None:
            _log.error("a record cannot be written to the journal: %s", problem)
        self.problem = problem

    def _follow(self, record: Opened | Closed) -> None:
        """Know which calls the file, or what waits for it, has begun and not ended."""
        if isinstance(record, Opened):
            self._begun.add(record.id)
        else:
            self._begun.discard(record.opened.id)

    def _lose(self, record: Opened | Closed) -> None:
        """Count a call whose end is lost; a lost opening costs nothing, the end has its facts too."""
        if isinstance(record, Opened):
            return
        self.lost += 1
        self._unreported += 1
        if record.opened.id in self._begun:
            self._begun.discard(record.opened.id)
            if len(self._unended) < _IDS_AT_MOST:
                self._unended.append(record.opened.id)

    def _say(self) -> None:
        self._slot.say(Unwritten(waiting=self._backlog.calls, lost=self._unreported, problem=self.problem))

    def _write(self, framed: bytes) -> None:
        fd = self._descriptor(len(framed))
        try:
            written = os.write(fd, framed)
            if written != len(framed):
                raise OSError(f"only {written} of {len(framed)} bytes could be written")
        except OSError:
            self._suspect = True
            self._cut()
            raise
        self._suspect = False
        self._size += written
        self._unsynced = True

    def _cut(self) -> None:
        """Take a partly written frame off the end again."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._unusable = True

    def _descriptor(self, bytes_wanted: int) -> int:
        """Give the segment to write to, a new one where the current one is full or has failed."""
        if self._closed:
            raise OSError("the journal is closed")
        full = self._suspect or self._size + bytes_wanted > self._segment_bytes
        # An empty segment that failed is tried again, else a full disk would fill with empty files.
        if self._fd >= 0 and not self._unusable and (self._size == 0 or not full):
            return self._fd
        try:
            self._start_segment()
        except OSError:
            if self._fd < 0 or self._unusable:
                raise
        return self._fd

    def _start_segment(self) -> None:
        """Open the next segment, then let go of the current one; raises ``OSError``, the current one staying."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        path, fd = self._create()
        with self._descriptors:
            previous, self._fd = self._fd, fd
            self._path, self._size, self._suspect, self._unusable = path, 0, False, False
            if previous >= 0:
                fcntl.flock(previous, fcntl.LOCK_UN)
                if self._fsync == "never":
                    os.close(previous)
                else:
                    self._retired.append(previous)

    def _create(self) -> tuple[Path, int]:
        while True:
            name = f"{self._worker}-{self._started_us:016d}-{self._sequence + 1:06d}.journal"
            path = self._directory / name
            opening = path.with_suffix(_OPENING)
            if path.exists() or opening.exists():
                # Another process of this name started in the same microsecond, or the clock was set back.
                if self._sequence == 0:
                    self._started_us += 1
                else:
                    self._sequence += 1
                continue
            try:
                fd = os.open(opening, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
            except FileExistsError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                opening.rename(path)
                if self._fsync != "never":
                    self._sync_directory()
            except BaseException:
                os.close(fd)
                opening.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                raise
            self._sequence += 1
            return path, fd

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _call_id(record: Opened | Closed) -> str:
    return record.id if isinstance(record, Opened) else record.opened.id
