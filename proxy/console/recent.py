"""The last calls, kept in memory: written by the recorder's thread, followed by open pages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice

from proxy.console.pulse import Pulse
from proxy.ledger.tables import CallRow


class RecentCalls:
    """A ring of rows in the order they were committed, each with its number, from 1."""

    def __init__(self, capacity: int = 500) -> None:
        self._rows: deque[CallRow] = deque(maxlen=capacity)
        self._number = 0  # of the last row added
        self._lock = threading.Lock()
        self.pulse = Pulse()
        self.seeded = False  # whether what an earlier process recorded was put in

    def add(self, rows: Sequence[CallRow]) -> None:
        """Take newly committed rows."""
        with self._lock:
            self._rows.extend(rows)
            self._number += len(rows)
        self.pulse.add(rows)

    def seed(self, rows: Sequence[CallRow]) -> None:
        """Put rows read from the ledger (the latest first) behind what came in meanwhile; only the first time."""
        with self._lock:
            if self.seeded:
                return
            self.seeded = True
            known = {row.id for row in self._rows}
            room = (self._rows.maxlen or 0) - len(self._rows)
            self._rows.extendleft(islice((row for row in rows if row.id not in known), room))

    def latest(self, limit: int) -> tuple[int, list[CallRow]]:
        """Give the number of the last row added and the last rows, the latest first."""
        with self._lock:
            return self._number, list(islice(reversed(self._rows), limit))

    def after(self, number: int) -> tuple[int, list[CallRow]]:
        """Give the number of the last row added and those added after ``number``, the latest first.

        A number from before a restart can be larger than any here: then all there is was added after it.
        """
        with self._lock:
            added = self._number - number if number <= self._number else self._number
            return self._number, list(islice(reversed(self._rows), added))
