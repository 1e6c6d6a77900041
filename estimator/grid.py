"""Electricity: grams of CO2e and liters of water per kWh of a zone, and the zone of a cloud region."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final, NamedTuple

from estimator.errors import UnknownZoneError
from estimator.facts import read_json

WORLD: Final = "WOR"
ATTRIBUTION: Final = "Our World in Data, from Ember and the Energy Institute (CC BY 4.0)"


class GridIntensity(NamedTuple):
    """One zone's annual mean, life cycle, location-based."""

    zone: str  # ISO 3166-1 alpha-3, or WOR and EEE (European Economic Area)
    name: str
    grams_per_kwh: float  # the newer release of Our World in Data
    grams_per_kwh_2023: float | None  # the release of 2023, for comparison; never mixed with the other
    year_2023: int | None
    liters_per_kwh: float | None  # water used off site, by the power plants
    source: str  # of the grams: an id of the sources
    water_is_world: bool  # no figure of the zone's own: the world's is used


@cache
def _zones() -> dict[str, GridIntensity]:
    return {
        row["zone"]: GridIntensity(
            zone=row["zone"],
            name=row["name"],
            grams_per_kwh=row["owid"],
            grams_per_kwh_2023=row["owid_2023"],
            year_2023=row["year"],
            liters_per_kwh=row["liters_per_kwh"],
            source="owid",
            water_is_world=row["water_is_world"],
        )
        for row in read_json("grids/annual.json")["zones"]
    }


@cache
def _regions() -> dict[str, str]:
    return dict(read_json("grids/cloud_regions.json")["regions"])


@cache
def known_zones() -> frozenset[str]:
    """Return the code of every zone there is a figure for."""
    return frozenset(_zones())


@cache
def known_regions() -> frozenset[str]:
    """Return every cloud region with a zone, as ``aws:eu-north-1``."""
    return frozenset(_regions())


@lru_cache(maxsize=1024)
def grid(zone: str) -> GridIntensity:
    """Return the grid of a zone (``FRA``, ``WOR``) or of a cloud region (``aws:eu-north-1``).

    Raises:
        UnknownZoneError: there is no such zone or region.

    """
    code = _regions().get(zone.lower(), "") if ":" in zone else zone.upper()
    found = _zones().get(code)
    if found is None:
        msg = (
            f"no electricity zone is called {zone!r}; use ISO 3166-1 alpha-3 such as FRA, WOR for the world,"
            " or a cloud region such as aws:eu-north-1"
        )
        raise UnknownZoneError(msg)
    return found
