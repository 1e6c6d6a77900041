"""A histogram that takes many observations at once: the client's own takes a lock and a search for each."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from proxy.declared import Declaration


class Histogram(Collector):
    """The series of one declared histogram."""

    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._bounds = declared.buckets
        self._children: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}
        self._lock = threading.Lock()
        if not declared.labels:
            self._children[()] = self._fresh()  # without labels there is one series, and from the start

    def observe(self, labels: tuple[str, ...], values: Sequence[float]) -> None:
        """Take observations of one series."""
        with self._lock:
            counts, total = self._children.setdefault(labels, self._fresh())
            for value in values:
                counts[bisect_left(self._bounds, value)] += 1
            total[0] += sum(values)

    def counted(self) -> list[tuple[tuple[str, ...], tuple[int, ...], float]]:
        """Give each series: its labels, how many observations fell into each bucket, and their sum."""
        with self._lock:
            return [(labels, tuple(counts), total[0]) for labels, (counts, total) in self._children.items()]

    def go_on_from(self, labels: tuple[str, ...], counts: tuple[int, ...], total: float) -> None:
        """Count on from where another process has ended; not where the buckets are others by now."""
        if len(labels) != len(self._declared.labels) or len(counts) != len(self._bounds) + 1:
            return
        with self._lock:
            there, sums = self._children.setdefault(labels, self._fresh())
            there[:] = map(sum, zip(there, counts, strict=True))
            sums[0] += total

    def _fresh(self) -> tuple[list[int], list[float]]:
        return [0] * (len(self._bounds) + 1), [0.0]

    def describe(self) -> Iterator[Metric]:
        """Name the metric, without a sample."""
        yield HistogramMetricFamily(self._declared.name, self._declared.help, labels=self._declared.labels)

    def collect(self) -> Iterator[Metric]:
        """Give all series as Prometheus has them: each bucket counts those below it too."""
        family = HistogramMetricFamily(self._declared.name, self._declared.help, labels=self._declared.labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        with self._lock:
            found = [(labels, list(counts), total[0]) for labels, (counts, total) in self._children.items()]
        for labels, counts, total in found:
            family.add_metric(labels, buckets=list(zip(bounds, accumulate(counts), strict=True)), sum_value=total)
        yield family
