"""The quantities that several dashboards show, each with its metric, its unit and what an empty panel means."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.panels import Curve, Figure, Says
from dashboards.queries import SELECTED, WEEK_BEFORE, Query, rate, total

NO_CALLS = "no call was recorded in the time range for what is chosen above."
SINCE_SCRAPED = (
    "It survives restarts, and adds up several consoles. What a console counted before its first scrape is missing;"
    " the month dashboard and `joulegate report` have the ledger's exact figures."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """``per`` scales a rate per second to what ``pace`` says; ``is_`` says what is counted."""

    title: str
    unit: str
    metric: str
    more: str = ""
    pace: str
    pace_unit: str
    per: str = ""
    color: str = ""
    decimals: int | None = None
    is_: str
    empty: str = NO_CALLS
    banded: bool = False

    def figure(self, where: str = SELECTED) -> Figure:
        """Show the sum over the time range."""
        return Figure(
            title=self.title,
            unit=self.unit,
            decimals=self.decimals,
            queries=(Query(expr=total(self.metric, self.more, where=where)),),
            says=Says(
                shows=f"{self.is_} In the time range shown.",
                reckoned=f"the increase of {self.metric}. {SINCE_SCRAPED}",
                empty=self.empty,
            ),
        )

    def paced(self, where: str = SELECTED) -> Curve:
        """Show the pace now, its band where there is one, and the pace a week before."""

        def query(legend: str, part: str = "", shift: str = "") -> Query:
            metric = self.metric.replace("_total", f"{part}_total")
            expr = rate(metric, self.more, where=where, per=self.per, shift=shift)
            return Query(expr=expr, legend=legend, style="before" if shift else "band" if part == "_high" else "plain")

        band = (query("low", "_low"), query("high", "_high")) if self.banded else ()
        also = " The band lies between the sums of each call's low and high ends." if self.banded else ""
        return Curve(
            title=f"{self.pace}, now and a week before",
            unit=self.pace_unit,
            color=self.color,
            queries=(
                *band,
                query("centre" if self.banded else "now"),
                query("a week before", shift=WEEK_BEFORE),
            ),
            says=Says(
                shows=f"{self.is_} The pace, and dashed that of a week before.{also}",
                reckoned=f"the rate of {self.metric}.",
                empty=f"{self.empty} Without the dashed line: Prometheus has nothing of a week before.",
            ),
        )

    def by(self, label: str, where: str = SELECTED) -> Curve:
        """Show the pace by a label, one on the other."""
        return Curve(
            title=f"{self.pace} by {label}",
            unit=self.pace_unit,
            stacked=True,
            queries=(
                Query(
                    expr=rate(self.metric, self.more, where=where, by=label, per=self.per), legend=f"{{{{{label}}}}}"
                ),
            ),
            says=Says(
                shows=f"{self.is_} The pace, by {label}; `other` is what the metrics give no series of its own.",
                reckoned=f"the rate of {self.metric}.",
                empty=self.empty,
            ),
        )


OPERATIONAL = ',scope="operational"'
EMBODIED_SCOPE = ',scope="embodied"'
READ_AND_WRITTEN = ',kind=~"input|output"'
A_MINUTE, AN_HOUR = " * 60", " * 3600"
NO_ESTIMATE = "no call with an energy estimate; the health dashboard says how many have none."

CALLS = Quantity(
    title="Calls",
    unit="short",
    decimals=0,
    metric="joulegate_calls_total",
    pace="Calls per minute",
    pace_unit="short",
    per=A_MINUTE,
    color="text",
    is_="Calls, one per upstream attempt or refusal, however they ended.",
)
TOKENS = Quantity(
    title="Tokens",
    unit="short",
    decimals=1,
    metric="joulegate_tokens_total",
    more=READ_AND_WRITTEN,
    pace="Tokens per minute",
    pace_unit="short",
    per=A_MINUTE,
    color="purple",
    is_="Input and output tokens; cached ones are part of input, reasoning is part of output.",
    empty="no call whose tokens are known.",
)
DOLLARS = Quantity(
    title="Dollars",
    unit="currencyUSD",
    metric="joulegate_cost_usd_total",
    pace="Dollars per hour",
    pace_unit="currencyUSD",
    per=AN_HOUR,
    color="green",
    is_="US dollars at list prices or your own, of calls that have a price; so a lower bound.",
    empty="no call that has a price.",
)
COMPUTE = Quantity(
    title="Compute",
    unit="si:FLOP",
    metric="joulegate_flops_total",
    pace="Compute",
    pace_unit="flops",
    color="text",
    is_="Floating-point operations, estimated.",
    empty=NO_ESTIMATE,
)
ENERGY = Quantity(
    title="Energy",
    unit="joule",
    metric="joulegate_energy_joules_total",
    pace="Power",
    pace_unit="watt",
    color="yellow",
    is_="Energy at the facility's meter, PUE included, centre of the estimate.",
    empty=NO_ESTIMATE,
    banded=True,
)
CARBON = Quantity(
    title="Carbon",
    unit="massg",
    metric="joulegate_carbon_grams_total",
    more=OPERATIONAL,
    pace="Carbon per hour",
    pace_unit="massg",
    per=AN_HOUR,
    color="orange",
    is_="Grams CO2e of the electricity, location-based, centre of the estimate.",
    empty=NO_ESTIMATE,
    banded=True,
)
EMBODIED = Quantity(
    title="Embodied carbon",
    unit="massg",
    metric="joulegate_carbon_grams_total",
    more=EMBODIED_SCOPE,
    pace="Embodied carbon per hour",
    pace_unit="massg",
    per=AN_HOUR,
    color="brown",
    is_="Grams CO2e of making the hardware, the share of these calls; it has no band.",
    empty=NO_ESTIMATE,
)
WATER = Quantity(
    title="Water",
    unit="litre",
    metric="joulegate_water_liters_total",
    pace="Water per hour",
    pace_unit="litre",
    per=AN_HOUR,
    color="blue",
    is_="Liters consumed on site and in generating the electricity, estimated.",
    empty=NO_ESTIMATE,
)
ALL = (CALLS, TOKENS, DOLLARS, COMPUTE, ENERGY, CARBON, EMBODIED, WATER)
COMPARED = (CALLS, TOKENS, DOLLARS, ENERGY, CARBON, WATER)


def against_the_week_before(where: str = SELECTED) -> Figure:
    """Show how much more or less there was than in the same stretch of time a week before."""

    def change(each: Quantity) -> str:
        now, before = (total(each.metric, each.more, where=where, shift=shift) for shift in ("", WEEK_BEFORE))
        return f"{now} / ({before} > 0) - 1"

    return Figure(
        title="Against the same time a week before",
        unit="percentunit",
        decimals=0,
        height=3,
        none="nothing known of a week before",
        queries=tuple(Query(expr=change(each), legend=each.title) for each in COMPARED),
        says=Says(
            shows="How much more (or, below zero, less) there was in the time range shown than a week before it.",
            reckoned="the increase in the time range, divided by that in the same stretch a week before, less 1.",
            empty="Prometheus has nothing of a week before, or there was nothing then.",
        ),
    )


def outcomes(where: str = SELECTED) -> Curve:
    """Show how calls ended."""
    return Curve(
        title="Calls per minute by outcome",
        unit="short",
        stacked=True,
        queries=(
            Query(expr=rate("joulegate_calls_total", where=where, by="outcome", per=" * 60"), legend="{{outcome}}"),
        ),
        says=Says(
            shows="How calls ended: ok, error (of the provider or on the way to it), aborted by the client, interrupted"
            " by the end of a gate, rejected by the gate.",
            reckoned="the rate of joulegate_calls_total.",
            empty=NO_CALLS,
        ),
    )
