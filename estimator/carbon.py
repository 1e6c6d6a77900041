"""Grams of CO2e: operational by place or by contract, and the embodied share of the hardware."""

from __future__ import annotations

from estimator.deployments import Gpu
from estimator.fits import constants
from estimator.units import GRAMS_PER_KG, JOULES_PER_KWH, SECONDS_PER_YEAR


def operational_grams(facility_joules: float, grams_per_kwh: float) -> float:
    """Return ``E / 3.6e6 · g``: location-based with a grid's factor, market-based with a contract's."""
    return facility_joules / JOULES_PER_KWH * grams_per_kwh


def embodied_grams_per_gpu_second(gpu: Gpu) -> float:
    """Return the hardware's manufacture per second of one busy GPU, its share of the server included.

    ``(I_gpu + I_server / 8) · 1000 / (life · utilisation)``: 0.0116 g for an H100.
    """
    k = constants()["embodied"]
    kilograms = gpu.embodied_kg + k["server_kg"] / k["gpus_per_server"]
    return float(kilograms * GRAMS_PER_KG / (k["life_years"] * SECONDS_PER_YEAR * k["utilisation"]))
