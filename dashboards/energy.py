"""*Energy and carbon*: where the joules and the grams go, what a token takes, and what the figures rest on."""

from __future__ import annotations

from dashboards import ledger
from dashboards.boards import ENERGY as UID
from dashboards.boards import Row, begun, finished, label_values, with_ledger, with_prometheus
from dashboards.panels import Curve, Figure, Says
from dashboards.quantities import CARBON, EMBODIED, EMBODIED_SCOPE, ENERGY, NO_ESTIMATE, OPERATIONAL, WATER
from dashboards.queries import SELECTED, Query, Sql, both, rate, total
from dashboards.ratios import GRAMS_PER_DOLLAR, JOULES_PER_TOKENS
from dashboards.sdk import model

NO_LEDGER = "the ledger has no such day, or it is not in PostgreSQL, or Grafana has no data source that reads it."


def ends(title: str, unit: str, metric: str, more: str = "") -> Figure:
    """Show both ends of a band over the time range."""
    return Figure(
        title=title,
        unit=unit,
        queries=tuple(
            Query(expr=total(metric.replace("_total", f"_{end}_total"), more), legend=end) for end in ("low", "high")
        ),
        says=Says(
            shows="The ends of the estimate's band in the time range shown: the sums of each call's own low and high"
            " ends. The band of a sum is narrower, see the month dashboard.",
            reckoned=f"the increase of {metric.replace('_total', '_low_total')} and of its high twin.",
            empty=NO_ESTIMATE,
        ),
    )


SCOPES = Curve(
    title="Carbon per hour, electricity and hardware",
    unit="massg",
    stacked=True,
    queries=(
        Query(expr=rate("joulegate_carbon_grams_total", OPERATIONAL, per=" * 3600"), legend="electricity"),
        Query(expr=rate("joulegate_carbon_grams_total", EMBODIED_SCOPE, per=" * 3600"), legend="hardware"),
    ),
    says=Says(
        shows="Grams CO2e per hour: of the electricity (location-based), and the share of making the hardware.",
        reckoned="the rate of joulegate_carbon_grams_total, by scope.",
        empty=NO_ESTIMATE,
    ),
)
PREFILL = "joulegate_prefill_energy_joules_total"
_ALL, _OF_PROMPTS = (f"rate({metric}{{{SELECTED}}}[$__rate_interval])" for metric in (ENERGY.metric, PREFILL))
PHASES = Curve(
    title="Power, prefill against decode",
    unit="watt",
    stacked=True,
    queries=(
        Query(expr=rate(PREFILL), legend="prefill"),
        Query(expr=f"{both(_ALL, _OF_PROMPTS)} - {rate(PREFILL)}", legend="decode"),
    ),
    says=Says(
        shows="What reading the prompts takes (prefill), and what writing the output takes (decode).",
        reckoned=f"the rate of {PREFILL}, and what it leaves of {ENERGY.metric}, of those teams, providers and"
        " models that have both.",
        empty=NO_ESTIMATE,
    ),
)
COMPUTE = Curve(
    title="Compute by model",
    unit="flops",
    stacked=True,
    queries=(Query(expr=rate("joulegate_flops_total", by="model"), legend="{{model}}"),),
    says=Says(
        shows="Floating-point operations per second, estimated; from them the energy is reckoned.",
        reckoned="the rate of joulegate_flops_total.",
        empty=NO_ESTIMATE,
    ),
)


def from_ledger(name: str, says: str) -> Curve:
    """Show energy by what metrics have no label for, from the ledger's sums by day."""
    return Curve(
        title=f"Energy per day by {name.replace('_', ' ')}",
        unit="joule",
        stacked=True,
        bars=True,
        step="1d",
        since="now-30d/d",
        queries=(Sql(statement=ledger.daily(name, "joules", ledger.everything(ledger.WIDE), ledger.WIDE)),),
        says=Says(
            shows=f"{says} By days of UTC, of all teams, providers and models, whatever is chosen above.",
            reckoned="the sum of joules in details_by_day; the metrics have no such label.",
            empty=NO_LEDGER,
        ),
    )


def energy() -> model.Dashboard:
    """Lay out the dashboard."""
    board = begun(
        UID,
        "Estimates, each with a band: joules at the facility's meter, grams CO2e of electricity and of hardware,"
        " liters.",
        start="now-24h",
    ).refresh("1m")
    with_ledger(with_prometheus(board)).with_variable(label_values("team")).with_variable(label_values("provider"))
    board.with_variable(label_values("model", 'provider=~"$provider"'))
    rows = (
        Row(
            title="In the time range shown",
            panels=(
                (ENERGY.figure(), 6),
                (ends("Energy, both ends", "joule", ENERGY.metric), 6),
                (CARBON.figure(), 6),
                (ends("Carbon, both ends", "massg", CARBON.metric, OPERATIONAL), 6),
                *((each.figure(), 6) for each in (EMBODIED, WATER, JOULES_PER_TOKENS, GRAMS_PER_DOLLAR)),
            ),
        ),
        Row(title="Now, and a week before", panels=((ENERGY.paced(), 8), (CARBON.paced(), 8), (SCOPES, 8))),
        Row(title="Energy by", panels=tuple((ENERGY.by(label), 8) for label in ("team", "model", "provider"))),
        Row(title="Carbon by", panels=tuple((CARBON.by(label), 8) for label in ("team", "model", "provider"))),
        Row(
            title="What it takes",
            panels=tuple(
                (each, 6) for each in (JOULES_PER_TOKENS.by("model"), GRAMS_PER_DOLLAR.by("model"), PHASES, COMPUTE)
            ),
        ),
        Row(
            title="From the ledger",
            panels=(
                (from_ledger("zone", "Whose electricity it was: ISO country codes; “–” is where nobody said."), 12),
                (
                    from_ledger(
                        "tier",
                        "What the estimate rests on, from measured and disclosed down to closed_model and unknown.",
                    ),
                    12,
                ),
            ),
        ),
    )
    return finished(board, rows)
