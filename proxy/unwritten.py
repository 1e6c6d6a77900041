"""What the gates could not write to their journals, told to the recorder while it is so.

A journal that cannot be written cannot say that it cannot. So each gate has a slot in memory that is
shared with the console since before they were forked: it outlives the gate, not the service.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_SLOT = struct.Struct("<QQ240s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """What one gate holds or lost."""

    waiting: int = 0  # calls of which some record is in the gate's memory only
    lost: int = 0  # calls whose end is lost, which the journal does not say yet
    problem: str | None = None  # why the journal cannot be written; None: it can


class Slot:
    """Where one gate says it; a reader may find a half-made change, and the whole one at its next look."""

    def __init__(self, memory: mmap.mmap, number: int) -> None:
        self._memory = memory
        self._offset = number * _SLOT.size

    def say(self, unwritten: Unwritten) -> None:
        """Replace what was said."""
        problem = (unwritten.problem or "").encode(errors="replace")
        _SLOT.pack_into(self._memory, self._offset, unwritten.waiting, unwritten.lost, problem)

    def said(self) -> Unwritten:
        """Give what was said last, by this process or by the one whose place it took."""
        waiting, lost, problem = _SLOT.unpack_from(self._memory, self._offset)
        text = problem.rstrip(b"\0").decode(errors="ignore")
        return Unwritten(waiting=waiting, lost=lost, problem=text or None)


def slots(gates: int) -> Sequence[Slot]:
    """Make one slot for each gate; before forking, or they are nobody else's."""
    memory = mmap.mmap(-1, gates * _SLOT.size)
    return [Slot(memory, number) for number in range(gates)]
