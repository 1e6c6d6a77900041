"""*Month by SQL*: the ledger's exact sums of whole days, as ``joulegate report`` has them."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards import ledger
from dashboards.boards import MONTH as UID
from dashboards.boards import Row, begun, chosen, finished, with_ledger
from dashboards.energy import NO_LEDGER
from dashboards.panels import Column, Curve, Figure, Says, Table
from dashboards.queries import LEDGER, Sql
from dashboards.sdk import dashboard, model

_SUMMED = (
    "the sum of the ledger's sums by day (calls_by_day), of whole days of UTC that the time range touches; the same"
)
_UNITS = {
    "cost_usd": "prefix:$", "joules_low": "joule", "joules": "joule", "joules_high": "joule", "grams_co2e_low": "massg",
    "grams_co2e": "massg", "grams_co2e_high": "massg", "embodied_grams_co2e": "massg", "market_grams_co2e": "massg",
    "liters": "litre", "flops": "si:FLOP",
}  # fmt: skip
_DOLLAR_DECIMALS = 6
COST = (
    "calls", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "unpriced_calls", "cost_usd",
)  # fmt: skip
ESTIMATES = ("calls", "joules", "grams_co2e", "embodied_grams_co2e", "liters", "cost_usd")


def figure(title: str, name: str, shows: str, report: str, empty: str = NO_LEDGER) -> Figure:
    """Show one sum."""
    return Figure(
        title=title,
        unit=_UNITS.get(name, "locale"),
        decimals=_DOLLAR_DECIMALS if name == "cost_usd" else None,
        queries=(Sql(statement=ledger.total(name)),),
        says=Says(
            shows=f"{shows} Of the time range and the calls chosen above.",
            reckoned=f"{_SUMMED} as {name} in `joulegate report {report}`.",
            empty=empty,
        ),
    )


def banded(title: str, name: str, shows: str, report: str) -> Figure:
    """Show a sum between the ends of its band."""
    return Figure(
        title=title,
        unit=_UNITS[name],
        queries=(Sql(statement=ledger.band(name)),),
        says=Says(
            shows=f"{shows} Low end, centre and high end of the sum's own 90 % band.",
            reckoned=f"{_SUMMED} as in `joulegate report {report}`. What errs alike for a model adds up, what errs"
            " call by call evens out.",
            empty="no call with an estimate, or " + NO_LEDGER,
        ),
    )


def _columns(names: Sequence[str]) -> tuple[Column, ...]:
    return tuple(
        Column(
            title=name,
            unit=_UNITS.get(name, "locale"),
            decimals=_DOLLAR_DECIMALS if name == "cost_usd" else None,
        )
        for name in names
    )


def by_team_and_model(title: str, names: Sequence[str], rank: str, statement: str, report: str) -> Table:
    """Show a report's table."""
    return Table(
        title=title,
        keys=("team", "model"),
        columns=_columns(names),
        rank=rank,
        height=10,
        statement=statement,
        says=Says(
            shows=f"`joulegate report {report} --by team,model`, its columns under their names in CSV. unknown is NULL,"
            " not 0; “–” has no name.",
            reckoned=f"{_SUMMED} as the report's.",
            empty=NO_LEDGER,
        ),
    )


def detail(title: str, name: str, shows: str) -> Table:
    """Show sums by a dimension that metrics have no label for."""
    return Table(
        title=title,
        keys=(name,),
        columns=_columns(ESTIMATES),
        rank="calls",
        statement=ledger.split((name,), ESTIMATES, ledger.WIDE),
        says=Says(
            shows=f"{shows} unknown is NULL, not 0; “–” has no name.",
            reckoned=f"the sum of details_by_day, as `joulegate report energy --by {name}` and its kin.",
            empty=NO_LEDGER,
        ),
    )


def by_day(title: str, figure_: str, label: str, shows: str) -> Curve:
    """Show bars of days."""
    return Curve(
        title=title,
        unit={"cost_usd": "currencyUSD"}.get(figure_, _UNITS.get(figure_, "short")),
        stacked=True,
        bars=True,
        step="1d",
        queries=(Sql(statement=ledger.daily(label, figure_, ledger.chosen())),),
        says=Says(
            shows=f"{shows} By days of UTC.",
            reckoned=f"the sum of {figure_} in calls_by_day, as `joulegate report --by day,{label}`.",
            empty=NO_LEDGER,
        ),
    )


