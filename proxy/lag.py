"""How far the ledger is behind, told by the recorder to the gates, whose ``/readyz`` says it.

Kept as the moment up to which everything is recorded, on the clock that all processes of a machine share
and nobody sets: so a recorder that says nothing any more shows as a lag that grows.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

_MOMENT = struct.Struct("<d")


class Lag:
    """Where the recorder says it: memory that is shared with the gates since before they were forked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing behind; ``clock`` gives seconds and is the same in all processes."""
        self._clock = clock
        self._memory = mmap.mmap(-1, _MOMENT.size)
        self.say(0.0)

    def say(self, seconds: float) -> None:
        """Replace what was said: the ledger is now so far behind."""
        _MOMENT.pack_into(self._memory, 0, self._clock() - seconds)

    @property
    def seconds(self) -> float:
        """How far it is behind: what was said last, and the time since then."""
        recorded_until: float = _MOMENT.unpack_from(self._memory)[0]
        return max(0.0, self._clock() - recorded_until)
