"""What a sum took, in words: watt-hours and grams, their bands, and no more digits than these allow."""

from __future__ import annotations

from estimator.units import JOULES_PER_WH
from proxy.ledger.read import Totals
from proxy.reports import figures


def carried(group: Totals) -> int:
    """Say how many digits the energy carries; what follows from it carries no more."""
    return figures.carried(*_watt_hours(group))


def energy(group: Totals) -> str:
    """Write the energy, 1.5 kWh."""
    return figures.quantity(_watt_hours(group)[1], "Wh", carried(group))


def energy_band(group: Totals) -> str:
    """Write its two ends, 0.71–5.3 kWh; nothing where it is unknown."""
    low, _, high = _watt_hours(group)
    return "" if low is None else figures.band(low, high, "Wh", carried(group))


def grams(group: Totals) -> str:
    """Write the location-based grams of CO2e, 470 g."""
    return figures.quantity(group.grams_co2e, "g", _grams_carried(group))


def grams_band(group: Totals) -> str:
    """Write their two ends, 0.20–1.7 kg; nothing where they are unknown."""
    low, high = group.grams_co2e_low, group.grams_co2e_high
    return "" if low is None else figures.band(low, high, "g", _grams_carried(group))


def _watt_hours(group: Totals) -> list[float | None]:
    joules = (group.joules_low, group.joules, group.joules_high)
    return [None if each is None else each / JOULES_PER_WH for each in joules]


def _grams_carried(group: Totals) -> int:
    return figures.carried(group.grams_co2e_low, group.grams_co2e, group.grams_co2e_high)