FORECAST = Figure(
    title="Dollars at this pace",
    unit="prefix:$",
    decimals=2,
    queries=(Sql(statement=ledger.forecast("cost_usd")),),
    says=Says(
        shows="What the time range comes to if it goes on as it did so far; of one that is over, what it came to.",
        reckoned="the dollars, by the part of the time range that has passed (an hour at least). A straight line.",
        empty="no call that has a price, or " + NO_LEDGER,
    ),
)
LEFT_OUT = Figure(
    title="Calls not in the sums yet",
    unit="locale",
    steps={1: "orange"},
    queries=(Sql(statement="SELECT count(*) AS calls FROM call_rows WHERE NOT rolled_up"),),
    says=Says(
        shows="Calls of any time that a release without sums wrote. All panels here lack them, until they are taken in"
        " (every ten minutes); reports add them by themselves.",
        reckoned="rows of call_rows that are not rolled_up.",
        empty=NO_LEDGER,
    ),
)
BANDED_ENERGY = ("joules_low", "joules", "joules_high")
BANDED_CARBON = ("grams_co2e_low", "grams_co2e", "grams_co2e_high")


def values(name: str) -> dashboard.QueryVariable:
    """Let the reader choose among what the ledger has."""
    return chosen(name).datasource(LEDGER).query(ledger.values_of(name))


def month() -> model.Dashboard:
    """Lay out the dashboard."""
    board = begun(
        UID,
        "Exact: read from the ledger in PostgreSQL, not from Prometheus. Choose a month, or any days, as time range.",
        start="now/M",
        end="now/M",
        timezone="utc",
    ).refresh("5m")
    with_ledger(board)
    for name in ("team", "provider", "model"):
        board.with_variable(values(name))
    by = ("team", "model")
    rows = (
        Row(
            title="Counts and dollars",
            panels=(
                (figure("Dollars", "cost_usd", "At list prices or your own, exact sums of priced calls.", "cost"), 6),
                (FORECAST, 4),
                (figure("Calls", "calls", "Calls, one per upstream attempt or refusal.", "cost"), 4),
                (figure("Calls without a price", "unpriced_calls", "With tokens, so missing in dollars.", "cost"), 5),
                (
                    figure(
                        "Calls without an estimate", "energy_unknown_calls", "With tokens, missing in joules.", "energy"
                    ),
                    5,
                ),
                (figure("Input tokens", "input_tokens", "Cached ones included.", "cost"), 6),
                (figure("Cached input tokens", "cached_input_tokens", "Part of input.", "cost"), 4),
                (figure("Output tokens", "output_tokens", "Reasoning included.", "cost"), 4),
                (figure("Reasoning tokens", "reasoning_tokens", "Part of output.", "cost"), 5),
                (LEFT_OUT, 5),
            ),
        ),
        Row(
            title="Estimates",
            panels=(
                (banded("Energy", "joules", "Joules at the facility's meter.", "energy"), 12),
                (banded("Carbon", "grams_co2e", "Operational grams CO2e, location-based.", "carbon"), 12),
                (
                    figure("Market-based carbon", "market_grams_co2e", "Where a supplier's figure is known.", "carbon"),
                    8,
                ),
                (figure("Embodied carbon", "embodied_grams_co2e", "The share of making the hardware.", "carbon"), 8),
                (figure("Water", "liters", "On site and for the electricity.", "water"), 8),
            ),
        ),
        Row(
            title="By day",
            panels=(
                (by_day("Dollars per day by team", "cost_usd", "team", "At list prices or your own."), 8),
                (by_day("Energy per day by model", "joules", "model", "Centre of the estimate."), 8),
                (by_day("Carbon per day by team", "grams_co2e", "team", "Operational, centre of the estimate."), 8),
            ),
        ),
        Row(
            title="By team and model",
            panels=(
                (by_team_and_model("Cost report", COST, "cost_usd", ledger.split(by, COST), "cost"), 24),
                (
                    by_team_and_model("Energy report", BANDED_ENERGY, "joules", ledger.band("joules", by), "energy"),
                    12,
                ),
                (
                    by_team_and_model(
                        "Carbon report", BANDED_CARBON, "grams_co2e", ledger.band("grams_co2e", by), "carbon"
                    ),
                    12,
                ),
            ),
        ),
        Row(
            title="What it rests on",
            panels=(
                (detail("By tier of evidence", "tier", "From measured down to unknown."), 12),
                (detail("By zone", "zone", "Whose electricity it was."), 12),
                (detail("By source of token counts", "usage_source", "Reported, counted, inferred, absent."), 12),
                (detail("By outcome", "outcome", "How calls ended."), 12),
            ),
        ),
    )
    return finished(board, rows)
