"""Joules at the facility's meter, with their band, and the arithmetic behind them."""

from __future__ import annotations

from proxy.reports import notes
from proxy.reports.split import Split, report
from proxy.reports.table import Column, Report

_COLUMNS = (
    Column(key="calls", title="calls", kind="count"),
    Column(key="output_tokens", title="output tokens", kind="count", unit="tokens"),
    Column(key="flops", title="compute", kind="quantity", unit="FLOP"),
    Column(key="energy_unknown_calls", title="unknown", kind="count"),
    Column(key="joules_low", title="low", kind="quantity", unit="J"),
    Column(key="joules", title="energy", kind="quantity", unit="J"),
    Column(key="joules_high", title="high", kind="quantity", unit="J"),
)


def energy(split: Split) -> Report:
    """Give the energy report, the most energy first."""
    total = split.total
    return report(
        split,
        name="energy",
        title="Energy at the facility's meter (PUE included), estimated",
        columns=_COLUMNS,
        rank="joules",
        notes=(
            *notes.nothing(split),
            *notes.outer_band(total.joules),
            *notes.without(split, "energy_unknown_calls", "an energy estimate", "energy is"),
            *notes.usage_sources(total),
        ),
    )
