"""What all dashboards have alike: variables, links to the others, rows, and the numbers of their panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.panels import Panel
from dashboards.queries import PROMETHEUS
from dashboards.sdk import dashboard, model

OVERVIEW, ENERGY, COST, TEAM, MONTH, HEALTH = (
    f"joulegate-{each}" for each in ("overview", "energy", "cost", "team", "month", "health")
)
TITLES = {
    OVERVIEW: "Overview",
    ENERGY: "Energy and carbon",
    COST: "Cost",
    TEAM: "Team",
    MONTH: "Month by SQL",
    HEALTH: "Metering health",
}
ALL = model.VariableOption(text="All", value="$__all", selected=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels below a heading, each with how many of the 24 columns it is wide; a line is full at 24."""

    title: str
    panels: Sequence[tuple[Panel, int]]


def begun(uid: str, says: str, *, start: str, end: str = "now", timezone: str = "browser") -> dashboard.Dashboard:
    """Begin a dashboard: its name, its time range, and links to the others."""
    board = (
        dashboard.Dashboard(f"Joulegate: {TITLES[uid]}")
        .uid(uid)
        .tags(["joulegate"])
        .description(says)
        .timezone(timezone)
        .readonly()
        .time(start, end)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
    )
    for other in TITLES:
        if other != uid:
            board.link(_link(uid, other))
    return board


def with_prometheus(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Let the reader choose among Prometheus data sources."""
    return board.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))


def with_ledger(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Let the reader choose among PostgreSQL data sources."""
    kind = "grafana-postgresql-datasource"
    return board.with_variable(dashboard.DatasourceVariable("ledger").label("Ledger (PostgreSQL)").type(kind))


def label_values(label: str, within: str = "") -> dashboard.QueryVariable:
    """Let the reader choose values of a label of calls; all of them at first."""
    selector = f"{{{within}}}" if within else ""
    return (
        chosen(label)
        .datasource(PROMETHEUS)
        .query(f"label_values(joulegate_calls_total{selector}, {label})")
        .all_value(".*")
    )


def chosen(name: str) -> dashboard.QueryVariable:
    """Begin a variable of which any values can be chosen."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(ALL)
    )


def finished(board: dashboard.Dashboard, rows: Sequence[Row]) -> model.Dashboard:
    """Lay the rows on the dashboard and number all panels."""
    for row in rows:
        board.with_row(dashboard.Row(row.title))
        for panel, span in row.panels:
            board.with_panel(panel.drawn(span))
    made = board.build()
    for number, each in enumerate(made.panels or [], 1):
        each.id_val = number
    return made


def _link(here: str, there: str) -> dashboard.DashboardLink:
    """Lead to another dashboard, as far as it can show the same.

    The ledger's values are not the labels of metrics (`other`), months are not hours, and the dashboard of one team
    cannot show all.
    """
    alike = MONTH not in (here, there)
    return (
        dashboard.DashboardLink(TITLES[there])
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .url(f"/d/{there}")
        .keep_time(keep_time=alike and COST not in (here, there))
        .include_vars(include_vars=alike and there not in (TEAM, HEALTH))
    )
