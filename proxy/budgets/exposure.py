"""What a machine's gates have used and the ledger does not know yet, in memory that they share with the recorder.

Made before the processes are forked, it outlives each of them. Every budget has a slot of whole numbers, given by the
recorder, be it while calls go on: some that only the recorder writes, and columns for each gate worker, most of which
it writes and no other does: what its calls in flight have reserved (``open``), what its ended calls have used since the
start (``closed``), what refused ones would have needed. How much of what is closed the ledger has (``recorded``) is the
recorder's to say. So nobody ever has to wait for a lock:

    exposure = open + closed - recorded, over all workers

and a call may go on if the exposure, its own reservation included, is no more than what is allowed.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Collection, Sequence

MOST = 4096  # budgets of one ledger at a time
SPARE = 512  # further slots: of budgets that are gone while calls that have reserved of them go on
STEPS_MOST = 2**62  # that are allowed at once: exposures beyond it do not wrap
_WRAP = 2**64 - 1  # what has been closed since the start may go round, differences stay right
_WORD = 8
_NS = 1_000_000_000
# What stands before the slots: how many were ever given, whether the ledger's budgets are known by now; then for each
# worker which revision of them it goes by.
_GIVEN, _KNOWN = range(2)
_SEEN_AT = 2
# What a slot has beside its workers' columns. Its tag says what is counted in it (:attr:`Budget.measure`), 0: nothing.
_TAG, _FREED, _ALLOWED, _UNTIL, _USED, _LEFT, _ENDS, _WANTED = range(8)
_COLUMNS_AT = 8
_OPEN, _CLOSED, _RECORDED, _NEEDED, _NEEDED_AT = range(5)
_COLUMNS = 5
NEEDED_S = 2.0  # how long it is remembered what a refused call would have needed
MILLIONTHS = 1_000_000


class Exposure:
    """The slots; every number is written whole, so a reader sees the one before or the one after."""

    def __init__(
        self, workers: int, slots: int = MOST + SPARE, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Make them; ``clock_ns`` is the same in all processes of the machine and nobody sets it."""
        self.workers = workers
        self.slots = slots
        self._clock_ns = clock_ns
        self._stride = _COLUMNS_AT + _COLUMNS * workers
        self._slots_at = _SEEN_AT + workers
        # Pages that nobody touches take no memory: what no budget needs costs nothing.
        memory = mmap.mmap(-1, (self._slots_at + slots * self._stride) * _WORD)
        self._words = memoryview(memory).cast("Q")
        self._fence = threading.Lock()

    # Who has which slot

    def places(self) -> dict[int, int]:
        """Give the slots that are in use, by their tags."""
        begin = self._slots_at + _TAG
        tags = self._words[begin : begin + self._words[_GIVEN] * self._stride : self._stride].tolist()
        return {tag: slot for slot, tag in enumerate(tags) if tag}

    def vacant(self, taken: Collection[int] = ()) -> int | None:
        """Find a slot for a budget that has none, other than those ``taken``; ``None``: there is none now.

        One that a budget had before is free when all workers know that it is gone, and none of their calls has
        anything open in it any more.
        """
        given = self._words[_GIVEN]
        seen = min(self._words[_SEEN_AT : self._slots_at], default=0)
        for slot in range(given):
            at = self._slot(slot)
            if not self._words[at + _TAG] and slot not in taken and self._words[at + _FREED] <= seen:
                begin = at + _COLUMNS_AT + _OPEN
                if not any(self._words[begin : begin + _COLUMNS * self.workers : _COLUMNS]):
                    return slot
        return next((slot for slot in range(given, self.slots) if slot not in taken), None)

    def prepare(self, slot: int) -> None:
        """Make a vacant slot ready for another budget: as if nothing had ever been used in it."""
        at = self._slot(slot)
        for worker in range(self.workers):
            self._words[self._column(slot, worker) + _NEEDED] = 0
        for word in (_ALLOWED, _UNTIL, _USED, _LEFT, _ENDS, _WANTED):
            self._words[at + word] = 0
        self.record(slot, self.closed(slot))

    def claim(self, slot: int, tag: int) -> None:
        """Give a slot to a budget: the gates may look into it from now on."""
        self._words[_GIVEN] = max(self._words[_GIVEN], slot + 1)
        self._words[self._slot(slot) + _TAG] = tag

    def retire(self, slot: int, revision: int) -> None:
        """Take a slot from a budget that is gone as of a revision of the ledger's budgets."""
        at = self._slot(slot)
        self._words[at + _UNTIL] = 0
        self._words[at + _FREED] = revision
        self._words[at + _TAG] = 0

    @property
    def known(self) -> bool:
        """Whether the roster has the ledger's budgets, those of this machine's configuration among them."""
        return self._words[_KNOWN] == 1

    def know(self) -> None:
        """Take note of it."""
        self._words[_KNOWN] = 1

    def see(self, worker: int, revision: int) -> None:
        """Let the recorder know which revision of the budgets a worker goes by."""
        self._words[_SEEN_AT + worker] = revision

    # A gate's side

    def begin(self, worker: int) -> None:
        """Take the place of a worker that is gone: its calls in flight are, too."""
        self._words[_SEEN_AT + worker] = 0
        for slot in range(self._words[_GIVEN]):
            at = self._column(slot, worker) + _OPEN
            if self._words[at]:
                self._words[at] = 0

    def reserve(self, slot: int, worker: int, steps: int) -> int:
        """Add to what this worker has open; gives the exposure with it.

        Who adds first and looks then cannot slip past another who does the same: one of them sees both.
        """
        at = self._column(slot, worker) + _OPEN
        self._words[at] += steps
        with self._fence:  # nobody waits for it: what was written is seen by all before what follows is read
            pass
        return self.exposed(slot)

    def release(self, slot: int, worker: int, steps: int) -> None:
        """Take off what this worker has open."""
        at = self._column(slot, worker) + _OPEN
        self._words[at] = max(0, self._words[at] - steps)

    def close(self, slot: int, worker: int, steps: int) -> None:
        """Add what an ended call has used, which is in the journal by now."""
        at = self._column(slot, worker) + _CLOSED
        self._words[at] = self._words[at] + steps & _WRAP

    def need(self, slot: int, worker: int, steps: int) -> None:
        """Note what a call would have needed that was refused: lately the most."""
        at, now = self._column(slot, worker), self._clock_ns()
        if steps >= self._words[at + _NEEDED] or now - self._words[at + _NEEDED_AT] >= NEEDED_S * _NS:
            self._words[at + _NEEDED] = steps
            self._words[at + _NEEDED_AT] = now

    def exposed(self, slot: int) -> int:
        """Give what is used and not in the ledger, or may yet be used by calls in flight."""
        words, at = self._words, self._column(slot, 0)
        total = 0
        for _ in range(self.workers):
            total += words[at] + (words[at + _CLOSED] - words[at + _RECORDED] & _WRAP)
            at += _COLUMNS
        return total

    def allowed(self, slot: int) -> int | None:
        """Give what the exposure may come to; ``None``: nobody has said so for now."""
        at = self._slot(slot)
        return self._words[at + _ALLOWED] if self._clock_ns() < self._words[at + _UNTIL] else None

    def want(self, slot: int) -> None:
        """Let the recorder know that there are calls for this budget."""
        self._words[self._slot(slot) + _WANTED] = self._clock_ns()

    def used(self, slot: int) -> float:
        """Give the share of the limit that the ledger says is used."""
        return self._words[self._slot(slot) + _USED] / MILLIONTHS

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
        at, since = self._column(slot, 0), self._clock_ns() - int(NEEDED_S * _NS)
        columns = range(at, at + _COLUMNS * self.workers, _COLUMNS)
        return max(
            (self._words[each + _NEEDED] for each in columns if self._words[each + _NEEDED_AT] > since), default=0
        )

    def wanted_ns(self, slot: int) -> int:
        """Say when there last was a call for a budget."""
        return self._words[self._slot(slot) + _WANTED]

    def closed(self, slot: int) -> Sequence[int]:
        """Give what each worker's ended calls have used, to be recorded when the journals are read up to here."""
        at = self._column(slot, 0) + _CLOSED
        return self._words[at : at + _COLUMNS * self.workers : _COLUMNS].tolist()

    def record(self, slot: int, closed: Sequence[int]) -> None:
        """Take note that the ledger has what was closed when it was asked for."""
        at = self._column(slot, 0) + _RECORDED
        for number, steps in enumerate(closed):
            self._words[at + number * _COLUMNS] = steps

    def _column(self, slot: int, worker: int) -> int:
        return self._slot(slot) + _COLUMNS_AT + worker * _COLUMNS

    def _slot(self, slot: int) -> int:
        return self._slots_at + slot * self._stride
