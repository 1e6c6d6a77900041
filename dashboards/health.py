"""*Metering health*: whether the sums can be trusted, and what the metering costs the traffic."""

from __future__ import annotations

from dashboards.boards import HEALTH as UID
from dashboards.boards import Row, begun, finished, with_prometheus
from dashboards.panels import Column, Curve, Figure, Says, Table
from dashboards.queries import Query, quantile
from dashboards.sdk import model

NO_CONSOLE = "Prometheus scrapes no console, or none is up."
UP = 'up{job="joulegate"}'


def now(
    title: str, expr: str, unit: str, shows: str, reckoned: str, *, steps: dict[float, str], empty: str = NO_CONSOLE
) -> Figure:
    """Show how something stands."""
    return Figure(
        title=title,
        unit=unit,
        queries=(Query(expr=expr),),
        steps=steps,
        says=Says(shows=shows, reckoned=reckoned, empty=empty),
    )


def states(*names: str) -> str:
    """Count what became of records in the time range; the gauge counts since start, so increase survives restarts."""
    return f'sum(increase(joulegate_journal_records{{state=~"{"|".join(names)}"}}[$__range]))'


NOW = (
    now(
        "Consoles down",
        f"count({UP} == 0) or 0 * count({UP})",
        "short",
        "Consoles that cannot be scraped. Their calls wait in the journal, and what follows does not tell of them.",
        f"{UP}, as Prometheus itself says it; the job's name is that of the shipped configuration.",
        steps={1: "red"},
        empty="Prometheus has no job called joulegate.",
    ),
    now(
        "Ledger behind",
        "max(joulegate_ledger_lag_seconds)",
        "s",
        "Age of the oldest call that ended and is not in the ledger; alarming from one minute on.",
        "the largest joulegate_ledger_lag_seconds of all consoles.",
        steps={60: "orange", 600: "red"},
    ),
    now(
        "Waiting in memory",
        'sum(joulegate_journal_records{state="waiting"})',
        "short",
        "Calls that only a gate's memory has, because its journal cannot be written; a killed gate loses them.",
        "joulegate_journal_records, state waiting.",
        steps={1: "red"},
    ),
    now(
        "Lost or damaged",
        states("lost", "poison"),
        "short",
        "Calls in the time range shown that are missing from the ledger, or there without tokens.",
        "the increase of joulegate_journal_records, states lost and poison.",
        steps={1: "red"},
    ),
    now(
        "Ledger replaced",
        "sum(joulegate_ledger_replaced)",
        "short",
        "Times since the consoles began that the ledger was found deleted or replaced while it was in use.",
        "joulegate_ledger_replaced.",
        steps={1: "red"},
    ),
    now(
        "Room for the journal",
        "min(joulegate_journal_free_bytes)",
        "bytes",
        "What the fullest disk of a journal can still take; alarming below 1 GiB.",
        "the smallest joulegate_journal_free_bytes.",
        steps={0: "red", 2**30: "text"},
        empty="no console can ask its disk, or Prometheus scrapes none.",
    ),
    now(
        "Streams open",
        "sum(joulegate_streams_open)",
        "short",
        "Streamed calls opened and not yet closed.",
        "joulegate_streams_open of all consoles.",
        steps={},
    ),
    now(
        "Token counts reported",
        'sum(increase(joulegate_usage_source_total{source="reported"}[$__range]))'
        " / (sum(increase(joulegate_usage_source_total[$__range])) > 0)",
        "percentunit",
        "Share of calls in the time range shown whose token counts are the provider's own.",
        "the increase of joulegate_usage_source_total.",
        steps={},
        empty="no call reached a provider, or none had its counts reported.",
    ),
)

_OF_ALERTS = ("alertname", "severity", "alertstate", "instance", "model", "provider", "team")
FIRING = Table(
    title="Alerts",
    keys=_OF_ALERTS,
    columns=(
        Column(
            title="alerts",
            unit="short",
            expr=f'count by ({", ".join(_OF_ALERTS)}) (ALERTS{{alertname=~"Joulegate.+"}})',
        ),
    ),
    rank="alerts",
    height=6,
    says=Says(
        shows="Alerts that fire, or are about to (pending). What to do about each stands in its annotation `action`,"
        " and on the page about operating a gate.",
        reckoned="ALERTS, which Prometheus makes of the shipped rules.",
        empty="all is well, or Prometheus does not have the rules (dashboards/prometheus/joulegate.rules.yml).",
    ),
)

