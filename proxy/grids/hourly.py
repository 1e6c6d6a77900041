"""A source asked once for each zone and hour, never in anybody's way: while it fails, the year's mean stands in."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from estimator import Estimate, Intensity, Usage
from estimator.errors import UnknownZoneError
from estimator.grid import grid
from estimator.overheads import overheads
from proxy.errors import ConfigError
from proxy.grids.carbon_intensity_uk import CarbonIntensityUk
from proxy.grids.electricity_maps import ElectricityMaps
from proxy.grids.fetch import Fetch, GridSourceError, NoFigureError, make_client
from proxy.grids.source import GridSource, hour_of
from proxy.grids.watttime import WattTime

_MOST_HOURS: Final = 10_000
NEEDS_TOKEN: Final = frozenset({"electricity_maps", "watttime"})
SOURCES: Final = (ElectricityMaps.name, WattTime.name, CarbonIntensityUk.name)


@dataclass(frozen=True, slots=True)
class _Kept:
    found: Intensity | None  # None: the source failed
    until: float


class HourlyGrid:
    """Remembers hours: settled ones for good, estimated ones and failures for a while."""

    def __init__(
        self,
        source: GridSource,
        *,
        clock: Callable[[], float] = time.monotonic,
        settle_s: float = 900.0,
        pause_s: float = 300.0,
    ) -> None:
        self._source = source
        self._clock = clock
        self._settle_s = settle_s
        self._pause_s = pause_s
        self._hours: OrderedDict[tuple[str, datetime], _Kept] = OrderedDict()
        self._silent_until = float("-inf")
        self.problem: str | None = None  # of the last question, for the health page
        self.answered = 0
        self.failed = 0

    def covers(self, zone: str) -> bool:
        """Tell whether the source can be asked for a zone at all."""
        return self._source.covers(zone)

    def at(self, zone: str, at: datetime) -> Intensity | None:
        """Return the hour's intensity, or ``None`` where the annual figure must do."""
        key, now = (zone, hour_of(at)), self._clock()
        kept = self._hours.get(key)
        if kept is not None and now < kept.until:
            return kept.found
        if now < self._silent_until:
            return kept.found if kept is not None else None
        found, until = None, now + self._pause_s
        try:
            found = self._source.intensity(zone, at)
        except GridSourceError as error:
            self.failed += 1
            self.problem = str(error)
            if not isinstance(error, NoFigureError):
                self._silent_until = until  # the source itself is in trouble: leave it in peace
        else:
            self.answered += 1
            self.problem = None
            until = now + self._settle_s if found.estimated else float("inf")
        self._hours[key] = _Kept(found, until)
        self._hours.move_to_end(key)
        if len(self._hours) > _MOST_HOURS:
            self._hours.popitem(last=False)
        return found


def open_grid(
    name: str, *, token: str | None = None, codes: Mapping[str, str] | None = None, timeout_s: float = 5.0
) -> HourlyGrid:
    """Return the hourly grid of a source by its name.

    Raises:
        ConfigError: there is no such source, or it needs a token and none was given.

    """
    if name not in SOURCES:
        raise ConfigError(f"no source of grid intensity is called {name!r}; there are {', '.join(SOURCES)}")
    if name in NEEDS_TOKEN and not token:
        raise ConfigError(f"{name} needs a credential, env:NAME or file:PATH")
    fetch = Fetch(client=make_client(timeout_s))
    source: GridSource
    if name == ElectricityMaps.name:
        source = ElectricityMaps(fetch=fetch, token=token or "", codes=codes or {})
    elif name == WattTime.name:
        source = WattTime(fetch=fetch, token=token or "", codes=codes or {})
    else:
        source = CarbonIntensityUk(fetch=fetch)
    return HourlyGrid(source)


def with_hours(estimate: Callable[..., Estimate], hours: HourlyGrid) -> Callable[..., Estimate]:
    """Return an estimator that takes the grid's hour for every call, where the source has it."""

    def estimated(
        usage: Usage,
        model: str,
        *,
        provider: str | None = None,
        zone: str | None = None,
        at: datetime | None = None,
        **named: Any,
    ) -> Estimate:
        place = zone or (overheads(provider).zone if provider is not None else None)
        intensity = None
        if at is not None and place is not None:
            with suppress(UnknownZoneError):  # the estimator says so itself
                intensity = hours.at(grid(place).zone, at)
        return estimate(usage, model, provider=provider, zone=zone, at=at, intensity=intensity, **named)

    return estimated
