"""Today's sums, read from the ledger at most once in a while however many pages are open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from proxy.ledger import read
from proxy.ledger.read import Totals
from proxy.reports.period import Period, today

KEPT_SECONDS = 2.0
_ZONES_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of one local day, the groups with the most calls first."""

    period: Period
    total: Totals
    by_team: Sequence[Totals]
    by_model: Sequence[Totals]


class Today:
    """Gives today's sums; from any thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._now = now
        self._clock = clock
        self._kept: dict[str, tuple[float, Sums]] = {}
        self._lock = threading.Lock()  # also keeps many pages from asking the same question at once

    def sums(self, zone: ZoneInfo) -> Sums:
        """Sum up today; raises sqlalchemy.exc.SQLAlchemyError when the ledger cannot be read."""
        with self._lock:
            made_at, sums = self._kept.get(zone.key, (0.0, None))
            if sums is None or self._clock() - made_at >= KEPT_SECONDS:
                sums = self._read(today(self._now(), zone))
                if len(self._kept) >= _ZONES_KEPT:
                    self._kept.clear()
                self._kept[zone.key] = (self._clock(), sums)
            return sums

    def _read(self, period: Period) -> Sums:
        def ask(by: str) -> list[Totals]:
            found = read.totals(connection, by=(by,), start=period.start, end=period.end, zone=period.zone)
            return sorted(found, key=lambda group: (-group.calls, group.key[0] or ""))

        with self._engine.connect() as connection:
            by_team, by_model = ask("team"), ask("model")
        return Sums(period=period, total=reduce(read.add, by_team, Totals()), by_team=by_team, by_model=by_model)
