"""The kinds of panels, and how each is drawn; what is on them stands in the dashboards' own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from dashboards.queries import LEDGER, PROMETHEUS, Form, Query, Sql
from dashboards.sdk import bargauge, common, dashboard, model, shapes, stat, table, timeseries

_REFS = "ABCDEFGHIJKLMNOP"
_LEGEND = (
    common.VizLegendOptions()
    .show_legend(True)
    .display_mode(shapes.LegendDisplayMode.LIST)
    .placement(shapes.LegendPlacement.BOTTOM)
)
_LAST = common.ReduceDataOptions().calcs(["lastNotNull"])
AnyPanel = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel
P = TypeVar("P", stat.Panel, timeseries.Panel, bargauge.Panel, table.Panel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """What a panel shows, how that is reckoned, and what it means when the panel is empty."""

    shows: str
    reckoned: str
    empty: str

    def text(self) -> str:
        """Give the panel's description."""
        return f"{self.shows}\n\nHow: {self.reckoned}\n\nEmpty: {self.empty}"


class Panel(Protocol):
    """Anything that can be laid on a dashboard."""

    def drawn(self, span: int) -> AnyPanel:
        """Draw it so many of the 24 columns wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number for each series of its queries, side by side.

    ``steps`` are the values from which on it has a colour. ``since`` is another start of the time range than the
    dashboard's, ``now/M`` say. ``none`` is written where there is no number.
    """

    title: str
    unit: str
    queries: Sequence[Query | Sql]
    says: Says
    decimals: int | None = None
    steps: Mapping[float, str] = field(default_factory=dict)
    since: str = ""
    none: str = "unknown"
    height: int = 4

    def drawn(self, span: int) -> AnyPanel:
        """Draw the numbers."""
        panel = _begun(stat.Panel(), self.title, self.unit, self.says, self.queries, "number")
        panel.height(self.height).span(span).no_value(self.none).reduce_options(_LAST)
        panel.graph_mode(shapes.BigValueGraphMode.NONE)
        panel.color_mode(shapes.BigValueColorMode.VALUE if self.steps else shapes.BigValueColorMode.NONE)
        panel.thresholds(_thresholds(self.steps))
        if self.decimals is not None:
            panel.decimals(self.decimals)
        return _since(panel, self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Time series: lines, areas on each other, or bars on each other.

    ``color`` is that of the one quantity shown. ``step`` is the time between two points at least, a bar's width.
    """

    title: str
    unit: str
    queries: Sequence[Query | Sql]
    says: Says
    stacked: bool = False
    bars: bool = False
    color: str = ""
    most: float | None = None
    since: str = ""
    step: str = ""

    def drawn(self, span: int) -> AnyPanel:
        """Draw the series."""
        panel = _begun(timeseries.Panel(), self.title, self.unit, self.says, self.queries, "series")
        panel.height(8).span(span).min(0).line_width(1).legend(_LEGEND)
        panel.fill_opacity(80 if self.bars else 20 if self.stacked else 0)
        panel.show_points(shapes.VisibilityMode.NEVER)
        panel.tooltip(
            common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
        )
        # A team or a model has one colour on all panels.
        mode, fixed = model.FieldColorModeId.FIXED, dashboard.FieldColor()
        named = fixed.mode(mode).fixed_color(self.color) if self.color else fixed.mode(_BY_NAME)
        panel.color_scheme(named)
        if self.bars:
            panel.draw_style(shapes.GraphDrawStyle.BARS)
        if self.stacked:
            panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
        if self.most is not None:
            panel.max(self.most)
        if self.step:
            panel.interval(self.step)
        for query in self.queries:
            if isinstance(query, Query) and query.style != "plain":
                _style(panel, query)
        return _since(panel, self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One bar for each series, its length the value; ``most`` is a full bar."""

    title: str
    unit: str
    queries: Sequence[Query | Sql]
    says: Says
    steps: Mapping[float, str] = field(default_factory=dict)
    most: float | None = None
    since: str = ""

    def drawn(self, span: int) -> AnyPanel:
        """Draw the bars."""
        panel = _begun(bargauge.Panel(), self.title, self.unit, self.says, self.queries, "number")
        panel.height(8).span(span).min(0).reduce_options(_LAST)
        panel.orientation(shapes.VizOrientation.HORIZONTAL)
        panel.display_mode(shapes.BarGaugeDisplayMode.BASIC)
        panel.thresholds(_thresholds(self.steps))
        if not self.steps:
            panel.color_scheme(dashboard.FieldColor().mode(_BY_NAME))
        if self.most is not None:
            panel.max(self.most)
        return _since(panel, self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: of PromQL each column has a query of its own, of SQL all have one together."""

    title: str
    unit: str
    expr: str = ""
    decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows by ``keys``, the largest of the column ``rank`` first; ``link`` is where a click on the first key goes."""

    title: str
    keys: Sequence[str]
    columns: Sequence[Column]
    rank: str
    says: Says
    statement: str = ""
    link: str = ""
    since: str = ""
    height: int = 8

    def drawn(self, span: int) -> AnyPanel:
        """Draw the table."""
        queries: Sequence[Query | Sql] = (
            (Sql(statement=self.statement),)
            if self.statement
            else tuple(Query(expr=column.expr) for column in self.columns)
        )
        panel = _begun(table.Panel(), self.title, "none", self.says, queries, "table")
        panel.height(self.height).span(span).no_value("unknown")
        panel.sort_by([common.TableSortByFieldState().display_name(self.rank).desc(True)])
        if not self.statement:
            self._put_together(panel)
        for column in self.columns:
            properties = [model.DynamicConfigValue(id_val="unit", value=column.unit)]
            if column.decimals is not None:
                properties.append(model.DynamicConfigValue(id_val="decimals", value=column.decimals))
            panel.override_by_name(column.title, properties)
        if self.link:
            target = {"title": "Open", "url": self.link}
            panel.override_by_name(self.keys[0], [model.DynamicConfigValue(id_val="links", value=[target])])
        return _since(panel, self.since)

    def _put_together(self, panel: table.Panel) -> None:
        """Make one row of what the queries say of the same labels."""
        several = len(self.columns) > 1
        names = {
            (f"Value #{ref}" if several else "Value"): c.title for ref, c in zip(_REFS, self.columns, strict=False)
        }
        order = {name: place for place, name in enumerate((*self.keys, *names))}
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        panel.with_transformation(
            model.DataTransformerConfig(
                id_val="organize",
                options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
            )
        )


_BY_NAME = model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME


def _begun(panel: P, title: str, unit: str, says: Says, queries: Sequence[Query | Sql], form: Form) -> P:
    """Give a panel what every one has."""
    source = LEDGER if isinstance(queries[0], Sql) else PROMETHEUS
    panel.title(title).description(says.text()).datasource(source).unit(unit)
    for ref, query in zip(_REFS, queries, strict=False):
        panel.with_target(query.target(ref, form))
    return panel


def _since(panel: P, since: str) -> P:
    return panel.time_from(since) if since else panel


def _thresholds(steps: Mapping[float, str]) -> dashboard.ThresholdsConfig:
    """Colour values from each step on; below the first one they are as any text is."""
    first = model.Threshold(value=None, color="text")
    return dashboard.ThresholdsConfig().steps(
        [first, *(model.Threshold(value=value, color=color) for value, color in sorted(steps.items()))]
    )


def _style(panel: timeseries.Panel, query: Query) -> None:
    def set_for(name: str, **values: object) -> None:
        panel.override_by_name(
            name, [model.DynamicConfigValue(id_val=key.replace("_", "."), value=value) for key, value in values.items()]
        )

    if query.style == "before":
        set_for(
            query.legend,
            custom_lineStyle={"fill": "dash", "dash": [4, 4]},
            color={"mode": "fixed", "fixedColor": "text"},
        )
    else:
        set_for(query.legend, custom_fillBelowTo="low", custom_fillOpacity=15, custom_lineWidth=0)
        set_for("low", custom_lineWidth=0)
