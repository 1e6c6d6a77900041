"""Electricity Maps (commercial, with a free tier): life-cycle, consumption-based, by the hour.

API: version 3, ``/carbon-intensity/history`` (the last 24 hours) and ``/past``; the token goes in ``auth-token``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from estimator import Intensity
from proxy.grids.fetch import Fetch, NoFigureError
from proxy.grids.source import HOUR, grams, hour_of, listed, moment_of, stamp

_DAY: Final = timedelta(hours=24)
# ISO 3166-1 alpha-3 to the two letters the source uses, for the countries cloud regions lie in.
_CODES: Final = {
    "ARE": "AE",
    "AUS": "AU",
    "AUT": "AT",
    "BEL": "BE",
    "BHR": "BH",
    "BRA": "BR",
    "CAN": "CA",
    "CHE": "CH",
    "CHL": "CL",
    "CHN": "CN",
    "DEU": "DE",
    "DNK": "DK",
    "ESP": "ES",
    "FIN": "FI",
    "FRA": "FR",
    "GBR": "GB",
    "HKG": "HK",
    "IDN": "ID",
    "IND": "IN",
    "IRL": "IE",
    "ISL": "IS",
    "ISR": "IL",
    "ITA": "IT",
    "JPN": "JP",
    "KOR": "KR",
    "MEX": "MX",
    "MYS": "MY",
    "NLD": "NL",
    "NOR": "NO",
    "NZL": "NZ",
    "POL": "PL",
    "PRT": "PT",
    "QAT": "QA",
    "SAU": "SA",
    "SGP": "SG",
    "SWE": "SE",
    "THA": "TH",
    "TWN": "TW",
    "USA": "US",
    "ZAF": "ZA",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityMaps:
    """``codes`` maps our zones to the source's finer ones, as ``USA`` to ``US-CAL-CISO``."""

    fetch: Fetch
    token: str = field(repr=False)
    codes: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(tz=UTC))
    origin: str = "https://api.electricitymaps.com"
    name: ClassVar[str] = "electricity_maps"

    def covers(self, zone: str) -> bool:
        """Tell whether there is a code for the zone."""
        return zone in self.codes or zone in _CODES

    def intensity(self, zone: str, at: datetime) -> Intensity:
        """Return the hour's mean; raises :class:`GridSourceError`."""
        code = self.codes.get(zone) or _CODES.get(zone)
        if code is None:
            raise NoFigureError(f"{self.name}: no code for zone {zone}; name one")
        hour = hour_of(at)
        if hour_of(self.clock()) - hour < _DAY:
            row = self._recent(code, hour)
        else:
            row = self._ask("past", {"zone": code, "datetime": stamp(hour)})
        if not isinstance(row, dict) or moment_of(row.get("datetime"), self.name) != hour:
            raise NoFigureError(f"{self.name}: no figure for {code} at {stamp(hour)}")
        return Intensity(
            zone=zone,
            grams_per_kwh=grams(row.get("carbonIntensity"), self.name),
            boundary="life_cycle",
            start=hour,
            end=hour + HOUR,
            source=f"{self.name}:{code}",
            estimated=row.get("isEstimated") is True,
        )

    def _recent(self, code: str, hour: datetime) -> Any:
        rows = listed(self._ask("history", {"zone": code}), "history", self.name)
        return next((row for row in rows if moment_of(row.get("datetime"), self.name) == hour), None)

    def _ask(self, endpoint: str, parameters: dict[str, str]) -> Any:
        return self.fetch.json(
            f"{self.origin}/v3/carbon-intensity/{endpoint}",
            parameters={**parameters, "emissionFactorType": "lifecycle", "temporalGranularity": "hourly"},
            headers={"auth-token": self.token},
        )
