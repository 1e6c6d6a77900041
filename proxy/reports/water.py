"""Liters of water consumed: cooling on site, and generating the electricity."""

from __future__ import annotations

from proxy.reports.kind import Kind
from proxy.reports.table import Column

WATER = Kind(
    name="water",
    title="Water consumed on site and in generating the electricity, estimated",
    columns=(
        Column(key="calls", title="calls", kind="count"),
        Column(key="water_unknown_calls", title="not estimated", kind="count"),
        Column(key="liters", title="water", kind="quantity", unit="L", like="joules"),
    ),
    rank="liters",
    unknown="water_unknown_calls",
    lacking="a water estimate",
    so="water is a lower bound",
    says=lambda _: ["liters have no range of their own: they are no surer than the energy they follow from"],
)
