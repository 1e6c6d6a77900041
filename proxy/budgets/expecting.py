"""What a call will use, as far as its request says, and what it has used, in the units that budgets have.

Both are the estimator's own figures, so what is settled here is what the ledger's row will say; but an hour's
electricity that the gate does not ask for is its year's, which the row corrects when it is recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from estimator import Usage
from proxy.budgets.units import Unit, used
from proxy.call import Closed
from proxy.counting import CHARACTERS_PER_TOKEN
from proxy.estimating import ConfiguredEstimator
from proxy.gate import Received
from proxy.known import Known
from proxy.routing import Target

# Of a request that sets no limit. An assumption of ours (2026-11): most answers are shorter, those of reasoning models
# often longer. It bounds nothing: what a budget may be overshot by depends on what calls use beyond it.
OUTPUT_TOKENS_ASSUMED = 1000
# Formats whose replies are no generated text.
_NO_OUTPUT = frozenset((
    "openai.embeddings", "cohere.embed", "gemini.embed_content", "ollama.embed", "voyage.embeddings", "cohere.rerank",
    "engine.pooling", "openai.moderations", "mistral.ocr", "openai.transcriptions", "openai.speech", "openai.images",
))  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MODELS_PREPARED = 4096  # clients choose the names

Steps = dict[Unit, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What one call comes to; ``None`` is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    joules: float | None = None
    grams_co2e: float | None = None
    liters: float | None = None
    cost_usd: Decimal | None = None


class Expecting:
    """Asks the configured estimator."""

    def __init__(self, estimator: ConfiguredEstimator) -> None:
        self._estimator = estimator
        self._prepared: set[tuple[str, str]] = set()

    async def of(self, call: Received, target: Target, units: Iterable[Unit]) -> Steps:
        """Say what a call will use; a model's first estimate takes milliseconds, so a thread makes it."""
        units = tuple(units)
        usage, model = _expected(call), target.model or call.asked.model
        if usage is None or model is None or not set(units) - {"requests", "concurrent_requests"}:
            return dict.fromkeys(units)
        provider = target.provider
        key = (model, provider.name)
        at_us = time.time_ns() // 1000

        def ask() -> Steps:
            return self._steps(usage, model, provider.name, provider.zone, at_us, None, None, units)

        if key in self._prepared:
            return ask()
        found = await asyncio.to_thread(ask)
        if len(self._prepared) < _MODELS_PREPARED:
            self._prepared.add(key)
        return found

    def had(self, closed: Closed, units: Iterable[Unit]) -> Steps:
        """Say what a call has used, what stands beside its own usage included."""
        opened, units = closed.opened, tuple(units)
        found: Steps = dict.fromkeys(units)
        parts = [(closed.usage, closed.model or opened.model_requested)]
        parts += [(line.usage, line.model or closed.model or opened.model_requested) for line in closed.lines]
        for usage, model in parts:
            if usage is None or model is None:
                continue
            more = self._steps(
                usage, model, opened.provider, opened.zone, opened.started_at_us, closed.service_tier, closed.region,
                units,
            )  # fmt: skip
            for unit, steps in more.items():
                if steps is not None:
                    found[unit] = (found[unit] or 0) + steps
        return found

    def _steps(
        self,
        usage: Usage,
        model: str,
        provider: str | None,
        zone: str | None,
        at_us: int,
        service_tier: str | None,
        region: str | None,
        units: tuple[Unit, ...],
    ) -> Steps:
        try:
            figures = self._figures(usage, model, provider, zone, at_us, service_tier, region, units)
        except Exception:  # what a call costs is no reason for it to fail; the ledger's row says what was wrong
            figures = _Figures(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
        return {unit: None if unit in ("requests", "concurrent_requests") else used(figures, unit) for unit in units}

    def _figures(
        self,
        usage: Usage,
        model: str,
        provider: str | None,
        zone: str | None,
        at_us: int,
        service_tier: str | None,
        region: str | None,
        units: tuple[Unit, ...],
    ) -> _Figures:
        estimator = self._estimator
        known = estimator.known(
            model, provider=provider, zone=zone, at_us=at_us, service_tier=service_tier, region=region
        )
        if known is not None and (found := _quick(known, usage, units)) is not None:
            return found
        at = _EPOCH + timedelta(microseconds=at_us)
        whole = estimator(usage, model, provider=provider, zone=zone, at=at, service_tier=service_tier, region=region)
        return _Figures(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            joules=None if whole.joules is None else whole.joules.mid,
            grams_co2e=None if whole.grams_co2e is None else whole.grams_co2e.mid,
            liters=None if whole.liters is None else whole.liters.mid,
            cost_usd=whole.cost_usd,
        )


def _quick(known: Known, usage: Usage, units: tuple[Unit, ...]) -> _Figures | None:
    """Give the figures that are asked for, and no others; ``None`` where it takes an estimate of its own."""
    n_in, n_out = usage.input_tokens, usage.output_tokens
    if n_in is None or n_out is None or usage.units:
        return None
    if "liters" in units:
        made = known.figures(usage)
        return None if made is None else _Figures(
            input_tokens=n_in, output_tokens=n_out, joules=made.joules, grams_co2e=made.grams_co2e, liters=made.liters,
            cost_usd=known.cost(usage),
        )  # fmt: skip
    if "kwh" in units or "gco2e" in units:
        centre = known.centre(usage)
        return None if centre is None else _Figures(
            input_tokens=n_in, output_tokens=n_out, joules=centre.joules, grams_co2e=centre.grams_co2e,
            cost_usd=centre.cost_usd,
        )  # fmt: skip
    return _Figures(input_tokens=n_in, output_tokens=n_out, cost_usd=known.cost(usage) if "usd" in units else None)


def _expected(call: Received) -> Usage | None:
    """Say what a request asks for; ``None`` where it says nothing of that."""
    if not call.surface.metered:
        return None
    if call.asked.units:
        return Usage(units=dict(call.asked.units))
    size = len(call.body) or call.body_bytes or 0  # of what comes in chunks and is too large to hold nobody knows it
    if call.surface.name in _NO_OUTPUT:
        output = 0
    else:
        output = OUTPUT_TOKENS_ASSUMED if call.asked.output_limit is None else call.asked.output_limit
    return Usage(input_tokens=round(size / CHARACTERS_PER_TOKEN), output_tokens=output)
