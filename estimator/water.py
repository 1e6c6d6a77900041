"""Liters: cooling on site and power plants off site, over the energy of the servers."""

from __future__ import annotations

from estimator.units import JOULES_PER_KWH


def liters(it_joules: float, site_liters_per_kwh: float, pue: float, grid_liters_per_kwh: float) -> float:
    """Return liters of water: site water follows IT energy, plant water all the facility draws.

    ``it_joules / 3.6e6 · (WUE_site + PUE · EWIF)``, with the factors in L/kWh.
    """
    return it_joules / JOULES_PER_KWH * (site_liters_per_kwh + pue * grid_liters_per_kwh)
