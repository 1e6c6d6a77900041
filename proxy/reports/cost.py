"""Dollars and tokens; dollars are exact decimal sums of the calls that have a price."""

from __future__ import annotations

from proxy.reports.kind import Kind
from proxy.reports.table import Column

COST = Kind(
    name="cost",
    title="Cost at each day's price, list or your own",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="input_tokens", title="input", kind="count", unit="tokens"),
        Column(key="cached_input_tokens", title="of it cached", kind="count", unit="tokens"),
        Column(key="output_tokens", title="output", kind="count", unit="tokens"),
        Column(key="reasoning_tokens", title="of it reasoning", kind="count", unit="tokens"),
        Column(key="unpriced_calls", title="unpriced", kind="count"),
        Column(key="cost_usd", title="dollars", kind="dollars", unit="USD"),
    ),
    rank="cost_usd",
    unknown="unpriced_calls",
    lacking="a price",
    so="dollars are a lower bound",
)
