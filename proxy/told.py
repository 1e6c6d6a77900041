"""What the recorder has counted and told its listeners: once, in however many ledgers it is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.call import Closed, Lost, Opened
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
        before = self.counts["lost"]
        for entry in entries:
            if entry.end <= self._counted.get(entry.segment, 0):
                continue
            self._counted[entry.segment] = entry.end
            match entry.record:
                case Opened():
                    self.counts["opened"] += 1
                case Closed():
                    self.counts["closed"] += 1
                case Lost(calls=calls):
                    self.counts["lost"] += calls
        return self.counts["lost"] - before

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
