"""Joules at the facility's meter, with their band, and the arithmetic behind them."""

from __future__ import annotations

from proxy.reports.kind import Kind
from proxy.reports.table import Column

ENERGY = Kind(
    name="energy",
    title="Energy at the facility's meter (PUE included), estimated",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="output_tokens", title="output tokens", kind="count", unit="tokens"),
        Column(key="flops", title="compute", kind="quantity", unit="FLOP", like="joules"),
        Column(key="energy_unknown_calls", title="not estimated", kind="count"),
        Column(key="joules_low", title="low", kind="quantity", unit="J", like="joules"),
        Column(key="joules", title="energy", kind="quantity", unit="J", like="joules"),
        Column(key="joules_high", title="high", kind="quantity", unit="J", like="joules"),
    ),
    rank="joules",
    unknown="energy_unknown_calls",
    lacking="an energy estimate",
    so="energy is a lower bound",
)
