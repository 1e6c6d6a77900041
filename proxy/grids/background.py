"""The grid's hours, asked in a thread of their own: recording waits for one a bounded while, and seldom."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from estimator import Intensity
from proxy.config import resolve_secret
from proxy.errors import ConfigError
from proxy.grids.hourly import HourlyGrid, open_grid
from proxy.grids.source import hour_of
from proxy.sections import Config

LONGEST_WAIT_S: Final = 2.0  # in a row
WAITING_SHARE: Final = 0.05  # of the time in the long run, however slow a source is
LOOK_AGAIN_S: Final = 60.0  # at an hour that may have come or settled since
_MOST_HOURS: Final = 10_000

_log = logging.getLogger("joulegate.grids")


@dataclass(slots=True)
class _Hour:
    found: Intensity | None = None
    asked: Future[Intensity | None] | None = None
    again_at: float = -math.inf


class BackgroundGrid:
    """Answers at once from what is known, and has the rest asked for; used by one thread."""

    def __init__(
        self,
        grids: Mapping[str, HourlyGrid],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Sequence[Future[Intensity | None]], float], object] = wait_for,
    ) -> None:
        """Ask for each zone's hours where ``grids`` says; ``clock`` gives seconds, ``wait`` waits at most so many."""
        self._grids = grids
        self._clock = clock
        self._wait = wait
        self._asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grid")
        self._hours: OrderedDict[tuple[str, datetime], _Hour] = OrderedDict()
        self._patience_s = LONGEST_WAIT_S
        self._looked_at = clock()
        self._problem: str | None = None

    def at(self, zone: str, at: datetime) -> Intensity | None:
        """Return the hour's intensity; ``None`` where it is not known, or not in time."""
        now = self._clock()
        hour = self._hours.setdefault((zone, hour_of(at)), _Hour())
        if len(self._hours) > _MOST_HOURS:
            self._hours.popitem(last=False)
        if hour.asked is None and now >= hour.again_at:
            hour.asked = self._asking.submit(self._grids[zone].at, zone, at)
        if hour.asked is not None:
            if hour.found is None:
                self._await(hour.asked, now)
            if hour.asked.done():
                self._take(hour, hour.asked, self._grids[zone])
        return hour.found

    def known(self, at: datetime) -> list[Intensity]:
        """Give what is known of an hour because a call of it was recorded; asks nobody. From any thread."""
        hours = (self._hours.get((zone, hour_of(at))) for zone in self._grids)
        return [hour.found for hour in hours if hour is not None and hour.found is not None]

    def close(self) -> None:
        """Ask for nothing more; a question under way is left to its timeout."""
        self._asking.shutdown(wait=False, cancel_futures=True)

    def _await(self, asked: Future[Intensity | None], now: float) -> None:
        self._patience_s = min(LONGEST_WAIT_S, self._patience_s + WAITING_SHARE * (now - self._looked_at))
        if self._patience_s > 0 and not asked.done():
            self._wait((asked,), self._patience_s)
        self._looked_at = self._clock()
        self._patience_s = max(0.0, self._patience_s - (self._looked_at - now))

    def _take(self, hour: _Hour, asked: Future[Intensity | None], grid: HourlyGrid) -> None:
        hour.asked = None
        error = asked.exception()
        if error is None:
            hour.found = asked.result()
        settled = hour.found is not None and not hour.found.estimated
        hour.again_at = math.inf if settled else self._clock() + LOOK_AGAIN_S
        problem = grid.problem if error is None else f"{type(error).__name__}: {error}"
        if problem is not None and problem != self._problem:
            _log.warning("the grid's year stands in for its hour: %s", problem)
        self._problem = problem


def open_hours(config: Config) -> BackgroundGrid:
    """Open the sources a configuration names; raises :class:`ConfigError` where one cannot be used."""
    grids: dict[str, HourlyGrid] = {}
    for row in config.grid:
        owner = f"grid `{row.source}`"
        token = resolve_secret(row.credential, owner=owner).decode() if row.credential is not None else None
        grid = open_grid(row.source, token=token, codes=row.codes)
        for zone in row.zones:
            if not grid.covers(zone):
                raise ConfigError(f'{owner}: no code for zone {zone}: name one, codes = {{ {zone} = "…" }}')
            grids[zone] = grid
    return BackgroundGrid(grids)
