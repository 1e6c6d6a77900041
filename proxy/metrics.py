"""What Prometheus sees: counters and histograms fed with committed ledger rows, gauges asked of the recorder.

Every metric is declared once, in ``DECLARED``. Label values come from closed sets, because a label
that a client can choose freely would grow the series without end; anything else becomes ``other``.
An unknown figure (None) adds nothing and creates no series: absent is not 0.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from proxy.ledger.tables import CallRow

OTHER = "other"
_SPELLINGS = 16  # names under which one known model is shown: clients and providers choose them
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# The ``kind`` label and the ledger column it counts. Kinds overlap: input includes what was cached or audio.
TOKEN_KINDS = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "audio_input": "audio_input_tokens",
    "image_input": "image_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "audio_output": "audio_output_tokens",
    "image_output": "image_output_tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One metric as users see it; ``buckets`` are upper bounds in the metric's own unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()


_WHO = ("team", "provider", "model")
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60)
_OVERHEAD = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)


def _counter(name: str, labels: tuple[str, ...], says: str) -> Declaration:
    return Declaration(name=name, kind="counter", labels=labels, help=says)


DECLARED = (
    _counter("joulegate_calls_total", (*_WHO, "surface", "outcome"), "Calls, one per upstream attempt or refusal."),
    _counter(
        "joulegate_tokens_total",
        (*_WHO, "kind"),
        "Tokens where counted; input includes cached, written, audio and image, output includes reasoning.",
    ),
    _counter("joulegate_flops_total", _WHO, "Floating-point operations, estimated."),
    _counter(
        "joulegate_energy_joules_total",
        _WHO,
        "Energy at the facility's meter (PUE included), centre of the estimate.",
    ),
    _counter("joulegate_energy_joules_low_total", _WHO, "Energy at the facility's meter, low end of the band."),
    _counter("joulegate_energy_joules_high_total", _WHO, "Energy at the facility's meter, high end of the band."),
    _counter(
        "joulegate_carbon_grams_total",
        (*_WHO, "scope"),
        "Grams CO2e, centre: operational (location-based electricity) or embodied (share of making the hardware).",
    ),
    _counter(
        "joulegate_carbon_grams_low_total",
        (*_WHO, "scope"),
        "Grams CO2e, low end of the band; operational only, the embodied share has no band yet.",
    ),
    _counter(
        "joulegate_carbon_grams_high_total",
        (*_WHO, "scope"),
        "Grams CO2e, high end of the band; operational only, the embodied share has no band yet.",
    ),
    _counter("joulegate_water_liters_total", _WHO, "Water consumed on site and in generating the electricity."),
    _counter(
        "joulegate_cost_usd_total",
        _WHO,
        "US dollars at list price; unpriced calls add nothing, see joulegate_unpriced_calls_total.",
    ),
    Declaration(
        name="joulegate_latency_seconds",
        kind="histogram",
        labels=("provider", "model"),
        help="Time from request to last byte, of calls that ended ok.",
        buckets=_SECONDS,
    ),
    Declaration(
        name="joulegate_time_to_first_token_seconds",
        kind="histogram",
        labels=("provider", "model"),
        help="Time from request to first generated content, of streams.",
        buckets=_FIRST_TOKEN,
    ),
    Declaration(
        name="joulegate_overhead_seconds",
        kind="histogram",
        help="Time the gate itself added to a call.",
        buckets=_OVERHEAD,
    ),
    Declaration(
        name="joulegate_streams_open",
        kind="gauge",
        help="Streamed calls opened and not yet closed.",
    ),
    _counter(
        "joulegate_usage_source_total",
        ("provider", "source"),
        "Where calls' token counts came from: reported, counted, inferred or absent.",
    ),
    _counter(
        "joulegate_unpriced_calls_total",
        ("model",),
        "Calls with counted tokens but no price, so missing from joulegate_cost_usd_total.",
    ),
    _counter(
        "joulegate_unknown_models_total",
        (),
        "Calls with counted tokens whose energy could not be estimated, so missing from energy and carbon.",
    ),
    Declaration(
        name="joulegate_ledger_lag_seconds",
        kind="gauge",
        help="Age of the oldest call that ended and is not in the ledger; 0 when none waits.",
    ),
    Declaration(
        name="joulegate_journal_records",
        kind="gauge",
        labels=("state",),
        help="Calls since start by what became of their records: opened, closed, recorded, waiting, lost, poison, torn,"
        " unestimated.",
    ),
    Declaration(
        name="joulegate_ledger_replaced",
        kind="gauge",
        help="Times since start that the ledger was found deleted or replaced while it was in use.",
    ),
    _counter(
        "joulegate_dropped_series_total",
        (),
        "Label values not in the closed sets or beyond a cap, recorded as other or as the facts name the model.",
    ),
)


class RecorderState(Protocol):
    """What the gauges ask of the recorder at each rendering."""

    @property
    def streams_open(self) -> int:
        """Streamed calls opened and not yet closed."""

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest call that ended and is not in the ledger; 0 when none waits."""

    @property
    def record_counts(self) -> Mapping[str, int]:
        """Calls by what became of their journal records."""

    @property
    def ledgers_replaced(self) -> int:
        """How often the ledger was found deleted or replaced."""


