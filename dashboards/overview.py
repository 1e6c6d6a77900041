"""*Overview*: how much of everything, now and a week before, by team and by model, and how calls ended."""

from __future__ import annotations

from dashboards.boards import OVERVIEW, TEAM, Row, begun, finished, label_values, with_prometheus
from dashboards.panels import Column, Curve, Figure, Says, Table
from dashboards.quantities import (
    ALL,
    CALLS,
    CARBON,
    COMPARED,
    DOLLARS,
    ENERGY,
    NO_CALLS,
    TOKENS,
    Quantity,
    against_the_week_before,
    outcomes,
)
from dashboards.queries import SERVED, Query, quantile, total
from dashboards.sdk import model

MISSING = Figure(
    title="Missing from the sums",
    unit="short",
    decimals=0,
    height=3,
    queries=(
        Query(
            expr='sum(increase(joulegate_unpriced_calls_total{model=~"$model"}[$__range]))',
            legend="calls without a price",
        ),
        Query(expr="sum(increase(joulegate_unknown_models_total[$__range]))", legend="without an energy estimate"),
        Query(
            expr='sum(increase(joulegate_usage_source_total{provider=~"$provider",source="absent"}[$__range]))',
            legend="without token counts",
        ),
    ),
    none="none",
    says=Says(
        shows="Calls that the figures above leave out: where one is not 0, a sum is a lower bound.",
        reckoned="the increase in the time range; of all teams, and the second of all models too: these metrics have no"
        " such label.",
        empty="there was no such call since the console began.",
    ),
)


def by(label: str, link: str = "") -> Table:
    """Show how much of everything each team or model had."""

    def column(each: Quantity) -> Column:
        return Column(
            title=each.title, unit=each.unit, decimals=each.decimals, expr=total(each.metric, each.more, by=label)
        )

    return Table(
        title=f"Sums by {label}",
        keys=(label,),
        columns=tuple(column(each) for each in COMPARED),
        rank=DOLLARS.title,
        link=link,
        says=Says(
            shows=f"What each {label} had in the time range shown, the most expensive first. An empty cell is unknown,"
            " not 0.",
            reckoned="the increase of each metric; dollars of priced calls, energy, carbon and water of those with an"
            " estimate.",
            empty=NO_CALLS,
        ),
    )


LATENCY = Curve(
    title="Latency",
    unit="s",
    queries=(
        Query(expr=quantile(0.5, "joulegate_latency_seconds", SERVED), legend="half"),
        Query(expr=quantile(0.95, "joulegate_latency_seconds", SERVED), legend="95 %"),
    ),
    says=Says(
        shows="From the request to the last byte of the reply: half of the calls, and 95 % of them, were faster.",
        reckoned="quantiles of the histogram of calls that ended ok, of all teams.",
        empty="no call ended ok.",
    ),
)
FIRST_TOKEN = Curve(
    title="Time to first token by model",
    unit="s",
    queries=(
        Query(
            expr=quantile(0.5, "joulegate_time_to_first_token_seconds", SERVED, "le, model"),
            legend="{{model}}",
        ),
    ),
    says=Says(
        shows="From the request to the first content of a stream: half of the streams were faster.",
        reckoned="the median of the histogram, of all teams.",
        empty="no reply was streamed.",
    ),
)


def overview() -> model.Dashboard:
    """Lay out the dashboard."""
    board = with_prometheus(
        begun(
            OVERVIEW,
            "What the calls came to. Joules, grams and liters are estimates with a band; dollars are those of priced"
            " calls, at list prices or your own.",
            start="now-6h",
        ).refresh("30s")
    )
    board.with_variable(label_values("team")).with_variable(label_values("provider"))
    board.with_variable(label_values("model", 'provider=~"$provider"'))
    rows = (
        Row(
            title="In the time range shown",
            panels=(*((each.figure(), 3) for each in ALL), (against_the_week_before(), 16), (MISSING, 8)),
        ),
        Row(title="Now, and a week before", panels=tuple((each.paced(), 8) for each in COMPARED)),
        Row(
            title="By team",
            panels=(
                (by("team", f"/d/{TEAM}?var-team=${{__value.raw}}&${{__url_time_range}}"), 24),
                *((each.by("team"), 8) for each in (DOLLARS, ENERGY, CARBON)),
            ),
        ),
        Row(
            title="By model",
            panels=((by("model"), 24), *((each.by("model"), 8) for each in (CALLS, TOKENS, DOLLARS))),
        ),
        Row(title="Speed and outcomes", panels=((LATENCY, 8), (FIRST_TOKEN, 8), (outcomes(), 8))),
    )
    return finished(board, rows)
