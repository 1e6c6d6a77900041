"""Metrics of a small service, and their samples as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import Metrics
from tests.rows import known

GPT = {"team": "search", "provider": "openai", "model": "gpt-4o"}


def make(**changes) -> Metrics:
    models = changes.pop("models", {"gpt-4o", "o3", "llama"})
    closed = {"teams": {"search", "ads"}, "providers": {"openai", "groq"}, "model_name": known(models)}
    return Metrics(**(closed | changes))


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.render(max_age_seconds=0).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))
