"""The figures of a sum, everywhere alike: mark of evidence, the digits that its band allows, band, what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from html import escape

from proxy.console.evidence import mark
from proxy.console.marks import note
from proxy.ledger.read import Totals
from proxy.reports.figures import UNKNOWN, band, carried, count, dollars, quantity, share


@dataclass(frozen=True, slots=True)
class Measure:
    """What is shown of a sum; ``column`` is of Totals, ``unknown`` counts the calls without it."""

    title: str
    column: str
    unit: str
    unknown: str | None
    brief: str  # how it is made and from what, in some words; ``method`` in sentences
    method: str


MEASURES = {
    "dollars": Measure(
        "Dollars", "cost_usd", "USD", "unpriced_calls",
        "tokens × the price of the day",
        "Tokens times the price of the day, of the provider's list or your own, exact to the last digit. Discounts,"
        " credits and taxes are in it where a list of your own has them. Calls without a known price are left out and"
        " counted.",
    ),
    "energy": Measure(
        "Energy", "joules", "J", "energy_unknown_calls",
        "tokens × model's size × hardware, at the facility's meter",
        "An estimate at the facility's meter, servers and cooling included, from tokens, the model's size and the"
        " hardware it runs on. The range is 90 %.",
    ),
    "carbon": Measure(
        "CO₂e", "grams_co2e", "g", "carbon_unknown_calls",
        "energy × the zone's g/kWh",
        "Energy times the grams per kWh of the zone's electricity, location-based, its life cycle included. The range"
        " is 90 %.",
    ),
    "water": Measure(
        "Water", "liters", "L", "water_unknown_calls",
        "energy × liters/kWh, on site and at power plants",
        "Water consumed by cooling on site and by the power plants of the zone, estimated from energy. No range of its"
        " own is kept: it is no surer than the energy.",
    ),
    "compute": Measure(
        "Compute", "flops", "FLOP", "energy_unknown_calls",
        "tokens × the model's shape",
        "Floating-point operations of prefill and decode, from tokens and the model's shape, estimated. No range of its"
        " own is kept: it is shown no surer than the energy.",
    ),
    "calls": Measure("Calls", "calls", "", None, "counted", "Attempts at a provider, and calls that were turned away."),
}  # fmt: skip


def written(group: Totals, measure: Measure, peak: Decimal | None = None) -> str:
    """Write a figure with its unit, as text; ``peak`` is the most dollars beside it."""
    found = getattr(group, measure.column)
    if measure.column == "cost_usd":
        return dollars(found, peak)
    # Of water and compute the ledger keeps no band: they are no surer than the energy.
    like = measure.column if measure.column == "grams_co2e" else "joules"
    return quantity(found, measure.unit, carried(*ends(group, like)))


def banded(group: Totals, measure: Measure) -> str:
    """Write a sum's band, with the digits that its figure has; nothing where the ledger keeps none."""
    if not hasattr(group, f"{measure.column}_low") or getattr(group, measure.column) is None:
        return ""
    low, centre, high = ends(group, measure.column)
    return band(low, high, measure.unit, carried(low, centre, high))


def ends(group: Totals, column: str) -> tuple[float | None, float | None, float | None]:
    """Give low, centre and high of a quantity that has a band."""
    low, centre, high = (getattr(group, f"{column}{end}") for end in ("_low", "", "_high"))
    return low, centre, high


def figure(
    group: Totals, of: str, shares: Mapping[str, float], *, peak: Decimal | None = None, unpriced: str = "unpriced"
) -> str:
    """Draw one of MEASURES: how it is made on request, its band and what it leaves out below."""
    measure = MEASURES[of]
    if getattr(group, measure.column) is None:
        return f'<span class="none" title="{escape(_why_unknown(group, measure))}">{UNKNOWN}</span>'
    estimated = of != "dollars"
    text = f'<span title="{escape(f"{measure.brief}; sources: Facts")}">{escape(written(group, measure, peak))}</span>'
    return (mark(shares) if estimated else "") + text + below(group, of, unpriced if not estimated else "unknown")


def _why_unknown(group: Totals, measure: Measure) -> str:
    """Say why none of the calls has a figure, and where it is said what to do."""
    without = getattr(group, measure.unknown) if measure.unknown else 0
    if not without:
        return "no tokens are known of these calls"
    lacks = "price" if measure.column == "cost_usd" else "estimate"
    return f"{count(without)} of {count(group.calls)} calls have tokens, but no {lacks}: see Facts, What is missing"


def below(group: Totals, of: str, lacking_what: str) -> str:
    """Draw what stands under a figure."""
    measure = MEASURES[of]
    left_out = lacking(getattr(group, measure.unknown), group.calls, lacking_what) if measure.unknown else ""
    return note(banded(group, measure)) + note(left_out)


def lacking(number: int, whole: int, what: str) -> str:
    """Say which share of the calls a sum leaves out."""
    return f"{share(number, whole)} {what}" if number else ""


def title(of: str) -> str:
    """Write the head of a column of such figures."""
    return f'<span class="how" title="{escape(MEASURES[of].method)}">{MEASURES[of].title}</span>'
