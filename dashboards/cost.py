"""*Cost*: the month so far against budgets, where it is going, and who and what it is spent on.

A month of raw samples is more than Prometheus reads at once where there are many series, so all but the budgets is made
of sums over five minutes, which the shipped rules record.
"""

from __future__ import annotations

from dashboards.boards import COST as UID
from dashboards.boards import TEAM, Row, begun, finished, label_values, with_prometheus
from dashboards.budgets import used
from dashboards.panels import Column, Curve, Figure, Says, Table
from dashboards.queries import SELECTED, Query
from dashboards.sdk import model

_RECORDED = (
    "the sums over five minutes that the shipped rules record, so up to five minutes late. What was not scraped is"
    " missing; the month dashboard and `joulegate report cost` are exact."
)
# Grafana's own rule for panels with a time range of their own.
_OWN_RANGE = " If the dashboard's time range has fixed ends, it is of that range instead."
_NO_SUMS = "no such call since then, or Prometheus does not have the rules (dashboards/prometheus/joulegate.rules.yml)."
_MONTH = "now/M"
# Whole days stand where they begin, so the sum looks a day ahead.
_DAY = "[1d] offset -1d"
# Seconds in the month and seconds of it that have passed; an hour at least, or the first calls would mean millions.
_MONTH_TO_SO_FAR = (
    "scalar(days_in_month() * 86400 / clamp_min((day_of_month() - 1) * 86400 + hour() * 3600 + minute() * 60, 3600))"
)
_AT_PRICES = "US dollars at list prices or your own"
DOLLARS = "team_provider_model:joulegate_cost_usd:increase5m"
CALLS = "team_provider_model:joulegate_calls:increase5m"
TOKENS = "team_provider_model_kind:joulegate_tokens:increase5m"
UNPRICED = "model:joulegate_unpriced_calls:increase5m"
CACHED, INPUT = ',kind="cached_input"', ',kind="input"'


def summed(record: str, more: str = "", *, by: str = "", window: str = "[$__range]", where: str = SELECTED) -> str:
    """Sum what a rule has recorded."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(sum_over_time({record}{{{where}{more}}}{window}))"


def cached_share(by: str = "", window: str = "[$__range]") -> str:
    """Give the share of input tokens that were cached."""
    cached, read = (summed(TOKENS, kind, by=by, window=window) for kind in (CACHED, INPUT))
    return f"{cached} / ({read} > 0)"


def figure(title: str, unit: str, expr: str, shows: str, *, since: str = _MONTH, empty: str = _NO_SUMS) -> Figure:
    """Show a number of the month so far."""
    return Figure(
        title=title,
        unit=unit,
        since=since,
        queries=(Query(expr=expr),),
        says=Says(shows=f"{shows} In UTC.", reckoned=_RECORDED + _OWN_RANGE, empty=empty),
    )


FIGURES = (
    figure("This month so far", "currencyUSD", summed(DOLLARS), f"{_AT_PRICES} since the month began."),
    figure(
        "This month at this pace",
        "currencyUSD",
        f"{summed(DOLLARS)} * {_MONTH_TO_SO_FAR}",
        "What the month comes to if it goes on as it did so far: dollars so far, by the part of the month that has"
        " passed. A straight line, no more.",
    ),
    figure("Today", "currencyUSD", summed(DOLLARS), f"{_AT_PRICES} since midnight.", since="now/d"),
    figure("Calls", "short", summed(CALLS), "Calls since the month began."),
    figure(
        "Cached share of input",
        "percentunit",
        cached_share(),
        "Input tokens since the month began that the provider had cached, and mostly bills for less.",
        empty="no cached token since then, or Prometheus does not have the rules.",
    ),
    figure(
        "Calls without a price",
        "short",
        summed(UNPRICED, where='model=~"$model"'),
        "Calls since the month began that all dollars here lack; of all teams and providers.",
        empty="none since the consoles began, or Prometheus does not have the rules.",
    ),
)


def by_day(title: str, unit: str, expr: str, legend: str, shows: str, *, stacked: bool = True, empty: str) -> Curve:
    """Show bars of whole days; today's is what there is of it."""
    return Curve(
        title=title,
        unit=unit,
        stacked=stacked,
        bars=stacked,
        step="1d",
        queries=(Query(expr=expr, legend=legend),),
        says=Says(shows=f"{shows} By days of UTC.", reckoned=_RECORDED, empty=empty),
    )


def dollars_by(label: str) -> Curve:
    """Show dollars of each day by a label."""
    return by_day(
        f"Dollars per day by {label}",
        "currencyUSD",
        summed(DOLLARS, by=label, window=_DAY),
        f"{{{{{label}}}}}",
        f"{_AT_PRICES}, of calls that have a price.",
        empty=_NO_SUMS,
    )


BY_TEAM_AND_MODEL = Table(
    title="This month so far by team and model",
    keys=("team", "model"),
    columns=(
        Column(title="Dollars", unit="currencyUSD", expr=summed(DOLLARS, by="team, model")),
        Column(title="Calls", unit="short", decimals=0, expr=summed(CALLS, by="team, model")),
        Column(
            title="Tokens", unit="short", decimals=1, expr=summed(TOKENS, ',kind=~"input|output"', by="team, model")
        ),
        Column(title="Cached share", unit="percentunit", expr=cached_share("team, model")),
    ),
    rank="Dollars",
    link=f"/d/{TEAM}?var-team=${{__value.raw}}",
    since=_MONTH,
    height=10,
    says=Says(
        shows="Since the month began (UTC), the most expensive first. An empty cell is unknown, not 0: no price, no"
        " token counts, nothing cached.",
        reckoned=_RECORDED + _OWN_RANGE,
        empty=_NO_SUMS,
    ),
)
CACHED_BY_MODEL = by_day(
    "Cached share of input by model",
    "percentunit",
    cached_share("model", _DAY),
    "{{model}}",
    "Share of input tokens that the provider had cached.",
    stacked=False,
    empty="no cached token, or Prometheus does not have the rules.",
)
UNPRICED_BY_MODEL = by_day(
    "Calls without a price by model",
    "short",
    summed(UNPRICED, by="model", window=_DAY, where='model=~"$model"'),
    "{{model}}",
    "Calls that all dollars here lack; of all teams and providers.",
    empty="every call had a price, or Prometheus does not have the rules.",
)


def cost() -> model.Dashboard:
    """Lay out the dashboard."""
    board = with_prometheus(
        begun(
            UID,
            "List prices of the calls that have one; your contract, credits and taxes are not in it. Months and days"
            " are of UTC, as in the reports.",
            start="now-30d/d",
            timezone="utc",
        ).refresh("5m")
    )
    board.with_variable(label_values("team")).with_variable(label_values("provider"))
    board.with_variable(label_values("model", 'provider=~"$provider"'))
    rows = (
        Row(title="This month", panels=tuple((each, 4) for each in FIGURES)),
        Row(
            title="Budgets, and who spends",
            panels=((used('team=~"$team"'), 8), (dollars_by("team"), 16)),
        ),
        Row(title="By team and model", panels=((BY_TEAM_AND_MODEL, 24),)),
        Row(title="On what", panels=((dollars_by("model"), 12), (dollars_by("provider"), 12))),
        Row(title="What is saved, what is missing", panels=((CACHED_BY_MODEL, 12), (UNPRICED_BY_MODEL, 12))),
    )
    return finished(board, rows)
