"""Copying the ledger into its mirror: quarter by quarter, in order, at least once; the mirror keeps the last copy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from proxy.errors import LedgerError
from proxy.lag import Lag
from proxy.ledger.engine import shown
from proxy.ledger.paging import pages
from proxy.ledger.rollup_tables import moment, quarter_of
from proxy.mirror.clickhouse import ClickHouse
from proxy.mirror.positions import Lacking, Positions

PAGE = 20_000  # calls read and written at once: some 60 MB
LOOK_S = 5.0  # between two looks at the ledger
RECENT = timedelta(days=2)  # what each look takes in; all of it is looked at when beginning, and every HOUR_S
HOUR_S = 3600.0
SHARE = 10  # a quarter that is written to is copied again after so many times the last copy's duration, at the earliest
_BACK_OFF_S = (1.0, 60.0)  # first wait while a database is away, and the longest
_STAND_BY_S = 60.0  # another copies the same

_log = logging.getLogger("joulegate.mirror")


@dataclass(slots=True, kw_only=True)
class Copied:
    """What was copied: calls, in how many quarters of an hour, and where the last of these ends.

    ``deleted``: calls of these quarters that were deleted from the ledger before they could be copied.
    """

    calls: int = 0
    deleted: int = 0
    quarters: int = 0
    until: datetime | None = None


class OtherMirrorError(LedgerError):
    """Another process copies the same ledger into the same mirror."""


class Mirror:
    """Copies one ledger into one ClickHouse; for use by one thread.

    Every method raises :class:`LedgerError` when either database is away. What was copied stays, the rest comes
    with the next call.
    """

    def __init__(
        self,
        engine: Engine,
        clickhouse: ClickHouse,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        page: int = PAGE,
        lag: Lag | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        ``page``: how many calls are held in memory at once. In ``lag`` others hear how long ago the mirror had all that
        the ledger had; ``clock`` gives seconds on the same clock as its.
        """
        self._engine = engine
        self._clickhouse = clickhouse
        self._now = now
        self._clock = clock
        self._page = page
        self._lag = lag
        self._positions: Positions | None = None
        self._not_before: dict[int, float] = {}  # quarters that were copied while they were written to
        self._whole_at = 0.0  # when the whole ledger is looked at next

    def prepare(self) -> Positions:
        """Make the mirror's tables and find out how far it is."""
        self._positions = Positions(self._engine, self._clickhouse.prepare())
        self._not_before.clear()
        self._whole_at = self._clock()
        return self._positions

    def catch_up(
        self, stop: Callable[[], bool] = lambda: False, copied: Callable[[int], object] = lambda _: None
    ) -> Copied:
        """Copy what the mirror lacks, unless told to ``stop``; ``copied`` hears of each page how many calls it had."""
        positions = self._positions or self.prepare()
        began = self._clock()
        whole = began >= self._whole_at
        done = Copied()
        try:
            lacking = positions.lacking(None if whole else quarter_of(self._now() - RECENT))
            due = [each for each in lacking if self._not_before.get(each.quarter, 0.0) <= self._clock()]
            for stretch in _stretches(due, self._page):
                if stop():
                    return done
                number = self._copy(positions, stretch, copied)
                done.calls += number
                done.deleted += max(0, sum(each.calls for each in stretch) - number)
                done.quarters += len(stretch)
                done.until = moment(stretch[-1].quarter + 1)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError(f"the ledger {shown(self._engine.url)} cannot be read: {cause}") from error
        if self._lag is not None and len(due) == len(lacking):
            self._lag.say(self._clock() - began)
        if whole:
            self._whole_at = self._clock() + HOUR_S
        self._not_before = {each: at for each, at in self._not_before.items() if at > self._clock()}
        return done

    def run(self, stop: threading.Event) -> None:
        """Go on until ``stop``, whatever is away meanwhile."""
        wait = _BACK_OFF_S[0]
        while not stop.is_set():
            try:
                done = self.catch_up(stop.is_set)
                wait = _BACK_OFF_S[0]
                if done.calls:
                    _log.debug("copied %d calls in %d quarters of an hour", done.calls, done.quarters)
                if done.deleted:
                    _log.warning("%d calls were deleted from the ledger before they were copied", done.deleted)
                stop.wait(LOOK_S)
            except OtherMirrorError as error:
                _log.warning("%s; waiting for a minute", error)
                stop.wait(_STAND_BY_S)
            except LedgerError as error:
                self._positions = None  # what comes back may be another, or the same without its tables
                _log.warning("%s; trying again in %.0f s", error, wait)
                stop.wait(wait)
                wait = min(wait * 2, _BACK_OFF_S[1])

    def _copy(self, positions: Positions, stretch: Sequence[Lacking], copied: Callable[[int], object]) -> int:
        """Copy quarters whose sums were looked at before: their rows are these or more, and more are seen next time."""
        began = self._clock()
        copy = positions.begin(stretch, self._now())
        number = 0
        start, end = moment(stretch[0].quarter), moment(stretch[-1].quarter + 1)
        for page in pages(self._engine, start, end, size=self._page, lines=True):
            self._clickhouse.write(page.calls, page.lines, copy)
            number += len(page.calls)
            copied(len(page.calls))
        if not positions.done(stretch, copy):
            raise OtherMirrorError(f"another process copies the ledger {shown(self._engine.url)} into the same mirror")
        ended = self._clock()
        self._not_before |= dict.fromkeys((each.quarter for each in stretch), ended + SHARE * (ended - began))
        return number


def _stretches(lacking: Sequence[Lacking], calls: int) -> Iterator[list[Lacking]]:
    """Put quarters together that have no others between them, up to so many calls: few large inserts are best."""
    stretch: list[Lacking] = []
    held = 0
    for each in lacking:
        if stretch and (each.before != stretch[-1].quarter or held + each.calls > calls):
            yield stretch
            stretch, held = [], 0
        stretch.append(each)
        held += each.calls
    if stretch:
        yield stretch
