"""Dollars and tokens; dollars are exact decimal sums of the calls that have a price."""

from __future__ import annotations

from proxy.reports import notes
from proxy.reports.split import Split, report
from proxy.reports.table import Column, Report

_COLUMNS = (
    Column(key="calls", title="calls", kind="count"),
    Column(key="input_tokens", title="input", kind="count", unit="tokens"),
    Column(key="cached_input_tokens", title="of it cached", kind="count", unit="tokens"),
    Column(key="output_tokens", title="output", kind="count", unit="tokens"),
    Column(key="reasoning_tokens", title="of it reasoning", kind="count", unit="tokens"),
    Column(key="unpriced_calls", title="unpriced", kind="count"),
    Column(key="cost_usd", title="dollars", kind="dollars", unit="USD"),
)


def cost(split: Split) -> Report:
    """Give the cost report, the dearest group first."""
    total = split.total
    return report(
        split,
        name="cost",
        title="Cost at list price",
        columns=_COLUMNS,
        rank="cost_usd",
        notes=(
            *notes.nothing(split),
            *notes.without(split, "unpriced_calls", "a price", "dollars are"),
            *notes.usage_sources(total),
        ),
    )
