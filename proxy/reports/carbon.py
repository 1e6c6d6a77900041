"""Grams of CO2e: from the electricity, with their band, and the share of making the hardware."""

from __future__ import annotations

from proxy.reports import figures
from proxy.reports.ghg import market_share
from proxy.reports.kind import Kind
from proxy.reports.split import Split
from proxy.reports.table import Column


def _says(split: Split) -> list[str]:
    """Say how little the market-based grams may be of; by model alone, so that no more sums are read for it."""
    if not split.total.grams_co2e:
        return []
    most = market_share(split.models)
    return [
        "market-based grams are of the calls alone whose contract factor is known: of "
        + (f"at most {figures.percent(most)} of the operational grams; " if most else "none; ")
        + "the report ghg has the rest beside them"
    ]


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
    says=_says,
)