class Metrics:
    """The metrics of one recorder; ``record`` from its thread, ``render`` from any."""

    def __init__(
        self,
        *,
        teams: Collection[str],
        providers: Collection[str],
        model_name: Callable[[CallRow], str | None],
        series_limit: int = 2000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Declare all metrics; at most ``series_limit`` distinct (team, provider, model) get their own series.

        ``model_name`` gives the name that the facts have for a call's model, None where they do not know it.
        A known one is labelled as reports and the console name it: as served, else as asked for.
        """
        # The extra `_created` series would double the scrape for a figure that Prometheus 2 does not read.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._teams = frozenset(teams)
        self._providers = frozenset(providers)
        self._model_name = model_name
        self._series_limit = series_limit
        self._series: set[tuple[str, str, str]] = set()
        self._spellings: dict[str, set[str]] = {}
        self._clock = clock
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in DECLARED:
            match each.kind:
                case "counter":
                    self._counters[each.name] = Counter(each.name, each.help, each.labels, registry=self._registry)
                case "histogram":
                    self._histograms[each.name] = Histogram(
                        each.name, each.help, each.labels, registry=self._registry, buckets=each.buckets
                    )
                case "gauge":
                    pass  # asked of the recorder, see watch()
        # `labels()` costs three times the increment, so children are kept by metric and label values.
        self._counter_children: dict[tuple[str, ...], Counter] = {}
        self._histogram_children: dict[tuple[str, ...], Histogram] = {}
        self._sums: dict[tuple[str, ...], float] = {}  # of the batch that is being recorded
        self._rendered = b""
        self._rendered_at = -math.inf
        self._render_lock = threading.Lock()

    def watch(self, recorder: RecorderState) -> None:
        """Show the recorder's gauges from now on."""
        self._registry.register(_RecorderGauges(recorder))

    def record(self, rows: Sequence[CallRow]) -> None:
        """Add committed ledger rows."""
        for row in rows:
            self._record(row)
        # Calls of one batch share their labels: one increment for each series, not for each call.
        for (name, *labels), amount in self._sums.items():
            self._counter(name, tuple(labels)).inc(amount)
        self._sums.clear()

    def render(self, *, max_age_seconds: float = 1.0) -> bytes:
        """Give the text exposition, at most ``max_age_seconds`` old: making it takes tens of milliseconds."""
        with self._render_lock:
            if self._clock() - self._rendered_at >= max_age_seconds:
                self._rendered = generate_latest(self._registry)
                self._rendered_at = self._clock()
            return self._rendered

    def _record(self, row: CallRow) -> None:
        who = self._labels(row)
        _, provider, model = who
        self._add("joulegate_calls_total", (*who, row.surface, row.outcome), 1)
        for kind, column in TOKEN_KINDS.items():
            self._add("joulegate_tokens_total", (*who, kind), getattr(row, column))
        self._add("joulegate_flops_total", who, row.flops)
        self._add("joulegate_energy_joules_total", who, row.joules)
        self._add("joulegate_energy_joules_low_total", who, row.joules_low)
        self._add("joulegate_energy_joules_high_total", who, row.joules_high)
        self._add("joulegate_carbon_grams_total", (*who, "operational"), row.grams_co2e)
        self._add("joulegate_carbon_grams_low_total", (*who, "operational"), row.grams_co2e_low)
        self._add("joulegate_carbon_grams_high_total", (*who, "operational"), row.grams_co2e_high)
        self._add("joulegate_carbon_grams_total", (*who, "embodied"), row.embodied_grams_co2e)
        self._add("joulegate_water_liters_total", who, row.liters)
        self._add("joulegate_cost_usd_total", who, row.cost_usd)
        if row.outcome == "ok" and row.latency_ms is not None:
            self._observe("joulegate_latency_seconds", (provider, model), row.latency_ms / 1e3)
        if row.stream and row.time_to_first_token_ms is not None:
            self._observe("joulegate_time_to_first_token_seconds", (provider, model), row.time_to_first_token_ms / 1e3)
        if row.overhead_us is not None:
            self._observe("joulegate_overhead_seconds", (), row.overhead_us / 1e6)
        if row.provider is not None:  # a call turned away before a provider was chosen has no usage to find
            self._add("joulegate_usage_source_total", (provider, row.usage_source), 1)
        if row.input_tokens is not None or row.output_tokens is not None:
            if row.cost_usd is None:
                self._add("joulegate_unpriced_calls_total", (model,), 1)
            if row.joules is None:
                self._add("joulegate_unknown_models_total", (), 1)

    def _labels(self, row: CallRow) -> tuple[str, str, str]:
        team = self._closed(self._teams, row.team)
        provider = self._closed(self._providers, row.provider)
        model = self._model(row)
        who = (team, provider, model)
        if who not in self._series:
            if len(self._series) >= self._series_limit and model != OTHER:
                self._add("joulegate_dropped_series_total", (), 1)
                return (team, provider, OTHER)
            self._series.add(who)
        return who

    def _model(self, row: CallRow) -> str:
        name = row.model if row.model is not None else row.model_requested
        if name is None:
            return OTHER
        known = self._model_name(row)
        spellings = self._spellings.setdefault(known, {known}) if known is not None else {OTHER}
        if name in spellings:
            return name
        if known is not None and len(spellings) < _SPELLINGS:
            spellings.add(name)
            return name
        self._add("joulegate_dropped_series_total", (), 1)
        return OTHER if known is None else known

    def _closed(self, known: frozenset[str], value: str | None) -> str:
        if value is not None and value in known:
            return value
        if value is not None and value != OTHER:
            self._add("joulegate_dropped_series_total", (), 1)
        return OTHER

    def _add(self, name: str, labels: tuple[str, ...], amount: float | Decimal | None) -> None:
        # A counter must never fall, and one NaN would spoil it for good.
        if amount is None or not 0 <= amount < math.inf:
            return
        key = (name, *labels)
        self._sums[key] = self._sums.get(key, 0.0) + float(amount)

    def _counter(self, name: str, labels: tuple[str, ...]) -> Counter:
        key = (name, *labels)
        child = self._counter_children.get(key)
        if child is None:
            counter = self._counters[name]
            child = self._counter_children[key] = counter.labels(*labels) if labels else counter
        return child

    def _observe(self, name: str, labels: tuple[str, ...], seconds: float) -> None:
        key = (name, *labels)
        child = self._histogram_children.get(key)
        if child is None:
            histogram = self._histograms[name]
            child = self._histogram_children[key] = histogram.labels(*labels) if labels else histogram
        child.observe(seconds)


class _RecorderGauges(Collector):
    """Reads the recorder once per rendering; without a recorder there is no series rather than a 0."""

    def __init__(self, recorder: RecorderState) -> None:
        self._recorder = recorder

    def describe(self) -> Iterator[Metric]:
        for each in DECLARED:
            if each.kind == "gauge":
                yield GaugeMetricFamily(each.name, each.help, labels=each.labels)

    def collect(self) -> Iterator[Metric]:
        values: dict[str, Mapping[tuple[str, ...], float]] = {
            "joulegate_streams_open": {(): self._recorder.streams_open},
            "joulegate_ledger_lag_seconds": {(): self._recorder.lag_seconds},
            "joulegate_ledger_replaced": {(): self._recorder.ledgers_replaced},
            "joulegate_journal_records": {(state,): n for state, n in self._recorder.record_counts.items()},
        }
        for family in self.describe():
            for labels, value in values[family.name].items():
                family.add_metric(labels, value)  # type: ignore[attr-defined]
            yield family
