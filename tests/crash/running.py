"""Services under load, and what their metrics say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.service.running import Service, get

SETTLED_WITHIN_S = 60.0


def toml(origin: str, url: str, *, workers: int = 1, more: str = "") -> str:
    """A configuration for the traffic of these tests."""
    return f"""
[gate]
workers = {workers}
{more}
[ledger]
url = "{url}"
tz = "Asia/Kathmandu"
[[provider]]
name = "openai"
origin = "{origin}"
[[team]]
name = "crash"
"""


def port(running: Service) -> int:
    return int(running.gate.rsplit(":", 1)[1])


def metric(services: Service | Iterable[Service], name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels, over services."""
    total = 0.0
    for running in [services] if isinstance(services, Service) else services:
        for family in text_string_to_metric_families(get(f"{running.console}/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
    return total


def calls_counted(running: Service) -> float | None:
    """None while nobody answers, or counters that lack calls are not shown."""
    try:
        text = get(f"{running.console}/metrics").text
    except httpx2.TransportError:
        return None
    values = re.findall(r"^joulegate_calls_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, values)) if values else None


def wait_for(what: Callable[[], object], running: Service) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not what():
        assert time.monotonic() < deadline, running.output.decode()[-3000:]
        time.sleep(0.05)
