"""The recorder: takes the facts of calls out of the journals, estimates, and commits rows to the ledger.

One works per journal directory; others wait in case it dies. Every call counts exactly once because
rows and journal positions are committed together: what a crash interrupts is read again, and what is
read again is recognised by its position or its id. A ledger that was deleted or replaced while in use
is begun again from the positions it has; what the journals still hold gets into it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from proxy.call import Closed
from proxy.collecting import paused
from proxy.digest import Composed, Digest
from proxy.errors import LedgerError, LedgerReplacedError
from proxy.lag import Lag
from proxy.ledger.row import Estimator, Familiar, time_at
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Ledger, Position
from proxy.progress import Progress
from proxy.recording import Keeper, Reckoning
from proxy.space import Space, space
from proxy.tail import Entry, Tail, set_aside
from proxy.told import Told
from proxy.unwritten import Slot

BATCH = 8000  # journal records per transaction, two to a call: a commit has costs of its own, on PostgreSQL above all
_IDLE_SECONDS = 0.05
_BACK_OFF_SECONDS = (0.1, 10.0)  # first wait when the ledger is away, and the longest
_LAST_SECONDS = 5.0  # what is left in the journals at a shutdown may take this long, the rest waits for the next start

_log = logging.getLogger("joulegate.recorder")


def _ignore(_: Sequence[CallRow]) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What was read and is not committed yet."""

    rows: tuple[Composed, ...]
    positions: Mapping[str, Position]
    caught_up: bool  # nothing was left in the journals behind it
    tried: bool = False  # a commit of it failed: or only its answer did not come


