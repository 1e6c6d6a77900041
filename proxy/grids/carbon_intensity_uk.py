"""The Carbon Intensity API of Great Britain (NESO, CC BY 4.0, no key): direct emissions by the half hour.

API: ``/intensity/{from}/{to}``; ``actual`` is null until it is settled, then ``forecast`` is taken and said to be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from estimator import Intensity
from proxy.grids.fetch import Fetch, NoFigureError
from proxy.grids.source import HOUR, grams, hour_of, listed, moment_of, stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonIntensityUk:
    """Great Britain and nothing else."""

    fetch: Fetch
    origin: str = "https://api.carbonintensity.org.uk"
    name: ClassVar[str] = "carbon_intensity_uk"

    def covers(self, zone: str) -> bool:
        """Tell whether it is Great Britain."""
        return zone == "GBR"

    def intensity(self, zone: str, at: datetime) -> Intensity:
        """Return the mean of the hour's two halves; raises :class:`GridSourceError`."""
        if not self.covers(zone):
            raise NoFigureError(f"{self.name}: Great Britain (GBR) alone, not {zone}")
        hour = hour_of(at)
        body = self.fetch.json(f"{self.origin}/intensity/{stamp(hour)}/{stamp(hour + HOUR)}")
        values, forecast = [], False
        for row in listed(body, "data", self.name):
            # The answer may begin with the half hour that ends where the question begins.
            if not hour <= moment_of(row.get("from"), self.name) < hour + HOUR:
                continue
            stated = row.get("intensity")
            figures = stated if isinstance(stated, dict) else {}
            actual = figures.get("actual")
            forecast = forecast or actual is None
            values.append(grams(figures.get("forecast") if actual is None else actual, self.name))
        if not values:
            raise NoFigureError(f"{self.name}: no figure at {stamp(hour)}")
        return Intensity(
            zone=zone,
            grams_per_kwh=sum(values) / len(values),
            boundary="direct",
            start=hour,
            end=hour + HOUR,
            source=self.name,
            estimated=forecast,
        )
