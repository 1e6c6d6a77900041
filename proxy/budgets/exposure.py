"""What a machine's gates have used and the ledger does not know yet, in memory that they share with the recorder.

Made before the processes are forked, it outlives each of them, and the program too: the one that takes its place after
a SIGHUP goes on with it, so gates of both see each other's reservations. Every budget gets a slot of whole numbers from
the recorder, be it while calls go on: some that only the recorder writes, and columns for each gate worker, most of
which it writes and no other does: what its calls in flight have reserved (``open``), what its ended calls have used
since the start (``closed``), what refused ones would have needed. How much of what is closed the ledger has
(``recorded``) is the recorder's to say. So nobody ever has to wait for a lock:

    exposure = open + closed - recorded, over all workers

and a call may go on if the exposure, its own reservation included, is no more than what is allowed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence

import msgspec

MOST = 4096  # budgets of one ledger at a time
SPARE = 512  # further slots: of budgets that are gone while calls that have reserved of them go on
STEPS_MOST = 2**62  # that are allowed at once: exposures beyond it do not wrap
_WRAP = 2**64 - 1  # what has been closed since the start may go round, differences stay right
_WORD = 8
_NS = 1_000_000_000
GENERATIONS_COLUMNS = 64  # of gates at least: those that SIGHUP has replaced keep theirs until they have ended
FORMAT = 1  # of all that follows
# What stands before the slots: how many programs have taken the memory over, how many slots were ever given, how many
# columns ever used, whether the ledger's budgets are known by now, whether a recorder has left all as it should be.
# Then for each column which revision of the budgets its worker goes by, _NOBODY: it has none.
_TAKEN_OVER, _GIVEN, _COLUMNS_USED, _KNOWN, _LEFT_WELL = range(5)
_SEEN_AT = 5
_NOBODY = 2**64 - 1
# What a slot has. Its tag says what is counted in it (:attr:`Budget.measure`), 0: nothing.
_TAG, _FREED, _ALLOWED, _UNTIL, _USED, _LEFT, _ENDS, _WANTED = range(8)
_SLOT_WORDS = 8
# And what it has in each column. Columns lie one after another: what nobody uses takes no memory.
_OPEN, _CLOSED, _RECORDED, _NEEDED, _NEEDED_AT = range(5)
_COLUMN_WORDS = 5
NEEDED_S = 2.0  # how long it is remembered what a refused call would have needed
RETIRED_S = 30.0  # how long gates may go by a budget that is gone: they look once a second
MILLIONTHS = 1_000_000


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """The memory, as a program hands it to the one that takes its place."""

    fd: int
    format: int
    columns: int
    slots: int


class Exposure:
    """The slots; every number is written whole, so a reader sees the one before or the one after."""

    def __init__(
        self,
        workers: int,
        slots: int = MOST + SPARE,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        *,
        shared: Shared | None = None,
        occupied: Collection[int] = (),
    ) -> None:
        """Make them, or take over those of the program before, in whose columns ``occupied`` gates are still at work.

        ``clock_ns`` is the same in all processes of the machine and nobody sets it. Raises :class:`ValueError` where
        the memory of before cannot be taken over, ``OSError`` where there is none.
        """
        if shared is None:
            columns = max(GENERATIONS_COLUMNS, 4 * workers)
            shared = Shared(fd=_memory(), format=FORMAT, columns=columns, slots=slots)
            os.ftruncate(shared.fd, _words(shared) * _WORD)
        self.shared = shared
        free = [column for column in range(shared.columns) if column not in occupied]
        if shared.format != FORMAT or len(free) < workers:
            raise ValueError("there is no room for further gates in it")
        self.columns = free[:workers]  # by worker
        self.slots = shared.slots
        self._clock_ns = clock_ns
        self._slots_at = _SEEN_AT + shared.columns
        self._columns_at = self._slots_at + self.slots * _SLOT_WORDS
        self._stride = self.slots * _COLUMN_WORDS
        self._words = memoryview(mmap.mmap(shared.fd, _words(shared) * _WORD)).cast("Q")
        weakref.finalize(self, os.close, shared.fd)
        self._fence = threading.Lock()
        self._words[_TAKEN_OVER] += 1
        self._words[_KNOWN] = 0
        self._program = self._words[_TAKEN_OVER]
        for column in free:
            self.vacate(column)
        self._words[_COLUMNS_USED] = max(self._words[_COLUMNS_USED], max(self.columns, default=-1) + 1)

    @property
    def taken_over(self) -> bool:
        """Whether another program has taken this memory over, and keeps it for all."""
        return self._words[_TAKEN_OVER] != self._program

    def vacate(self, column: int) -> None:
        """Take note that a worker has ended for good: nothing is open in its column."""
        self._clear(column)
        self._words[_SEEN_AT + column] = _NOBODY

    # Who has which slot

    def places(self) -> dict[int, int]:
        """Give the slots that are in use, by their tags."""
        begin = self._slots_at + _TAG
        tags = self._words[begin : begin + self._words[_GIVEN] * _SLOT_WORDS : _SLOT_WORDS].tolist()
        return {tag: slot for slot, tag in enumerate(tags) if tag}

    def vacant(self, taken: Collection[int] = ()) -> int | None:
        """Find a slot for a budget that has none, other than those ``taken``; ``None``: there is none now.

        One that a budget had before is free when all workers know that it is gone, and none of their calls has
        anything open in it any more.
        """
        given = self._words[_GIVEN]
        seen = min(self._words[_SEEN_AT : self._slots_at], default=_NOBODY)
        for slot in range(given):
            at = self._slot(slot)
            vacated = not self._words[at + _TAG] and slot not in taken and self._words[at + _FREED] <= seen
            if vacated and not any(self._words[column + _OPEN] for column in self._columns_of(slot)):
                return slot
        return next((slot for slot in range(given, self.slots) if slot not in taken), None)

    def prepare(self, slot: int) -> None:
        """Make a vacant slot ready for another budget: as if nothing had ever been used in it."""
        at = self._slot(slot)
        for column in self._columns_of(slot):
            self._words[column + _NEEDED] = 0
        for word in (_ALLOWED, _UNTIL, _USED, _LEFT, _ENDS, _WANTED):
            self._words[at + word] = 0
        self.record(slot, self.closed(slot))

    def claim(self, slot: int, tag: int) -> None:
        """Give a slot to a budget: the gates may look into it from now on."""
        self._words[_GIVEN] = max(self._words[_GIVEN], slot + 1)
        self._words[self._slot(slot) + _TAG] = tag

    def retire(self, slot: int, revision: int, *, goes_on: bool = False) -> None:
        """Take a slot from a budget that is gone as of a revision of the ledger's budgets.

        Gates that do not know yet may use what they like of it, or, where it ``goes_on`` in another slot, what they
        were allowed last.
        """
        at = self._slot(slot)
        if not goes_on or self.allowed(slot) is None:
            self._words[at + _ALLOWED] = STEPS_MOST
        self._words[at + _UNTIL] = self._clock_ns() + int(RETIRED_S * _NS)
        self._words[at + _FREED] = revision
        self._words[at + _TAG] = 0

    @property
    def known(self) -> bool:
        """Whether the roster has the ledger's budgets, those of this machine's configuration among them."""
        return self._words[_KNOWN] == 1

    def know(self) -> None:
        """Take note of it."""
        self._words[_KNOWN] = 1

    def see(self, column: int, revision: int) -> None:
        """Let the recorder know which revision of the budgets a worker goes by."""
        self._words[_SEEN_AT + column] = revision

    # A gate's side

    def begin(self, column: int) -> None:
        """Take the place of a worker that is gone: its calls in flight are, too."""
        self._words[_SEEN_AT + column] = 0
        self._clear(column)

    def reserve(self, slot: int, column: int, steps: int) -> int:
        """Add to what this worker has open; gives the exposure with it.

        Who adds first and looks then cannot slip past another who does the same: one of them sees both.
        """
        at = self._column(slot, column) + _OPEN
        self._words[at] += steps
        with self._fence:  # nobody waits for it: what was written is seen by all before what follows is read
            pass
        return self.exposed(slot)

    def release(self, slot: int, column: int, steps: int) -> None:
        """Take off what this worker has open."""
        at = self._column(slot, column) + _OPEN
        self._words[at] = max(0, self._words[at] - steps)

    def close(self, slot: int, column: int, steps: int) -> None:
        """Add what an ended call has used, which is in the journal by now."""
        at = self._column(slot, column) + _CLOSED
        self._words[at] = self._words[at] + steps & _WRAP

    def need(self, slot: int, column: int, steps: int) -> None:
        """Note what a call would have needed that was refused: lately the most."""
        at, now = self._column(slot, column), self._clock_ns()
        if steps >= self._words[at + _NEEDED] or now - self._words[at + _NEEDED_AT] >= NEEDED_S * _NS:
            self._words[at + _NEEDED] = steps
            self._words[at + _NEEDED_AT] = now

    def exposed(self, slot: int) -> int:
        """Give what is used and not in the ledger, or may yet be used by calls in flight."""
        words, stride = self._words, self._stride
        at = self._columns_at + slot * _COLUMN_WORDS
        total = 0
        for _ in range(words[_COLUMNS_USED]):
            total += words[at] + (words[at + _CLOSED] - words[at + _RECORDED] & _WRAP)
            at += stride
        return total

    def allowed(self, slot: int) -> int | None:
        """Give what the exposure may come to; ``None``: nobody has said so for now."""
        at = self._slots_at + slot * _SLOT_WORDS
        return self._words[at + _ALLOWED] if self._clock_ns() < self._words[at + _UNTIL] else None

    def want(self, slot: int) -> None:
        """Let the recorder know that there are calls for this budget."""
        self._words[self._slots_at + slot * _SLOT_WORDS + _WANTED] = self._clock_ns()

    def used(self, slot: int) -> float:
        """Give the share of the limit that the ledger says is used."""
        return self._words[self._slots_at + slot * _SLOT_WORDS + _USED] / MILLIONTHS

    def left(self, slot: int) -> int:
        """Give what the ledger says is left of the limit, in steps: what is not recorded yet is still in it."""
        return self._words[self._slot(slot) + _LEFT]

    def ends(self, slot: int) -> int:
        """Say when the window ends, in seconds since the Unix epoch; 0: nobody knows yet."""
        return self._words[self._slot(slot) + _ENDS]

    # The recorder's side

    def allow(self, slot: int, steps: int, until_ns: int | None = None) -> None:
        """Say what the exposure may come to, until a moment on the clock; without one, as long as before."""
        at = self._slot(slot)
        self._words[at + _ALLOWED] = min(max(steps, 0), STEPS_MOST)
        if until_ns is not None:
            self._words[at + _UNTIL] = until_ns

    def lapse(self, slot: int) -> None:
        """Take back what was said: who has a call waits."""
        self._words[self._slot(slot) + _UNTIL] = 0

    def spend(self, slot: int, steps: int) -> None:
        """Take off what is left what the ledger has by now."""
        at = self._slot(slot) + _LEFT
        self._words[at] = max(self._words[at] - steps, 0)

    def say(self, slot: int, *, used: float, left: int, ends: int) -> None:
        """Tell what the ledger says."""
        at = self._slot(slot)
        self._words[at + _USED] = min(round(max(used, 0.0) * MILLIONTHS), STEPS_MOST)
        self._words[at + _LEFT] = min(max(left, 0), STEPS_MOST)
        self._words[at + _ENDS] = ends

    def needed(self, slot: int) -> int:
        """Give what the largest of the calls needs that were refused lately, in steps; 0: none was."""
        words, since = self._words, self._clock_ns() - int(NEEDED_S * _NS)
        return max((words[at + _NEEDED] for at in self._columns_of(slot) if words[at + _NEEDED_AT] > since), default=0)

    def wanted_ns(self, slot: int) -> int:
        """Say when there last was a call for a budget."""
        return self._words[self._slot(slot) + _WANTED]

    def closed(self, slot: int) -> Sequence[int]:
        """Give what each worker's ended calls have used, to be recorded when the journals are read up to here."""
        return [self._words[at + _CLOSED] for at in self._columns_of(slot)]

    def record(self, slot: int, closed: Sequence[int]) -> None:
        """Take note that the ledger has what was closed when it was asked for."""
        for at, steps in zip(self._columns_of(slot), closed, strict=False):
            self._words[at + _RECORDED] = steps

    def leave(self, *, well: bool) -> None:
        """Say whether what stands here is as the ledger has it, so that a recorder to come can go on with it."""
        self._words[_LEFT_WELL] = well

    @property
    def left_well(self) -> bool:
        """Whether the recorder before has said so."""
        return self._words[_LEFT_WELL] == 1

    def _clear(self, column: int) -> None:
        for slot in range(self._words[_GIVEN]):
            at = self._column(slot, column) + _OPEN
            if self._words[at]:
                self._words[at] = 0

    def _columns_of(self, slot: int) -> range:
        """Say where the columns of a slot are that were ever used."""
        begin = self._columns_at + slot * _COLUMN_WORDS
        return range(begin, begin + self._words[_COLUMNS_USED] * self._stride, self._stride)

    def _column(self, slot: int, column: int) -> int:
        return self._columns_at + column * self._stride + slot * _COLUMN_WORDS

    def _slot(self, slot: int) -> int:
        return self._slots_at + slot * _SLOT_WORDS


def _words(shared: Shared) -> int:
    return _SEEN_AT + shared.columns + shared.slots * (_SLOT_WORDS + shared.columns * _COLUMN_WORDS)


def _memory() -> int:
    """Make memory that has a descriptor, which a program can hand on; pages that nobody touches take none."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("joulegate-budgets")
    with tempfile.TemporaryFile() as file:  # not a Linux
        return os.dup(file.fileno())
