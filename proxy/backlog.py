"""Frames that a journal could not write yet, in the order they came."""

from __future__ import annotations

from collections import Counter, deque

# Some 8,000 records, a minute of 60 calls a second: long enough for a log rotation or a snapshot to give a full disk
# room again, and short enough that many gates on one machine do not take its memory.
BACKLOG_BYTES = 4 * 1024 * 1024


class Backlog:
    """A queue with an end: what does not fit is not taken."""

    def __init__(self) -> None:
        self._frames: deque[tuple[str, bytes]] = deque()
        self._calls: Counter[str] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        """Count the frames."""
        return len(self._frames)

    @property
    def calls(self) -> int:
        """How many calls the frames are of."""
        return len(self._calls)

    def add(self, call_id: str, framed: bytes) -> bool:
        """Take a frame of a call, if there is room."""
        if self._bytes + len(framed) > BACKLOG_BYTES:
            return False
        self._frames.append((call_id, framed))
        self._calls[call_id] += 1
        self._bytes += len(framed)
        return True

    def first(self) -> bytes:
        """Give the frame that is next."""
        return self._frames[0][1]

    def drop_first(self) -> None:
        """Take it out."""
        call_id, framed = self._frames.popleft()
        self._bytes -= len(framed)
        self._calls[call_id] -= 1
        if not self._calls[call_id]:
            del self._calls[call_id]
