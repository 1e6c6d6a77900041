"""Grams of CO2e: from the electricity, with their band, and the share of making the hardware."""

from __future__ import annotations

from proxy.reports.kind import Kind
from proxy.reports.table import Column

CARBON = Kind(
    name="carbon",
    title="CO2e, estimated: electricity location-based and market-based, hardware embodied",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="carbon_unknown_calls", title="not estimated", kind="count"),
        Column(key="grams_co2e_low", title="low", kind="quantity", unit="g", like="grams_co2e"),
        Column(key="grams_co2e", title="operational", kind="quantity", unit="g", like="grams_co2e"),
        Column(key="grams_co2e_high", title="high", kind="quantity", unit="g", like="grams_co2e"),
        Column(key="market_grams_co2e", title="market-based", kind="quantity", unit="g", like="grams_co2e"),
        Column(key="embodied_grams_co2e", title="embodied", kind="quantity", unit="g", like="grams_co2e"),
    ),
    rank="grams_co2e",
    unknown="carbon_unknown_calls",
    lacking="a carbon estimate",
    so="carbon is a lower bound",
)
