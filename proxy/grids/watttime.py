"""WattTime (subscription; CAISO_NORTH is open): the average operating emission rate, direct emissions, by five minutes.

API: version 3, ``/login`` by name and password for a token of half an hour, then ``/historical`` with the signal
``co2_aoer``, in pounds per MWh. The marginal signal ``co2_moer`` is for shifting load and not for accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from estimator import Intensity
from proxy.grids.fetch import Fetch, GridSourceError, NoFigureError
from proxy.grids.source import HOUR, grams, hour_of, listed, moment_of, stamp

_GRAMS_PER_POUND: Final = 453.59237
_KWH_PER_MWH: Final = 1000.0
_TOKEN_LIFE: Final = timedelta(minutes=25)


@dataclass(slots=True, kw_only=True)
class WattTime:
    """``codes`` maps our zones to the source's, as ``USA`` to ``CAISO_NORTH``; ``token`` is ``name:password``."""

    fetch: Fetch
    token: str = field(repr=False)
    codes: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(tz=UTC))
    origin: str = "https://api.watttime.org"
    name: ClassVar[str] = "watttime"
    _bearer: tuple[str, datetime] | None = field(default=None, init=False, repr=False)

    def covers(self, zone: str) -> bool:
        """Tell whether there is a code for the zone."""
        return zone in self.codes

    def intensity(self, zone: str, at: datetime) -> Intensity:
        """Return the mean of the hour's points; raises :class:`GridSourceError`."""
        region = self.codes.get(zone)
        if region is None:
            raise NoFigureError(f"{self.name}: no region for zone {zone}; name one")
        hour = hour_of(at)
        body = self.fetch.json(
            f"{self.origin}/v3/historical",
            parameters={
                "region": region,
                "signal_type": "co2_aoer",
                "start": stamp(hour),
                "end": stamp(hour + HOUR),
            },
            headers={"authorization": f"Bearer {self._token()}"},
        )
        rows = listed(body, "data", self.name)
        meta = body.get("meta")
        units = meta.get("units") if isinstance(meta, dict) else None
        if units != "lbs_co2_per_mwh":
            raise GridSourceError(f"{self.name}: unit {str(units)[:40]!r}, not lbs_co2_per_mwh")
        values = [
            grams(row.get("value"), self.name)
            for row in rows
            if hour <= moment_of(row.get("point_time"), self.name) < hour + HOUR
        ]
        if not values:
            raise NoFigureError(f"{self.name}: no figure for {region} at {stamp(hour)}")
        return Intensity(
            zone=zone,
            grams_per_kwh=sum(values) / len(values) * _GRAMS_PER_POUND / _KWH_PER_MWH,
            boundary="direct",
            start=hour,
            end=hour + HOUR,
            source=f"{self.name}:{region}",
        )

    def _token(self) -> str:
        now = self.clock()
        if self._bearer is None or self._bearer[1] <= now:
            user, _, password = self.token.partition(":")
            body = self.fetch.json(f"{self.origin}/login", login=(user, password))
            token = body.get("token") if isinstance(body, dict) else None
            if not isinstance(token, str) or not token:
                raise GridSourceError(f"{self.name}: no token in the answer to the login")
            self._bearer = token, now + _TOKEN_LIFE
        return self._bearer[0]