LEDGER_LAG = Curve(
    title="Ledger behind by console",
    unit="s",
    queries=(Query(expr="max by (instance) (joulegate_ledger_lag_seconds)", legend="{{instance}}"),),
    says=Says(
        shows="Age of the oldest call that ended and is not in the ledger, by console.",
        reckoned="joulegate_ledger_lag_seconds.",
        empty=NO_CONSOLE,
    ),
)
MIRROR_LAG = Curve(
    title="Mirror behind",
    unit="s",
    queries=(Query(expr="max by (instance) (joulegate_mirror_lag_seconds)", legend="{{instance}}"),),
    says=Says(
        shows="Time since the mirror last had all that the ledger had.",
        reckoned="joulegate_mirror_lag_seconds.",
        empty="no mirror is configured, which is usual.",
    ),
)
RECORDS = Curve(
    title="Records per minute by what became of them",
    unit="short",
    queries=(
        Query(
            expr='sum by (state) (rate(joulegate_journal_records{state!="waiting"}[$__rate_interval])) * 60',
            legend="{{state}}",
        ),
    ),
    says=Says(
        shows="Opened, closed and recorded go together; lost and poison are missing from the ledger, torn became"
        " interrupted calls, unestimated have no estimate because the estimator failed.",
        reckoned="the rate of joulegate_journal_records, which counts since the console's start.",
        empty=NO_CONSOLE,
    ),
)
JOURNAL = Curve(
    title="Journal on the disk",
    unit="bytes",
    queries=(
        Query(expr="sum(joulegate_journal_bytes)", legend="journal"),
        Query(expr="min(joulegate_journal_free_bytes)", legend="room left"),
    ),
    says=Says(
        shows="It grows while the ledger is away; when its disk is full, records wait in memory, and then are lost.",
        reckoned="the sum of joulegate_journal_bytes, the smallest joulegate_journal_free_bytes.",
        empty=NO_CONSOLE,
    ),
)
SOURCES = Curve(
    title="Where token counts come from",
    unit="percentunit",
    stacked=True,
    most=1,
    queries=(
        Query(
            expr="sum by (source) (rate(joulegate_usage_source_total[$__rate_interval]))"
            " / ignoring (source) group_left () (sum(rate(joulegate_usage_source_total[$__rate_interval])) > 0)",
            legend="{{source}}",
        ),
    ),
    says=Says(
        shows="Shares of calls: counts reported by the provider, counted by us, inferred, or absent.",
        reckoned="the rate of joulegate_usage_source_total by source, divided by that of all.",
        empty="no call reached a provider.",
    ),
)
ABSENT = Curve(
    title="Calls without token counts, by provider",
    unit="percentunit",
    queries=(
        Query(
            expr='sum by (provider) (rate(joulegate_usage_source_total{source="absent"}[$__rate_interval]))'
            " / (sum by (provider) (rate(joulegate_usage_source_total[$__rate_interval])) > 0)",
            legend="{{provider}}",
        ),
    ),
    says=Says(
        shows="Share of each provider's calls that nobody counted tokens of: errors, and replies without usage.",
        reckoned="the rate of joulegate_usage_source_total with source absent, divided by that of all.",
        empty="every call had its tokens counted, or there was none.",
    ),
)
UNPRICED = Curve(
    title="Calls without a price, per minute",
    unit="short",
    stacked=True,
    queries=(
        Query(expr="sum by (model) (rate(joulegate_unpriced_calls_total[$__rate_interval])) * 60", legend="{{model}}"),
    ),
    says=Says(
        shows="Calls whose tokens are known and whose price is not, by model: the dollars lack them.",
        reckoned="the rate of joulegate_unpriced_calls_total.",
        empty="every call had a price.",
    ),
)
UNKNOWN = Curve(
    title="Calls not estimated, names folded, per minute",
    unit="short",
    queries=(
        Query(
            expr="sum(rate(joulegate_unknown_models_total[$__rate_interval])) * 60", legend="without an energy estimate"
        ),
        Query(expr="sum(rate(joulegate_dropped_series_total[$__rate_interval])) * 60", legend="folded into other"),
    ),
    says=Says(
        shows="Calls that energy and carbon lack; and label values outside of the closed sets, which the metrics show"
        " as `other`, or as the facts name the model. The ledger has them all.",
        reckoned="the rates of joulegate_unknown_models_total and joulegate_dropped_series_total.",
        empty=NO_CONSOLE,
    ),
)
OVERHEAD = Curve(
    title="Time added by the gate",
    unit="s",
    queries=(
        Query(expr=quantile(0.5, "joulegate_overhead_seconds"), legend="half"),
        Query(expr=quantile(0.99, "joulegate_overhead_seconds"), legend="99 %"),
    ),
    says=Says(
        shows="The gate's own share of each call: half of the calls, and 99 % of them, waited less.",
        reckoned="quantiles of the histogram joulegate_overhead_seconds.",
        empty="there was no call.",
    ),
)
STREAMS = Curve(
    title="Streams open by console",
    unit="short",
    stacked=True,
    queries=(Query(expr="sum by (instance) (joulegate_streams_open)", legend="{{instance}}"),),
    says=Says(
        shows="Streamed calls opened and not yet closed.",
        reckoned="joulegate_streams_open.",
        empty=NO_CONSOLE,
    ),
)


def health() -> model.Dashboard:
    """Lay out the dashboard."""
    board = with_prometheus(
        begun(
            UID,
            "Whether the sums can be trusted. Nothing here says that calls fail: metering never stops traffic.",
            start="now-6h",
        ).refresh("30s")
    )
    rows = (
        Row(title="Now", panels=(*((each, 3) for each in NOW), (FIRING, 24))),
        Row(
            title="Is every call in the ledger?",
            panels=((LEDGER_LAG, 8), (RECORDS, 8), (JOURNAL, 8)),
        ),
        Row(
            title="Is every call known?",
            panels=((SOURCES, 12), (ABSENT, 12), (UNPRICED, 12), (UNKNOWN, 12)),
        ),
        Row(title="What it costs, and the mirror", panels=((OVERHEAD, 8), (STREAMS, 8), (MIRROR_LAG, 8))),
    )
    return finished(board, rows)
