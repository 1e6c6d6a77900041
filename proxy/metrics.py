"""What Prometheus sees: counters and histograms fed with committed ledger rows, gauges asked of the recorder.

Every metric is declared once, in ``DECLARED``. Label values come from closed sets, because a label
that a client can choose freely would grow the series without end; anything else becomes ``other``.
An unknown figure (None) adds nothing and creates no series: absent is not 0.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import prometheus_client
from msgspec.structs import astuple
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from proxy.budgets.budget import Budget
from proxy.declared import DECLARED, TOKEN_KINDS, WHO
from proxy.histogram import Histogram
from proxy.lag import Lag
from proxy.ledger.bulk import Values
from proxy.ledger.tables import CallRow, picked
from proxy.space import Space

OTHER = "other"
_SPELLINGS = 16  # names under which one known model is shown: clients and providers choose them
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# The ledger's columns that counters are made of: whose counter, and its labels beside team, provider and model.
_COUNTED_COLUMNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *((column, "joulegate_tokens_total", (kind,)) for kind, column in TOKEN_KINDS.items()),
    ("flops", "joulegate_flops_total", ()),
    ("joules", "joulegate_energy_joules_total", ()),
    ("prefill_joules", "joulegate_prefill_energy_joules_total", ()),
    ("joules_low", "joulegate_energy_joules_low_total", ()),
    ("joules_high", "joulegate_energy_joules_high_total", ()),
    ("grams_co2e", "joulegate_carbon_grams_total", ("operational",)),
    ("grams_co2e_low", "joulegate_carbon_grams_low_total", ("operational",)),
    ("grams_co2e_high", "joulegate_carbon_grams_high_total", ("operational",)),
    ("embodied_grams_co2e", "joulegate_carbon_grams_total", ("embodied",)),
    ("liters", "joulegate_water_liters_total", ()),
    ("cost_usd", "joulegate_cost_usd_total", ()),
)
_COUNTED = tuple((name, labels) for _, name, labels in _COUNTED_COLUMNS)
_LABELS = {each.name: each.labels for each in DECLARED}
_figures = picked(*(column for column, _, _ in _COUNTED_COLUMNS))
_times = picked("latency_ms", "time_to_first_token_ms", "stream", "overhead_us")
_wanted = picked("input_tokens", "output_tokens", "cost_usd", "joules")  # what a call with usage should have
# All that decides a row's labels; the price's id may tell which model it was.
_labelled = picked("team", "provider", "model", "model_requested", "price_id", "surface", "outcome", "usage_source")


BudgetsUsed = Callable[[], Iterable[tuple[Budget, float]]]  # each with the share of it that is used


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

    @property
    def journal_space(self) -> Space:
        """How much the journals hold, and how much more their disk can take."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What counters and histograms stand at, by metric and the values of its labels."""

    counters: tuple[tuple[str, tuple[str, ...], float], ...]
    histograms: tuple[tuple[str, tuple[str, ...], tuple[int, ...], float], ...]  # calls in each bucket, and the sum


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
        self._teams = self._configured = frozenset(teams)
        self._providers = frozenset(providers)
        self._model_name = model_name
        self._series_limit = series_limit
        self._series: set[tuple[str, str, str]] = set()
        self._spellings: dict[str, set[str]] = {}
        self._clock = clock
        self._registry = CollectorRegistry()
        self._gauges = CollectorRegistry()
        self._shown = True
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in DECLARED:
            match each.kind:
                case "counter":
                    self._counters[each.name] = Counter(each.name, each.help, each.labels, registry=self._registry)
                case "histogram":
                    self._histograms[each.name] = Histogram(each)
                    self._registry.register(self._histograms[each.name])
                case "gauge":
                    pass  # asked of the recorder, see watch()
        # `labels()` costs three times the increment, so children are kept by metric and label values.
        self._counter_children: dict[tuple[str, ...], Counter] = {}
        self._sums: dict[tuple[str, ...], float] = {}  # of the batch that is being recorded
        self._rendered = b""
        self._rendered_at = -math.inf
        self._render_lock = threading.Lock()

    def know_teams(self, teams: Collection[str]) -> None:
        """Tell these teams apart from now on, beside those of the beginning."""
        self._teams = self._configured | frozenset(teams)

    def watch(self, recorder: RecorderState, mirror_lag: Lag | None = None, budgets: BudgetsUsed | None = None) -> None:
        """Show the recorder's gauges from now on, how far a mirror is behind and how budgets stand, where there are."""
        self._gauges.register(_Gauges(recorder, mirror_lag, budgets))

    def record(self, rows: Sequence[CallRow]) -> None:
        """Add committed ledger rows."""
        alike: dict[tuple[str | None, ...], tuple[CallRow, list[Values]]] = {}
        for row in rows:
            values = astuple(row)
            alike.setdefault(_labelled(values), (row, []))[1].append(values)
        for first, all_values in alike.values():
            self._record(first, all_values)
        # Calls of one batch share their labels: one increment for each series, not for each call.
        for (name, *labels), amount in self._sums.items():
            self._counter(name, tuple(labels)).inc(amount)
        self._sums.clear()

    def counted(self) -> Counted:
        """Give what was counted so far; in the thread that records."""
        return Counted(
            counters=tuple(
                (name, tuple(sample.labels[label] for label in _LABELS[name]), sample.value)
                for name, counter in self._counters.items()
                for family in counter.collect()
                for sample in family.samples
            ),
            histograms=tuple(
                (name, labels, counts, total)
                for name, histogram in self._histograms.items()
                for labels, counts, total in histogram.counted()
            ),
        )

    def go_on_from(self, before: Counted) -> None:
        """Count on from where another has ended; a metric that has other labels or buckets by now begins at 0."""
        for name, labels, value in before.counters:
            if len(labels) == len(_LABELS.get(name, ())) and name in self._counters:
                self._counter(name, labels).inc(value)
                if _LABELS[name][:3] == WHO:
                    self._series.add((labels[0], labels[1], labels[2]))
        for name, labels, counts, total in before.histograms:
            if name in self._histograms:
                self._histograms[name].go_on_from(labels, counts, total)

    def withhold(self) -> None:
        """Show no counters and histograms until ``show``: they are lower than they were seen to be."""
        self._shown = False

    def show(self) -> None:
        """Show them again."""
        self._shown = True

    def render(self, *, max_age_seconds: float = 1.0) -> bytes:
        """Give the text exposition, at most ``max_age_seconds`` old: making it takes tens of milliseconds."""
        with self._render_lock:
            if self._clock() - self._rendered_at >= max_age_seconds:
                counted = generate_latest(self._registry) if self._shown else b""
                self._rendered = counted + generate_latest(self._gauges)
                self._rendered_at = self._clock()
            return self._rendered

    def _record(self, first: CallRow, rows: Sequence[Values]) -> None:
        """Add rows that have all their labels in common with the first, given as their fields."""
        calls = len(rows)
        who = self._labels(first, calls)
        _, provider, model = who
        self._add("joulegate_calls_total", (*who, first.surface, first.outcome), calls)
        for (name, labels), column in zip(_COUNTED, zip(*map(_figures, rows), strict=True), strict=True):
            self._add(name, (*who, *labels), _sum(column))
        times = list(map(_times, rows))
        if first.outcome == "ok":
            took = [ms / 1e3 for ms, _, _, _ in times if ms is not None]
            self._observe("joulegate_latency_seconds", (provider, model), took)
        waited = [ms / 1e3 for _, ms, stream, _ in times if stream and ms is not None]
        self._observe("joulegate_time_to_first_token_seconds", (provider, model), waited)
        self._observe("joulegate_overhead_seconds", (), [us / 1e6 for _, _, _, us in times if us is not None])
        if first.provider is not None:  # a call turned away before a provider was chosen has no usage to find
            self._add("joulegate_usage_source_total", (provider, first.usage_source), calls)
        metered = [wanted for n_in, n_out, *wanted in map(_wanted, rows) if n_in is not None or n_out is not None]
        if unpriced := sum(cost is None for cost, _ in metered):
            self._add("joulegate_unpriced_calls_total", (model,), unpriced)
        if unknown := sum(joules is None for _, joules in metered):
            self._add("joulegate_unknown_models_total", (), unknown)

    def _labels(self, row: CallRow, calls: int) -> tuple[str, str, str]:
        team = self._closed(self._teams, row.team, calls)
        provider = self._closed(self._providers, row.provider, calls)
        model = self._model(row, calls)
        who = (team, provider, model)
        if who not in self._series:
            if len(self._series) >= self._series_limit and model != OTHER:
                self._add("joulegate_dropped_series_total", (), calls)
                return (team, provider, OTHER)
            self._series.add(who)
        return who

    def _model(self, row: CallRow, calls: int) -> str:
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
        self._add("joulegate_dropped_series_total", (), calls)
        return OTHER if known is None else known

    def _closed(self, known: frozenset[str], value: str | None, calls: int) -> str:
        if value is not None and value in known:
            return value
        if value is not None and value != OTHER:
            self._add("joulegate_dropped_series_total", (), calls)
        return OTHER

    def _add(self, name: str, labels: tuple[str, ...], amount: float | None) -> None:
        if amount is not None:
            key = (name, *labels)
            self._sums[key] = self._sums.get(key, 0.0) + amount

    def _counter(self, name: str, labels: tuple[str, ...]) -> Counter:
        key = (name, *labels)
        child = self._counter_children.get(key)
        if child is None:
            counter = self._counters[name]
            child = self._counter_children[key] = counter.labels(*labels) if labels else counter
        return child

    def _observe(self, name: str, labels: tuple[str, ...], seconds: Sequence[float]) -> None:
        if seconds:
            self._histograms[name].observe(labels, seconds)