class Recorder:
    """Reads one journal directory into the ledger. ``run`` in one thread; the properties from any."""

    def __init__(
        self,
        directory: Path,
        ledger: Ledger,
        *,
        estimate: Estimator,
        familiar: Familiar | None = None,
        on_rows: Callable[[Sequence[CallRow]], object] = _ignore,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        gates: Sequence[Slot] = (),
        lag: Lag | None = None,
        keeper: Keeper | None = None,
        reckoning: Reckoning | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        ``familiar`` knows what calls have in common, so that they need no estimate each.
        ``on_rows`` gets the newly written rows after each commit. ``clock`` gives seconds since the
        Unix epoch, ``elapsed`` seconds of a clock that nobody sets, ``new_id`` the name under which a new
        journal directory keeps its positions. In ``gates`` those who write the journals say what they could
        not write; in ``lag`` they hear how far the ledger is behind. ``keeper`` carries on what listeners have
        counted, from the recorder before to the next. ``reckoning`` is told how far the journals are recorded.
        """
        self.problem: str | None = None  # why it stands still, None while it works
        self.ledgers_replaced = 0  # how often the ledger was found deleted or replaced
        self.notice: str | None = None  # the last time, in words
        self.on_rows = on_rows
        self._directory = directory
        self._ledger = ledger
        self._clock = clock
        self._elapsed = elapsed
        self._made_at = clock()
        self._standing_by = False  # another recorder works
        self._new_id = new_id
        self._gates = gates
        self._lag = lag
        self._keeper = keeper
        self._reckoning = reckoning
        self._looked: Any = None  # before the last reading of the journals
        self._leads = False
        self._lock_fd = -1
        self._journal = ""
        self._tail: Tail | None = None
        self._progress = Progress({})
        self._undeletable: set[str] = set()
        self._told = Told()
        self._digest = Digest(estimate, familiar, self._told, known=ledger.known, refuse=self._refuse)
        self._doubtful: set[str] = set()  # calls that the recorder before may have written, or not
        self._entries: list[Entry] = []  # read, not digested yet
        self._batch: _Batch | None = None
        self._oldest_us: int | None = None
        self._poison_before = 0  # refused rows, and damage that an earlier reading met
        self._torn_before = 0

    @property
    def leads(self) -> bool:
        """Whether no other recorder works on this directory, be it that this one waits for its ledger."""
        return self._leads

    @property
    def active(self) -> bool:
        """Whether this recorder is the one that works."""
        return self._tail is not None

    @property
    def calls_in_flight(self) -> int:
        """Calls opened and not yet closed."""
        return len(self._progress.in_flight)

    @property
    def streams_open(self) -> int:
        """Streamed calls opened and not yet closed."""
        return self._progress.in_flight.streams

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest call that ended and is not in the ledger; 0 when there is none.

        Until the first look at the journals, which needs the ledger, it is the recorder's own age.
        """
        oldest = None if self._oldest_us is None else self._oldest_us / 1e6
        if self._tail is None and not self._standing_by and any(self._directory.glob("*.journal")):
            oldest = self._made_at
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    @property
    def record_counts(self) -> Mapping[str, int]:
        """Count calls since the start by what became of them; ``opened`` and ``closed`` count those read.

        ``recorded`` as a row; ``waiting`` in a gate's memory, whose journal cannot be written now;
        ``lost``: their end could not be written; ``poison``: damaged or refused by the database, set
        aside; ``torn``: cut short by the end of their writer; ``unestimated``: recorded, but the estimator
        failed.
        """
        said = [gate.said() for gate in self._gates]
        lost = self._told.counts["lost"] + sum(each.lost for each in said)
        return {**self._told.counts, "waiting": sum(each.waiting for each in said), "lost": lost}

    @property
    def journal_space(self) -> Space:
        """How much the journals hold, and how much more their disk can take."""
        return space(self._directory)

    @property
    def gate_problems(self) -> Sequence[str]:
        """Why gates cannot write their journals now, one text for each such gate."""
        said = [(number, gate.said()) for number, gate in enumerate(self._gates, 1)]
        return [f"gate {number} cannot write its journal: {each.problem}" for number, each in said if each.problem]

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``, then record what is left; outlives everything but the process."""
        wait = _BACK_OFF_SECONDS[0]
        while not stop.is_set():
            try:
                idle = self.run_once() == 0
                self.problem = None
                wait = _BACK_OFF_SECONDS[0]
                self._say_lag()
                if idle:
                    stop.wait(_IDLE_SECONDS)
            except Exception as error:  # journals keep growing meanwhile; nothing is lost by waiting
                self._stumble(error)
                self._say_lag()
                stop.wait(wait)
                wait = min(wait * 2, _BACK_OFF_SECONDS[1])
        until = self._elapsed() + _LAST_SECONDS
        try:
            while self.run_once() and self._elapsed() < until:
                pass
        except Exception as error:
            self._stumble(error)
        if self._leads and self._keeper is not None:
            self._keeper.save()
        if self._leads and self._reckoning is not None:
            self._reckoning.end()
        self.close()

    def run_once(self, limit: int = BATCH) -> int:
        """Record up to ``limit`` journal records; gives how many, 0 when there are none or another recorder works.

        Raises:
            LedgerError: the ledger is away; what was read is kept for the next call.
            OSError: the journals cannot be read.

        """
        with paused():  # a batch drops all that it makes
            try:
                return self._record(limit)
            except LedgerReplacedError as error:
                self._begin_again(error)
                return 1  # the next call takes over

    def close(self) -> None:
        """Let another recorder take over."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _record(self, limit: int) -> int:
        tail = self._tail or self._take_over()
        if tail is None:
            return 0
        if self._batch is not None:  # the last call could not commit it
            return self._commit(tail, self._batch)
        if not self._entries:
            if self._reckoning is not None:
                self._looked = self._reckoning.look()
            self._entries = tail.read(limit)
        entries, rows = self._entries, self._digest.rows(self._progress, self._entries, tail.ended, limit)
        self._entries = []
        caught_up = len(entries) < limit
        ended = [entry.record.ended_at_us for entry in entries if isinstance(entry.record, Closed)]
        self._oldest_us = min(ended, default=None if caught_up else self._oldest_us)
        before = self._progress.done_before
        lost = self._told.count(entries if self._progress.fresh(entries) else [e for e in entries if not before(e)])
        if lost:
            _log.error("the ends of %d calls could not be written by a gate process and are lost", lost)
        self._told.counts["torn"] = self._torn_before + tail.torn
        self._told.counts["poison"] = self._poison_before + tail.poison
        if rows or lost:  # else only calls that began: their position can wait
            self._commit(tail, _Batch(rows=tuple(rows), positions=self._progress.moved(), caught_up=caught_up))
        self._trim(tail)
        if self._reckoning is not None:
            if caught_up:
                self._reckoning.recorded(self._looked)
            self._reckoning.tend()
        if entries or rows:
            return len(entries) or len(rows)
        self._ledger.require_same()  # seen also while nothing comes
        return 0

    def _begin_again(self, error: LedgerReplacedError) -> None:
        """Forget what the former ledger had: the next look at the positions tells what this one has."""
        self.ledgers_replaced += 1
        self.notice = (
            f"{error} ({self._time():%Y-%m-%d %H:%M:%S} UTC); calls recorded before are not in it now,"
            " except those that it had itself or the journals still held"
        )
        _log.error("%s", self.notice)
        if self._tail is not None:
            self._poison_before += self._tail.poison
            self._torn_before += self._tail.torn
            self._tail.close()
            self._tail = None
        self._made_at = self._clock()

    def _take_over(self) -> Tail | None:
        """Become the one recorder of the directory, starting where the ledger says; None: another is it."""
        if self._lock_fd < 0:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock_fd = os.open(self._directory / "recorder.lock", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._standing_by = True
            return None
        self._standing_by = False
        if not self._leads:
            self._leads = True
            if self._keeper is not None:
                self._keeper.restore()
        self._journal = self._identity()
        self._ledger.prepare()
        positions = self._ledger.positions(self._journal)
        if self._reckoning is not None:
            self._reckoning.begin(self._journal)
        gone = [segment for segment in positions if not (self._directory / segment).exists()]
        if gone:  # a crash came between deleting them and forgetting them
            self._ledger.forget(self._journal, gone)
        if self._keeper is not None:
            found, self._doubtful = self._keeper.missing(self._ledger.rows)
            self._tell(found)
            self._keeper.mark(self._doubtful)
        there = {segment: position for segment, position in positions.items() if segment not in gone}
        self._progress = Progress(there)
        self._entries, self._batch, self._oldest_us = [], None, None
        self._tail = Tail(self._directory, {segment: position.resolved_to for segment, position in there.items()})
        return self._tail

    def _identity(self) -> str:
        """Give the directory's own name in the ledger: several machines may use the same path."""
        path = self._directory / "journal.id"
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_text(self._new_id())
            fresh.rename(path)
        return path.read_text().strip()

    def _refuse(self, call_id: str, segment: str, reason: str) -> None:
        _log.error("call %s cannot be a row, its segment %s is set aside: %s", call_id, segment, reason)
        self._poison_before += call_id not in self._told.repeated
        try:
            set_aside(self._directory, segment)
        except OSError:
            _log.exception("segment %s could not be set aside", segment)

    def _commit(self, tail: Tail, batch: _Batch) -> int:
        ids, repeated = [each.row.id for each in batch.rows], self._told.repeated
        if self._keeper is not None and not batch.tried:
            self._keeper.name([each for each in ids if each not in repeated] if repeated else ids)
        self._batch = replace(batch, tried=True)
        committed = self._ledger.commit(
            [each.row for each in batch.rows],
            journal=self._journal,
            positions=batch.positions,
            beside={each.row.id: each.beside for each in batch.rows if each.beside is not None},
            at=self._time(),
        )
        rows = list(committed.new)
        # What is there already may be so by the attempt that seemed to fail: nobody was told.
        if unsure := ids if batch.tried else self._doubtful.intersection(ids):
            known = {row.id for row in (*rows, *(row for row, _ in committed.refused))}
            rows += self._ledger.rows([each for each in unsure if each not in known])
        self._batch = None
        if self._reckoning is not None:
            self._reckoning.committed()
        self._progress.committed()
        self._doubtful.difference_update(ids)
        new = [row for row in rows if row.id not in repeated] if repeated else rows
        self._told.counts["recorded"] += len(new)
        segment_of = {each.row.id: each.segment for each in batch.rows}
        for row, reason in committed.refused:
            self._refuse(row.id, segment_of[row.id], reason)
        self._told.counts["poison"] = self._poison_before + tail.poison
        self._told.tell({segment: position.read_to for segment, position in batch.positions.items()}, segment_of)
        if batch.caught_up:
            self._oldest_us = None
        self._tell(new)
        if self._keeper is not None:
            self._keeper.told()
        return len(batch.rows)

    def _tell(self, rows: Sequence[CallRow]) -> None:
        if not rows:
            return
        try:
            self.on_rows(rows)
        except Exception:  # a listener's trouble is its own: the rows are in the ledger
            _log.exception("rows were recorded, but passing them on failed")

    def _trim(self, tail: Tail) -> None:
        """Delete the segments that are wholly in the ledger; all that was read is committed now."""
        needed = {*self._progress.in_flight.segments(), *self._undeletable}
        done = [each for each in tail.drained() if each not in needed]
        if not done:
            return
        positions = {segment: self._progress.position(segment) for segment in done}
        self._ledger.commit((), journal=self._journal, positions=positions, at=self._time(), durable=True)
        for segment in done:
            try:
                tail.remove(segment)
            except OSError:
                _log.exception("segment %s is recorded, but cannot be deleted", segment)
                self._undeletable.add(segment)
                continue
            self._progress.forget(segment)
            self._told.forget(segment)
        self._ledger.forget(self._journal, (segment for segment in done if segment not in self._undeletable))

    def _say_lag(self) -> None:
        if self._lag is not None:
            self._lag.say(self.lag_seconds)

    def _time(self) -> datetime:
        return time_at(int(self._clock() * 1e6))

    def _stumble(self, error: Exception) -> None:
        problem = str(error) if isinstance(error, LedgerError) else f"{type(error).__name__}: {error}"
        if problem != self.problem:
            _log.error("recording stands still, journals keep what comes: %s", problem)
        self.problem = problem
