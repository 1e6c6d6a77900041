"""Calls that were opened and have not ended, as the recorder finds them in the journals."""

from __future__ import annotations

from proxy.call import Opened


class InFlight:
    """Openings without an end, by the segment they lie in: that segment has to stay until they end."""

    def __init__(self) -> None:
        self.streams = 0  # how many of them are streamed
        self._calls: dict[str, dict[str, tuple[int, Opened]]] = {}  # by segment, by call, in order
        self._segment_of: dict[str, str] = {}

    def __len__(self) -> int:
        """Count the calls."""
        return len(self._segment_of)

    def begin(self, segment: str, offset: int, opened: Opened) -> None:
        """Add a call whose opening lies at ``offset`` of ``segment``; of one written twice the first counts."""
        if opened.id in self._segment_of:
            return
        self._calls.setdefault(segment, {})[opened.id] = (offset, opened)
        self._segment_of[opened.id] = segment
        self.streams += opened.stream

    def end(self, call_id: str) -> tuple[str, Opened] | None:
        """Take a call out; gives the segment of its opening and that, None where it is not known."""
        segment = self._segment_of.pop(call_id, None)
        if segment is None:
            return None
        calls = self._calls[segment]
        _, opened = calls.pop(call_id)
        self.streams -= opened.stream
        if not calls:
            del self._calls[segment]
        return segment, opened

    def segments(self) -> list[str]:
        """Name the segments that have to stay."""
        return list(self._calls)

    def of(self, segment: str) -> list[Opened]:
        """Give the calls of one segment in the order they were opened."""
        return [opened for _, opened in self._calls.get(segment, {}).values()]

    def first(self, segment: str) -> int | None:
        """Give the offset of a segment's first opening without an end."""
        return next((offset for offset, _ in self._calls.get(segment, {}).values()), None)
