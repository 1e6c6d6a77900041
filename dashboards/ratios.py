"""Ratios of sums: what a token takes, what a dollar emits; each of the calls for which both are known."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.panels import Curve, Figure, Says
from dashboards.quantities import CARBON, DOLLARS, ENERGY, TOKENS, Quantity
from dashboards.queries import SELECTED, Query, both

_OF_BOTH = "those teams, providers and models that have both, so that an unknown figure does not count as 0."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One quantity for so much of another; ``per`` is how much of the other."""

    title: str
    unit: str
    one: Quantity
    other: Quantity
    per: str = ""
    is_: str
    empty: str

    def figure(self, where: str = SELECTED) -> Figure:
        """Show the ratio of the sums over the time range."""
        return Figure(
            title=self.title,
            unit=self.unit,
            queries=(Query(expr=self._expr("increase", "$__range", where)),),
            says=Says(
                shows=f"{self.is_} In the time range shown.",
                reckoned=f"the increase of {self.one.metric} divided by that of {self.other.metric}, of {_OF_BOTH}",
                empty=self.empty,
            ),
        )

    def by(self, label: str, where: str = SELECTED) -> Curve:
        """Show the ratio of the paces, by a label."""
        expr = self._expr("rate", "$__rate_interval", where, label)
        return Curve(
            title=f"{self.title} by {label}",
            unit=self.unit,
            queries=(Query(expr=expr, legend=f"{{{{{label}}}}}"),),
            says=Says(
                shows=f"{self.is_} By {label}.",
                reckoned=f"the rate of {self.one.metric} divided by that of {self.other.metric}, of {_OF_BOTH}",
                empty=self.empty,
            ),
        )

    def _expr(self, function: str, window: str, where: str, by: str = "") -> str:
        one, other = (f"{function}({each.metric}{{{where}{each.more}}}[{window}])" for each in (self.one, self.other))
        return f"{both(one, other, by)} / {both(other, one, by)}{self.per}"


JOULES_PER_TOKENS = Ratio(
    title="Joules per 1,000 tokens",
    unit="joule",
    one=ENERGY,
    other=TOKENS,
    per=" * 1000",
    is_="Energy at the facility's meter for 1,000 tokens, input and output alike, cached ones included.",
    empty="no call whose tokens and energy are both known.",
)
GRAMS_PER_DOLLAR = Ratio(
    title="Grams CO2e per dollar",
    unit="massg",
    one=CARBON,
    other=DOLLARS,
    is_="Operational grams CO2e for each dollar, at list prices or your own.",
    empty="no call whose carbon and price are both known.",
)
DOLLARS_PER_TOKENS = Ratio(
    title="Dollars per million tokens",
    unit="currencyUSD",
    one=DOLLARS,
    other=TOKENS,
    per=" * 1e6",
    is_="List price for a million tokens as they were used: input, cached and output mixed.",
    empty="no call whose tokens and price are both known.",
)
