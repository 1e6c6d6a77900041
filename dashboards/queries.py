"""The two kinds of queries: PromQL of what Prometheus has scraped, and SQL of what the ledger has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashboards.sdk import Builder, Dataquery, model, prometheus, promql

# Readers choose among the data sources of each kind; with one of a kind, there is nothing to choose.
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
LEDGER = model.DataSourceRef(type_val="grafana-postgresql-datasource", uid="${ledger}")

SELECTED = 'team=~"$team",provider=~"$provider",model=~"$model"'
ONE_TEAM = 'team="$team",provider=~"$provider",model=~"$model"'
SERVED = 'provider=~"$provider",model=~"$model"'  # metrics without a team label
WEEK_BEFORE = " offset 1w"

Form = Literal["number", "series", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression and how its series are named.

    ``band`` fills down to the series named low; ``before`` is the same of an earlier time.
    """

    expr: str
    legend: str = ""
    style: Literal["plain", "band", "before"] = "plain"

    def target(self, ref_id: str, form: Form) -> Builder[Dataquery]:
        """Give the query as Grafana has it; numbers and tables are of the end of the time range."""
        query = prometheus.Dataquery().expr(self.expr).ref_id(ref_id)
        if self.legend:
            query.legend_format(self.legend)
        if form == "table":
            query.format(promql.PromQueryFormat.TABLE)
        return query.range() if form == "series" else query.instant()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """One statement to the ledger in PostgreSQL; of a series: columns ``time``, ``metric`` and the value."""

    statement: str

    def target(self, ref_id: str, form: Form) -> Builder[Dataquery]:
        """Give the query as Grafana has it."""
        return _SqlTarget(self.statement, ref_id, "time_series" if form == "series" else "table")


class _SqlTarget(Dataquery, Builder[Dataquery]):
    """What the SDK has no class for."""

    def __init__(self, statement: str, ref_id: str, form: str) -> None:
        self._statement, self._ref_id, self._form = statement, ref_id, form

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self._ref_id,
            "datasource": LEDGER,
            "editorMode": "code",
            "format": self._form,
            "rawQuery": True,
            "rawSql": self._statement,
        }


def total(metric: str, more: str = "", *, where: str = SELECTED, by: str = "", shift: str = "") -> str:
    """Give the sum over the time range shown; survives restarts, which a bare counter does not."""
    return f"sum{_by(by)}(increase({metric}{{{where}{more}}}[$__range]{shift}))"


def rate(metric: str, more: str = "", *, where: str = SELECTED, by: str = "", per: str = "", shift: str = "") -> str:
    """Give the rate, per second or scaled by ``per``, summed by the labels ``by``."""
    return f"sum{_by(by)}(rate({metric}{{{where}{more}}}[$__rate_interval]{shift})){per}"


def both(one: str, other: str, by: str = "") -> str:
    """Sum of one vector only what is of teams, providers and models of which the other has something too.

    So a ratio is of the calls for which both are known, and an unknown figure is not taken for 0.
    """
    return f"sum{_by(by)}({one} and on (team, provider, model) {other} > 0)"


def quantile(q: float, metric: str, where: str = "", by: str = "le") -> str:
    """Give a quantile of a histogram."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
