"""Writes ``grafana/joulegate-overview.json``; run it after changing a panel: ``python dashboards/build.py``.

Panels are rows of the tables below. A panel's queries select with the dashboard's variables, so the
same figures can be read for one team, provider or model. Nothing here adds up token kinds: input
includes cached tokens, output includes reasoning.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

with warnings.catch_warnings():
    # The SDK prefers Grafana's new schema; files that are provisioned are still read in this one, by every Grafana.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common as shapes
    from grafana_foundation_sdk.models import dashboard as model

TARGET = Path(__file__).parent / "grafana" / "joulegate-overview.json"
DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
SELECTED = 'team=~"$team",provider=~"$provider",model=~"$model"'
SERVED = 'provider=~"$provider",model=~"$model"'  # metrics without a team label


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression and how its series are named; ``band`` fills from the series before it."""

    expr: str
    legend: str = ""
    band: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number over the whole time range shown."""

    title: str
    unit: str
    expr: str
    why: str
    decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One time series panel."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    why: str
    stacked: bool = False


def total(metric: str, more: str = "") -> str:
    """Give the sum over the time range shown; survives restarts, which a bare counter does not."""
    return f"sum(increase({metric}{{{SELECTED}{more}}}[$__range]))"


def rate(metric: str, by: str = "", more: str = "", per: str = "") -> str:
    """Give the rate, per second or scaled by ``per``, summed by the label ``by``."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(rate({metric}{{{SELECTED}{more}}}[$__rate_interval])){per}"


