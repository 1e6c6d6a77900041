"""Software Carbon Intensity for AI: (E · I + M) per R, of whoever uses a model, per token.

ISO/IEC 21031:2024 and the Green Software Foundation's SCI for AI: the consumer's boundary is the operation of the
model, its functional unit R for language models the token. E is energy at the facility's meter, I location-based (the
standard knows no market-based factor and no offset), M the hardware's making. Only calls with an estimate are in
either side of the fraction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from estimator.units import JOULES_PER_KWH
from proxy.ledger.read import Totals
from proxy.reports.kind import Kind
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column


def _known(split: Split, group: Totals) -> list[Totals]:
    """Give the parts that have grams: those of one model, provider and tier have them all or not at all."""
    return [part for part in split.parts_of(group) if part.grams_co2e is not None]


def _reckoned(split: Split, groups: Sequence[Totals]) -> Mapping[str, Sequence[Cell]]:
    return dict(zip(_RECKONED, zip(*(_fraction(split, group) for group in groups), strict=True), strict=False))


_RECKONED = (
    *("tokens", "joules", "grams_per_kwh", "embodied_grams_co2e"),
    *("grams_per_token_low", "grams_per_token", "grams_per_token_high"),
)


def _fraction(split: Split, group: Totals) -> Sequence[Cell]:
    """Give what is reckoned of a group, in its order; nothing is known without tokens and grams."""
    parts = _known(split, group)
    tokens = sum([(part.input_tokens or 0) + (part.output_tokens or 0) for part in parts])
    joules = math.fsum([part.joules or 0.0 for part in parts])  # whatever the order they came in
    grams, low, high = group.grams_co2e, group.grams_co2e_low, group.grams_co2e_high
    if not tokens or grams is None or low is None or high is None:
        return (None,) * len(_RECKONED)
    embodied = group.embodied_grams_co2e
    made = embodied or 0.0
    return (
        *(tokens, joules, grams / (joules / JOULES_PER_KWH) if joules else None, embodied),
        *((low + made) / tokens, (grams + made) / tokens, (high + made) / tokens),
    )


def _says(split: Split) -> list[str]:
    said = [
        "SCI = (E · I + M) / R: energy at the facility's meter × grams per kWh of its grid (location-based) + the "
        "hardware's making, per token of input and output; consumer's boundary, so no training",
        "low and high are those of E · I; M has no band of its own",
    ]
    known = _known(split, split.total)
    bare = sum(part.calls for part in known if part.embodied_grams_co2e is None)
    mixed = sum(part.carbon_unknown_calls for part in known)
    return [
        *said,
        *([f"calls whose M is unknown, so that it is E · I alone: {bare:,}"] if bare else []),
        *([f"calls whose tokens are in R, but whose grams are unknown: {mixed:,}"] if mixed else []),
    ]


SCI = Kind(
    name="sci",
    title="Software Carbon Intensity for AI (ISO/IEC 21031), estimated",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="carbon_unknown_calls", title="not estimated", kind="count"),
        Column(key="tokens", title="tokens (R)", kind="count", unit="tokens"),
        Column(key="joules", title="energy (E)", kind="quantity", unit="J", like="grams_per_token"),
        Column(key="grams_per_kwh", title="grid (I)", kind="quantity", unit="g/kWh"),
        Column(key="embodied_grams_co2e", title="embodied (M)", kind="quantity", unit="g", like="grams_per_token"),
        Column(key="grams_per_token_low", title="low", kind="quantity", unit="g/token", like="grams_per_token"),
        Column(key="grams_per_token", title="SCI", kind="quantity", unit="g/token", like="grams_per_token"),
        Column(key="grams_per_token_high", title="high", kind="quantity", unit="g/token", like="grams_per_token"),
    ),
    rank="grams_per_token",
    unknown="carbon_unknown_calls",
    lacking="a carbon estimate",
    so="they are on neither side of the fraction",
    reckoned=_reckoned,
    says=_says,
    within=("provider", "model", "tier"),
    reads=("input_tokens", "output_tokens", "grams_co2e"),
)