def _sum(column: Sequence[float | Decimal | None]) -> float | None:
    """Add up what is known; a counter must never fall, and one NaN would spoil it for good."""
    known: Sequence[Any] = column if None not in column else [each for each in column if each is not None]
    if not known:
        return None
    total = float(sum(known))
    if total < math.inf and min(known) >= 0:  # so as a rule
        return total
    good = [float(each) for each in known if 0 <= each < math.inf]
    return sum(good) if good else None


class _Gauges(Collector):
    """Reads the recorder once per rendering; without a recorder or a mirror there is no series rather than a 0."""

    def __init__(self, recorder: RecorderState, mirror_lag: Lag | None, budgets: BudgetsUsed | None) -> None:
        self._budgets = budgets
        self._recorder = recorder
        self._mirror_lag = mirror_lag

    def describe(self) -> Iterator[Metric]:
        for each in DECLARED:
            if each.kind == "gauge":
                yield GaugeMetricFamily(each.name, each.help, labels=each.labels)

    def collect(self) -> Iterator[Metric]:
        space = self._recorder.journal_space
        values: dict[str, Mapping[tuple[str, ...], float]] = {
            "joulegate_journal_bytes": {(): space.segment_bytes},
            "joulegate_journal_free_bytes": {} if space.free_bytes is None else {(): space.free_bytes},
            "joulegate_streams_open": {(): self._recorder.streams_open},
            "joulegate_ledger_lag_seconds": {(): self._recorder.lag_seconds},
            "joulegate_mirror_lag_seconds": {} if self._mirror_lag is None else {(): self._mirror_lag.seconds},
            "joulegate_ledger_replaced": {(): self._recorder.ledgers_replaced},
            "joulegate_journal_records": {(state,): n for state, n in self._recorder.record_counts.items()},
        }
        budgets: dict[tuple[str, ...], float] = {}
        for budget, used in () if self._budgets is None else self._budgets():
            team = budget.team if budget.team is not None and budget.of_a_team else OTHER
            whose = (team, budget.unit, "now" if budget.window is None else budget.window.text)
            budgets[whose] = max(used, budgets.get(whose, 0.0))
        values["joulegate_budget_used_ratio"] = budgets
        for family in self.describe():
            for labels, value in values[family.name].items():
                family.add_metric(labels, value)  # type: ignore[attr-defined]
            yield family
