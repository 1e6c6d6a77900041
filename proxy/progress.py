"""How far the segments of a journal directory are read and recorded, and which calls in them have not ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from proxy.call import Opened
from proxy.in_flight import InFlight
from proxy.ledger.write import Position
from proxy.tail import Entry


class Progress:
    """Of one recorder since it took over; ``committed`` are the positions that it found in the ledger."""

    def __init__(self, committed: Mapping[str, Position]) -> None:
        self.in_flight = InFlight()
        self._committed = dict(committed)  # what lies before was done by another
        self._read_to: dict[str, int] = {}
        self._moved: set[str] = set()  # segments read on since their position was committed

    def read(self, entries: Iterable[Entry]) -> None:
        """Take note of what was read."""
        read_to = {entry.segment: entry.end for entry in entries}
        self._read_to |= read_to
        self._moved |= read_to.keys()

    def end(self, call_id: str) -> Opened | None:
        """Let a call end; gives its opening, None where it is not known."""
        ended = self.in_flight.end(call_id)
        if ended is None:
            return None
        segment, opened = ended
        self._moved.add(segment)
        return opened

    def fresh(self, entries: Sequence[Entry]) -> bool:
        """Whether no recorder before this one has read of these segments: so as a rule."""
        return not self._committed or self._committed.keys().isdisjoint({entry.segment for entry in entries})

    def done_before(self, entry: Entry) -> bool:
        """Whether a recorder before this one committed what the entry says."""
        committed = self._committed.get(entry.segment)
        return committed is not None and entry.end <= committed.read_to

    def position(self, segment: str) -> Position:
        """Give how far a segment is done, once everything that was read of it is committed."""
        before = self._committed.get(segment)
        read_to = max(self._read_to.get(segment, 0), before.read_to if before else 0)
        first = self.in_flight.first(segment)
        resolved_to = self._read_to.get(segment, 0) if first is None else first
        return Position(resolved_to=resolved_to, read_to=read_to)

    def moved(self) -> dict[str, Position]:
        """Give the positions that are not committed as they are now."""
        return {segment: self.position(segment) for segment in self._moved}

    def committed(self) -> None:
        """Take note that they are."""
        self._moved.clear()

    def forget(self, segment: str) -> None:
        """Drop what is known of a segment that is gone."""
        self._read_to.pop(segment, None)
        self._committed.pop(segment, None)
        self._moved.discard(segment)
