"""What is used of Grafana's SDK, imported once."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # The SDK prefers Grafana's new schema; files that are provisioned are still read in this one, by every Grafana.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common as shapes
    from grafana_foundation_sdk.models import dashboard as model
    from grafana_foundation_sdk.models import prometheus as promql

__all__ = [
    "Builder",
    "Dataquery",
    "JSONEncoder",
    "bargauge",
    "common",
    "dashboard",
    "model",
    "prometheus",
    "promql",
    "shapes",
    "stat",
    "table",
    "timeseries",
]
