"""From journal records to rows: openings and ends are paired, and each call that ended is estimated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from proxy.call import Closed, Opened
from proxy.ledger.row import Estimator, Familiar, composed, interrupted_row
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Beside
from proxy.progress import Progress
from proxy.tail import Entry
from proxy.told import Told

END_LOST = "end_not_written"


class Composed(msgspec.Struct, frozen=True, gc=False):
    """The row of a call, the segment it came from, and what belongs to the call beside its row."""

    row: CallRow
    segment: str
    beside: Beside | None = None


class Digest:
    """Makes rows for one recorder."""

    def __init__(
        self,
        estimate: Estimator,
        familiar: Familiar | None,
        told: Told,
        *,
        known: Callable[[Sequence[str]], set[str]],
        refuse: Callable[[str, str, str], None],
    ) -> None:
        """``known`` tells which calls have a row, ``refuse`` takes one that cannot have one: id, segment, reason."""
        self._estimate = estimate
        self._familiar = familiar
        self._told = told
        self._known = known
        self._refuse = refuse

    def rows(
        self, progress: Progress, entries: Sequence[Entry], ended: Callable[[str], bool], limit: int
    ) -> list[Composed]:
        """Give the rows of what ended, according to entries or, ``limit`` at a time, because a segment's writer did.

        Raises what ``known`` raises, and may be asked again then.
        """
        progress.read(entries)
        fresh, before, in_flight = progress.fresh(entries), progress.done_before, progress.in_flight
        replayed = [] if fresh else [e.record.id for e in entries if isinstance(e.record, Opened) and before(e)]
        closed_before = self._known(replayed) if replayed else set()
        closed = {entry.record.opened.id for entry in entries if isinstance(entry.record, Closed)}
        rows: list[Composed] = []
        for entry in entries:
            record = entry.record
            if isinstance(record, Opened):
                if record.id not in closed and record.id not in closed_before:
                    in_flight.begin(entry.segment, entry.offset, record)
            elif isinstance(record, Closed):
                progress.end(record.opened.id)
                if fresh or not before(entry):
                    self._told.again(entry, record.opened.id)
                    self._compose(rows, entry.segment, record)
            else:
                for opened in filter(None, map(progress.end, record.ids)):
                    self._told.again(entry, opened.id)
                    self._compose(rows, entry.segment, opened, reason=END_LOST)
        for segment in filter(ended, in_flight.segments()):
            for opened in in_flight.of(segment)[: max(0, limit - len(rows))]:
                progress.end(opened.id)
                self._compose(rows, segment, opened)
        return rows

    def _compose(self, rows: list[Composed], segment: str, call: Closed | Opened, reason: str | None = None) -> None:
        """Add the row of a call; without its estimate or, if need be, not at all, but never in another's way."""
        beside = None
        try:
            if isinstance(call, Opened):
                row = interrupted_row(call)
                row = row if reason is None else msgspec.structs.replace(row, reason=reason)
            else:
                row, lines, failed = composed(call, self._estimate, self._familiar)
                self._told.counts["unestimated"] += failed and call.opened.id not in self._told.repeated
                if lines or call.counted_as is not None:
                    beside = Beside(lines=lines, counted_as=call.counted_as, shown_again=call.shown_again)
        except Exception as error:
            call_id = call.id if isinstance(call, Opened) else call.opened.id
            self._refuse(call_id, segment, f"{type(error).__name__}: {error}")
        else:
            rows.append(Composed(row, segment, beside))
