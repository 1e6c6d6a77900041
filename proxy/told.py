"""What the recorder has counted and told its listeners: once, in however many ledgers it is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.call import Closed, Opened
from proxy.tail import Entry


class Told:
    """How far each segment was counted, and its rows told; ``repeated`` are calls that are read once more."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("opened", "closed", "recorded", "lost", "poison", "torn", "unestimated"), 0)
        self.repeated: set[str] = set()
        self._counted: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def count(self, entries: Iterable[Entry]) -> int:
        """Count what was not counted before; gives how many calls are lost according to it."""
        counted = self._counted
        began = ended = lost = 0
        for segment, _, end, record in entries:
            if end <= counted.get(segment, 0):
                continue
            counted[segment] = end
            if isinstance(record, Opened):
                began += 1
            elif isinstance(record, Closed):
                ended += 1
            else:
                lost += record.calls
        self.counts["opened"] += began
        self.counts["closed"] += ended
        self.counts["lost"] += lost
        return lost

    def again(self, entry: Entry, call_id: str) -> None:
        """Take note of a call that an entry ends, if it was told before."""
        if entry.end <= self._told.get(entry.segment, 0):
            self.repeated.add(call_id)

    def tell(self, read_to: Mapping[str, int], call_ids: Iterable[str]) -> None:
        """Take note that the rows of these calls are told, and how far the segments are read with that."""
        self.repeated.difference_update(call_ids)
        for segment, end in read_to.items():
            self._told[segment] = max(end, self._told.get(segment, 0))

    def forget(self, segment: str) -> None:
        """Drop what is known of a segment that is gone."""
        self._counted.pop(segment, None)
        self._told.pop(segment, None)
