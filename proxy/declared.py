"""The metrics there are, as users see them: names, labels, help and buckets are a public contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The ``kind`` label and the ledger column it counts. Kinds overlap: input includes what was cached or audio.
TOKEN_KINDS = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "audio_input": "audio_input_tokens",
    "image_input": "image_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "audio_output": "audio_output_tokens",
    "image_output": "image_output_tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One metric as users see it; ``buckets`` are upper bounds in the metric's own unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()


WHO = ("team", "provider", "model")
_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60)
_OVERHEAD = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)


def _counter(name: str, labels: tuple[str, ...], says: str) -> Declaration:
    return Declaration(name=name, kind="counter", labels=labels, help=says)


DECLARED = (
    _counter("joulegate_calls_total", (*WHO, "surface", "outcome"), "Calls, one per upstream attempt or refusal."),
    _counter(
        "joulegate_tokens_total",
        (*WHO, "kind"),
        "Tokens where counted; input includes cached, written, audio and image, output includes reasoning.",
    ),
    _counter("joulegate_flops_total", WHO, "Floating-point operations, estimated."),
    _counter(
        "joulegate_energy_joules_total",
        WHO,
        "Energy at the facility's meter (PUE included), centre of the estimate.",
    ),
    _counter(
        "joulegate_prefill_energy_joules_total",
        WHO,
        "Of that energy, what reading the prompts took (prefill); writing the output took the rest.",
    ),
    _counter("joulegate_energy_joules_low_total", WHO, "Energy at the facility's meter, low end of the band."),
    _counter("joulegate_energy_joules_high_total", WHO, "Energy at the facility's meter, high end of the band."),
    _counter(
        "joulegate_carbon_grams_total",
        (*WHO, "scope"),
        "Grams CO2e, centre: operational (location-based electricity) or embodied (share of making the hardware).",
    ),
    _counter(
        "joulegate_carbon_grams_low_total",
        (*WHO, "scope"),
        "Grams CO2e, low end of the band; operational only, the embodied share has no band yet.",
    ),
    _counter(
        "joulegate_carbon_grams_high_total",
        (*WHO, "scope"),
        "Grams CO2e, high end of the band; operational only, the embodied share has no band yet.",
    ),
    _counter("joulegate_water_liters_total", WHO, "Water consumed on site and in generating the electricity."),
    _counter(
        "joulegate_cost_usd_total",
        WHO,
        "US dollars at list prices or your own; unpriced calls add nothing, see joulegate_unpriced_calls_total.",
    ),
    Declaration(
        name="joulegate_latency_seconds",
        kind="histogram",
        labels=("provider", "model"),
        help="Time from request to last byte, of calls that ended ok.",
        buckets=_SECONDS,
    ),
    Declaration(
        name="joulegate_time_to_first_token_seconds",
        kind="histogram",
        labels=("provider", "model"),
        help="Time from request to first generated content, of streams.",
        buckets=_FIRST_TOKEN,
    ),
    Declaration(
        name="joulegate_overhead_seconds",
        kind="histogram",
        help="Time the gate itself added to a call.",
        buckets=_OVERHEAD,
    ),
    Declaration(
        name="joulegate_streams_open",
        kind="gauge",
        help="Streamed calls opened and not yet closed.",
    ),
    _counter(
        "joulegate_usage_source_total",
        ("provider", "source"),
        "Where calls' token counts came from: reported, counted, inferred or absent.",
    ),
    _counter(
        "joulegate_unpriced_calls_total",
        ("model",),
        "Calls with counted tokens but no price, so missing from joulegate_cost_usd_total.",
    ),
    _counter(
        "joulegate_unknown_models_total",
        (),
        "Calls with counted tokens whose energy could not be estimated, so missing from energy and carbon.",
    ),
    Declaration(
        name="joulegate_ledger_lag_seconds",
        kind="gauge",
        help="Age of the oldest call that ended and is not in the ledger; 0 when none waits.",
    ),
    Declaration(
        name="joulegate_mirror_lag_seconds",
        kind="gauge",
        help="Time since the mirror last had all that the ledger had; absent where no mirror is configured.",
    ),
    Declaration(
        name="joulegate_budget_used_ratio",
        kind="gauge",
        labels=("team", "unit", "window"),
        help="Share of a team's budget that is used in its window of now, the fullest of those alike; team other: of"
        " budgets of projects, users and keys.",
    ),
    Declaration(
        name="joulegate_journal_records",
        kind="gauge",
        labels=("state",),
        help="Calls since start by what became of their records: opened, closed, recorded, waiting, lost, poison, torn,"
        " unestimated.",
    ),
    Declaration(
        name="joulegate_journal_bytes",
        kind="gauge",
        help="Bytes of journal on the disk; they grow while the ledger is away.",
    ),
    Declaration(
        name="joulegate_journal_free_bytes",
        kind="gauge",
        help="Bytes that the journal's disk can still take.",
    ),
    Declaration(
        name="joulegate_ledger_replaced",
        kind="gauge",
        help="Times since start that the ledger was found deleted or replaced while it was in use.",
    ),
    _counter(
        "joulegate_dropped_series_total",
        (),
        "Label values not in the closed sets or beyond a cap, recorded as other or as the facts name the model.",
    ),
)
