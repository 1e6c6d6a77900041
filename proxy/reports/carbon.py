"""Grams of CO2e: from the electricity, with their band, and the share of making the hardware."""

from __future__ import annotations

from proxy.reports import notes
from proxy.reports.split import Split, report
from proxy.reports.table import Column, Report

_COLUMNS = (
    Column(key="calls", title="calls", kind="count"),
    Column(key="carbon_unknown_calls", title="unknown", kind="count"),
    Column(key="grams_co2e_low", title="low", kind="quantity", unit="g"),
    Column(key="grams_co2e", title="operational", kind="quantity", unit="g"),
    Column(key="grams_co2e_high", title="high", kind="quantity", unit="g"),
    Column(key="market_grams_co2e", title="market-based", kind="quantity", unit="g"),
    Column(key="embodied_grams_co2e", title="embodied", kind="quantity", unit="g"),
)


def carbon(split: Split) -> Report:
    """Give the carbon report, the most operational grams first."""
    total = split.total
    return report(
        split,
        name="carbon",
        title="CO2e, estimated: electricity location-based and market-based, hardware embodied",
        columns=_COLUMNS,
        rank="grams_co2e",
        notes=(
            *notes.nothing(split),
            *notes.outer_band(total.grams_co2e),
            *notes.without(split, "carbon_unknown_calls", "a carbon estimate", "carbon is"),
            *notes.usage_sources(total),
        ),
    )
