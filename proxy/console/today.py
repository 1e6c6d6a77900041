"""Today's sums, read from the ledger at most once in a while however many pages are open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from proxy.ledger import read
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals
from proxy.reports.period import Period, today

KEPT_SECONDS = 2.0  # at least; longer where reading takes long, so that open pages cost a tenth of a core at most
_KEPT_TIMES = 10
_ZONES_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of one local day, the groups with the most calls first."""

    period: Period
    total: Totals
    by_team: Sequence[Totals]
    by_model: Sequence[Totals]
    evidence: Evidence = field(compare=False)


class Today:
    """Gives today's sums; from any thread."""

    def __init__(
        self,
        engine: Engine,
        evidence: Evidence,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._evidence = engine, evidence
        self._now = now
        self._clock = clock
        self._kept: dict[str, tuple[float, Sums]] = {}
        self._lock = threading.Lock()  # also keeps many pages from asking the same question at once

    def sums(self, zone: ZoneInfo) -> Sums:
        """Sum up today; raises sqlalchemy.exc.SQLAlchemyError when the ledger cannot be read."""
        with self._lock:
            kept_until, sums = self._kept.get(zone.key, (0.0, None))
            began = self._clock()
            if sums is None or began >= kept_until:
                sums = self._read(today(self._now(), zone))
                if len(self._kept) >= _ZONES_KEPT:
                    self._kept.clear()
                ended = self._clock()
                self._kept[zone.key] = (ended + max(KEPT_SECONDS, _KEPT_TIMES * (ended - began)), sums)
            return sums

    def _read(self, period: Period) -> Sums:
        with self._engine.connect() as connection:
            (total,), *groups = read.splits(
                connection, ((), ("team",), ("model",)), start=period.start, end=period.end, zone=period.zone
            )
            self._evidence.read(connection, total)
        by_team, by_model = (sorted(each, key=lambda group: (-group.calls, group.key[0] or "")) for each in groups)
        return Sums(period=period, total=total, by_team=by_team, by_model=by_model, evidence=self._evidence)