def quantile(q: float, metric: str, selection: str = "", by: str = "le") -> str:
    """Give a quantile of a histogram."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{selection}}}[$__rate_interval])))"


OPERATIONAL = ',scope="operational"'
HOURLY = " * 3600"

FIGURES = (
    Figure(
        title="Calls", unit="short", decimals=0, expr=total("joulegate_calls_total"), why="One per upstream attempt."
    ),
    Figure(
        title="Tokens",
        unit="short",
        decimals=1,
        expr=total("joulegate_tokens_total", ',kind=~"input|output"'),
        why="Input and output; cached tokens are part of input, reasoning of output.",
    ),
    Figure(
        title="Dollars",
        unit="currencyUSD",
        expr=total("joulegate_cost_usd_total"),
        why="At list price, priced calls only.",
    ),
    Figure(
        title="Compute",
        unit="si:FLOP",
        expr=total("joulegate_flops_total"),
        why="Floating-point operations, estimated.",
    ),
    Figure(
        title="Energy",
        unit="joule",
        expr=total("joulegate_energy_joules_total"),
        why="Estimate at the facility's meter, centre of the band.",
    ),
    Figure(
        title="Carbon",
        unit="massg",
        expr=total("joulegate_carbon_grams_total", OPERATIONAL),
        why="CO2e of the electricity, location-based, centre of the band.",
    ),
    Figure(
        title="Embodied carbon",
        unit="massg",
        expr=total("joulegate_carbon_grams_total", ',scope="embodied"'),
        why="CO2e of making the hardware, the share of these calls.",
    ),
    Figure(
        title="Water",
        unit="litre",
        expr=total("joulegate_water_liters_total"),
        why="Consumed on site and in generating the electricity.",
    ),
)

BANDS = (
    Curve(
        title="Power, with its band",
        unit="watt",
        why="Joules per second: the centre, and the band between the low and the high end of the estimate.",
        queries=(
            Query(expr=rate("joulegate_energy_joules_low_total"), legend="low"),
            Query(expr=rate("joulegate_energy_joules_high_total"), legend="high", band=True),
            Query(expr=rate("joulegate_energy_joules_total"), legend="centre"),
        ),
    ),
    Curve(
        title="Carbon per hour, with its band",
        unit="massg",
        why="Operational grams CO2e per hour at the present rate: centre and band.",
        queries=(
            Query(expr=rate("joulegate_carbon_grams_low_total", more=OPERATIONAL, per=HOURLY), legend="low"),
            Query(
                expr=rate("joulegate_carbon_grams_high_total", more=OPERATIONAL, per=HOURLY), legend="high", band=True
            ),
            Query(expr=rate("joulegate_carbon_grams_total", more=OPERATIONAL, per=HOURLY), legend="centre"),
        ),
    ),
)


def by_label(label: str) -> tuple[Curve, ...]:
    """Give the same five curves for teams and for models."""
    legend = f"{{{{{label}}}}}"

    def curve(title: str, unit: str, expr: str, why: str) -> Curve:
        return Curve(
            title=f"{title} by {label}", unit=unit, why=why, stacked=True, queries=(Query(expr=expr, legend=legend),)
        )

    return (
        curve(
            "Dollars per hour", "currencyUSD", rate("joulegate_cost_usd_total", label, per=HOURLY), "Priced calls only."
        ),
        curve("Calls per minute", "short", rate("joulegate_calls_total", label, per=" * 60"), "All outcomes."),
        curve(
            "Tokens per minute",
            "short",
            rate("joulegate_tokens_total", label, ',kind=~"input|output"', " * 60"),
            "Input and output.",
        ),
        curve("Power", "watt", rate("joulegate_energy_joules_total", label), "Joules per second, centre."),
        curve(
            "Carbon per hour",
            "massg",
            rate("joulegate_carbon_grams_total", label, OPERATIONAL, HOURLY),
            "Operational grams CO2e, centre.",
        ),
    )


SPEED = (
    Curve(
        title="Latency",
        unit="s",
        why="Request to last byte, calls that ended ok.",
        queries=(
            Query(expr=quantile(0.5, "joulegate_latency_seconds", SERVED), legend="half"),
            Query(expr=quantile(0.95, "joulegate_latency_seconds", SERVED), legend="95 %"),
        ),
    ),
    Curve(
        title="Time to first token by model",
        unit="s",
        why="Median of streams.",
        queries=(
            Query(
                expr=quantile(0.5, "joulegate_time_to_first_token_seconds", SERVED, "le, model"),
                legend="{{model}}",
            ),
        ),
    ),
    Curve(
        title="Calls per minute by outcome",
        unit="short",
        why="ok, error, aborted by the client, interrupted by a crash, rejected by the gate.",
        stacked=True,
        queries=(Query(expr=rate("joulegate_calls_total", "outcome", per=" * 60"), legend="{{outcome}}"),),
    ),
)

HEALTH = (
    Curve(
        title="Ledger lag",
        unit="s",
        why="Age of the oldest call that ended and is not in the ledger yet.",
        queries=(Query(expr="max(joulegate_ledger_lag_seconds)", legend="lag"),),
    ),
    Curve(
        title="Journal records by state",
        unit="short",
        why="Calls since start. waiting: only in a gate's memory, its journal cannot be written; lost and poison are"
        " missing from the ledger; torn became interrupted calls.",
        queries=(
            Query(expr="sum by (state) (joulegate_journal_records)", legend="{{state}}"),
            Query(expr="sum(joulegate_ledger_replaced)", legend="times the ledger was replaced"),
        ),
    ),
    Curve(
        title="Journal on the disk",
        unit="bytes",
        why="It grows while the ledger is away; when its disk is full, records wait in memory, and then are lost.",
        queries=(
            Query(expr="sum(joulegate_journal_bytes)", legend="journal"),
            Query(expr="min(joulegate_journal_free_bytes)", legend="room left"),
        ),
    ),
    Curve(
        title="Where token counts come from",
        unit="percentunit",
        why="reported by the provider, counted by us, inferred, or absent.",
        stacked=True,
        queries=(
            Query(
                expr="sum by (source) (rate(joulegate_usage_source_total[$__rate_interval]))"
                " / ignoring (source) group_left sum(rate(joulegate_usage_source_total[$__rate_interval]))",
                legend="{{source}}",
            ),
        ),
    ),
    Curve(
        title="Calls missing from the sums, per minute",
        unit="short",
        why="Calls without a price, calls without an energy estimate, label values folded into other.",
        queries=(
            Query(
                expr="sum by (model) (rate(joulegate_unpriced_calls_total[$__rate_interval])) * 60",
                legend="unpriced {{model}}",
            ),
            Query(expr="sum(rate(joulegate_unknown_models_total[$__rate_interval])) * 60", legend="energy unknown"),
            Query(expr="sum(rate(joulegate_dropped_series_total[$__rate_interval])) * 60", legend="folded into other"),
        ),
    ),
    Curve(
        title="Time added by the gate",
        unit="s",
        why="The gate's own share of each call.",
        queries=(
            Query(expr=quantile(0.5, "joulegate_overhead_seconds"), legend="half"),
            Query(expr=quantile(0.99, "joulegate_overhead_seconds"), legend="99 %"),
        ),
    ),
    Curve(
        title="Streams open",
        unit="short",
        why="Streamed calls opened and not yet closed.",
        queries=(Query(expr="sum(joulegate_streams_open)", legend="open"),),
    ),
)


def figure_panel(figure: Figure) -> stat.Panel:
    """Draw one number."""
    panel = (
        stat.Panel()
        .title(figure.title)
        .description(figure.why)
        .datasource(DATASOURCE)
        .unit(figure.unit)
        .height(4)
        .span(24 // len(FIGURES))
        .graph_mode(shapes.BigValueGraphMode.NONE)
        .color_mode(shapes.BigValueColorMode.NONE)
        .no_value("unknown")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().expr(figure.expr).instant().ref_id("A"))
    )
    return panel if figure.decimals is None else panel.decimals(figure.decimals)


def curve_panel(curve: Curve, span: int) -> timeseries.Panel:
    """Draw one time series panel; a band is the area between its low and its high series."""
    panel = (
        timeseries.Panel()
        .title(curve.title)
        .description(curve.why)
        .datasource(DATASOURCE)
        .unit(curve.unit)
        .height(8)
        .span(span)
        .min(0)
        .line_width(1)
        .fill_opacity(20 if curve.stacked else 0)
        .show_points(shapes.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(shapes.LegendDisplayMode.LIST)
            .placement(shapes.LegendPlacement.BOTTOM)
        )
    )
    if curve.stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    for ref, query in zip("ABCDEFGH", curve.queries, strict=False):
        panel.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).range().ref_id(ref))
        if query.band:
            panel.override_by_name(
                query.legend,
                [
                    model.DynamicConfigValue(id_val="custom.fillBelowTo", value="low"),
                    model.DynamicConfigValue(id_val="custom.fillOpacity", value=15),
                    model.DynamicConfigValue(id_val="custom.lineWidth", value=0),
                ],
            )
            panel.override_by_name("low", [model.DynamicConfigValue(id_val="custom.lineWidth", value=0)])
    return panel


def variable(label: str) -> dashboard.QueryVariable:
    """Let the reader choose values of a label; all of them at first."""
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(DATASOURCE)
        .query(f"label_values(joulegate_calls_total, {label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(text="All", value="$__all", selected=True))
    )


def overview() -> dashboard.Dashboard:
    """Lay out the dashboard: numbers, bands, by team, by model, speed, health of the metering."""
    board = (
        dashboard.Dashboard("Joulegate: cost, energy and carbon of LLM calls")
        .uid("joulegate-overview")
        .tags(["joulegate"])
        .description("Joules, grams and liters are estimates with a band; dollars are list prices of priced calls.")
        .timezone("browser")
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for label in ("team", "provider", "model"):
        board.with_variable(variable(label))
    board.with_row(dashboard.Row("In the time range shown"))
    for figure in FIGURES:
        board.with_panel(figure_panel(figure))
    for curve in BANDS:
        board.with_panel(curve_panel(curve, 12))
    for label in ("team", "model"):
        board.with_row(dashboard.Row(f"By {label}"))
        for position, curve in enumerate(by_label(label)):
            board.with_panel(curve_panel(curve, 8 if position < 3 else 12))
    board.with_row(dashboard.Row("Speed and outcomes"))
    for curve in SPEED:
        board.with_panel(curve_panel(curve, 8))
    board.with_row(dashboard.Row("Health of the metering"))
    for curve in HEALTH:
        board.with_panel(curve_panel(curve, 8))
    return board


def rendered() -> str:
    """Give the dashboard's JSON as it stands in the repository."""
    return JSONEncoder(sort_keys=True, indent=2).encode(overview().build()) + "\n"


def main() -> int:
    """Write the dashboard."""
    TARGET.write_text(rendered(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
