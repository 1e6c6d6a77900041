"""What size a closed model has, judged by its price: a range, from what models of known size cost at their makers.

Price follows size loosely: a line through the logarithms of both, and around it a factor that holds nine of ten
models of makers the line was not drawn through (``python -m bench.fit_price_class``, ``data/price_class.toml``).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from estimator.facts import read_toml

Span = tuple[float, float]


class ListPrice(NamedTuple):
    """Dollars per million tokens out, at whom and as of which day: what a size was judged by."""

    usd_out: float
    seller: str
    day: str

    @property
    def sentence(self) -> str:
        """Say what the size rests on."""
        asked = f"{self.usd_out:g} dollars per million tokens out at {self.seller}, {self.day}"
        return f"size judged by its list price, {asked}"


@cache
def fitted() -> dict[str, Any]:
    """Return the fitted lines, their factors, and the span of prices and sizes they were drawn through."""
    return read_toml("price_class.toml")


def covered(usd_out: float) -> bool:
    """Return whether models of known size cost so little and so much; beyond, the line says nothing."""
    low, high = fitted()["usd_out"]
    return bool(low <= usd_out <= high)


def sizes(usd_out: float) -> tuple[Span, Span]:
    """Return the 90 % ranges of total and of active parameters, in billions, of a model at a price."""
    return _span("total", usd_out), _span("active", usd_out)


def _span(which: str, usd_out: float) -> Span:
    line = fitted()[which]
    middle = line["at_one_dollar_b"] * usd_out ** line["power"]
    least, most = line["known_b"]
    low, high = max(least, middle / line["factor"]), min(most, middle * line["factor"])
    return float(f"{low:.3g}"), float(f"{high:.3g}")
