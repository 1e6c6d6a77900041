"""Which roster each gate has in force, told to the console in memory that they share since before they were forked."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence

_SLOT = struct.Struct("<Q240s")


class Slot:
    """Where one gate says it; a reader may find a half-made change, and the whole one at its next look."""

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._offset = number * _SLOT.size

    def say(self, revision: int, problem: str | None) -> None:
        """Replace what was said: the revision in force, and why it is not the newest."""
        _SLOT.pack_into(self._memory, self._offset, revision, (problem or "").encode(errors="replace"))

    def said(self) -> tuple[int, str | None]:
        """Give what was said last, by this process or by the one whose place it took."""
        revision, problem = _SLOT.unpack_from(self._memory, self._offset)
        return revision, problem.rstrip(b"\0").decode(errors="ignore") or None


def slots(gates: int) -> Sequence[Slot]:
    """Make one slot for each gate; before forking, or they are nobody else's."""
    memory = mmap.mmap(-1, gates * _SLOT.size)
    return [Slot(memory, number) for number in range(gates)]
