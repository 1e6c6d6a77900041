"""Liters of water consumed: cooling on site, and generating the electricity."""

from __future__ import annotations

from proxy.reports import notes
from proxy.reports.split import Split, report
from proxy.reports.table import Column, Report

_COLUMNS = (
    Column(key="calls", title="calls", kind="count"),
    Column(key="water_unknown_calls", title="unknown", kind="count"),
    Column(key="liters", title="water", kind="quantity", unit="L"),
)


def water(split: Split) -> Report:
    """Give the water report, the most liters first."""
    total = split.total
    return report(
        split,
        name="water",
        title="Water consumed on site and in generating the electricity, estimated",
        columns=_COLUMNS,
        rank="liters",
        notes=(
            *notes.nothing(split),
            *notes.without(split, "water_unknown_calls", "a water estimate", "water is"),
            *notes.usage_sources(total),
        ),
    )
