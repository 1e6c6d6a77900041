"""The calls' CO2e as a GHG Protocol inventory asks for it: bought services are scope 3, category 1.

Location- and market-based stand side by side, the hardware's making apart, and beside each line its share and the
evidence it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from proxy.ledger.read import Totals
from proxy.reports import figures
from proxy.reports.evidence import TIERS
from proxy.reports.kind import Kind
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column


def _unbought(parts: Sequence[Totals]) -> float:
    """Sum the location-based grams of the parts whose operators publish nothing market-based."""
    return math.fsum(part.grams_co2e or 0.0 for part in parts if part.market_grams_co2e is None)


def market_share(parts: Sequence[Totals]) -> float:
    """Give the share of the parts' location-based grams that have market-based ones beside them; 0 of none."""
    bought = math.fsum(part.grams_co2e or 0.0 for part in parts if part.market_grams_co2e is not None)
    return bought / (bought + _unbought(parts)) if bought else 0.0


def _reckoned(split: Split, groups: Sequence[Totals]) -> Mapping[str, Sequence[Cell]]:
    whole, own = split.total.grams_co2e, [group.grams_co2e for group in groups]
    return {
        "location_grams_without_market": [
            None if grams is None else _unbought(split.parts_of(group))
            for group, grams in zip(groups, own, strict=True)
        ],
        "share": [None if grams is None or not whole else grams / whole for grams in own],
    }


def _says(split: Split) -> list[str]:
    said = [
        "purchased services by the average-data method: electricity at the facility's meter and the hardware's "
        "making; not in it: training of models, networks, buildings, end devices",
    ]
    whole = split.total.grams_co2e
    if not whole:
        return said
    tiers: dict[str, float] = {}
    for part in split.parts:
        tier = part.key[split.part_names.index("tier")] or "unknown"
        tiers[tier] = tiers.get(tier, 0.0) + (part.grams_co2e or 0.0)
    ranked = sorted(((grams, tier) for tier, grams in tiers.items() if grams), reverse=True)
    evidence = ", ".join(f"{figures.percent(grams / whole)} {tier} ({TIERS[tier]})" for grams, tier in ranked)
    covered = figures.percent(market_share(split.parts))
    return [
        *said,
        f"tiers of evidence, by location-based grams: {evidence}",
        f"market-based covers {covered} of the location-based grams; of the rest no contract factor is known, and an "
        "inventory adds the rest's location-based grams to the market-based ones",
    ]


GHG = Kind(
    name="ghg",
    title="GHG Protocol, scope 3 category 1: purchased LLM services, CO2e estimated",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="carbon_unknown_calls", title="not estimated", kind="count"),
        Column(key="grams_co2e_low", title="low", kind="quantity", unit="gCO2e", like="grams_co2e"),
        Column(key="grams_co2e", title="location-based", kind="quantity", unit="gCO2e", like="grams_co2e"),
        Column(key="grams_co2e_high", title="high", kind="quantity", unit="gCO2e", like="grams_co2e"),
        Column(key="share", title="share", kind="share"),
        Column(key="market_grams_co2e", title="market-based", kind="quantity", unit="gCO2e", like="grams_co2e"),
        Column(
            key="location_grams_without_market",
            title="rest, location-based",
            kind="quantity",
            unit="gCO2e",
            like="grams_co2e",
        ),
        Column(key="embodied_grams_co2e", title="embodied", kind="quantity", unit="gCO2e", like="grams_co2e"),
    ),
    rank="grams_co2e",
    unknown="carbon_unknown_calls",
    lacking="a carbon estimate",
    so="grams are a lower bound",
    reckoned=_reckoned,
    says=_says,
    within=("provider", "model", "tier"),
    by=("tier",),
)
