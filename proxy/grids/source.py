"""The one question every source of grid intensity answers, and what their answers have in common."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Protocol

from estimator import Intensity
from proxy.grids.fetch import GridSourceError

HOUR: Final = timedelta(hours=1)


class GridSource(Protocol):
    """Grams per kWh of a zone in the hour that holds a moment."""

    name: ClassVar[str]

    def covers(self, zone: str) -> bool:
        """Tell whether the source can be asked for a zone at all."""

    def intensity(self, zone: str, at: datetime) -> Intensity:
        """Return the hour's mean; raises :class:`GridSourceError` where there is none."""


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the UTC hour; a naive time is UTC."""
    return to_utc(at).replace(minute=0, second=0, microsecond=0)


def stamp(moment: datetime) -> str:
    """Write a UTC time as the sources read it: ``2026-11-23T10:00Z``."""
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def moment_of(value: object, where: str) -> datetime:
    """Read an ISO 8601 time with its zone."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise GridSourceError(f"{where}: {str(value)[:40]!r} is no time") from None
    return to_utc(moment)


def to_utc(moment: datetime) -> datetime:
    """Bring a time to UTC; a naive one is UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def grams(value: object, where: str) -> float:
    """Read an intensity in g/kWh: finite, not negative, below what any fuel could emit."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 3000:
        raise GridSourceError(f"{where}: {str(value)[:40]!r} is no intensity")
    return float(value)


def listed(body: Any, key: str, where: str) -> list[dict[str, Any]]:
    """Return the rows under ``key``."""
    rows = body.get(key) if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise GridSourceError(f"{where}: no list {key!r} in the answer")
    return rows
