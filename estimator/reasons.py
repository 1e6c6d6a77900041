"""Why a figure is missing: token counts that say too little or cannot be, a model nobody knows."""

from __future__ import annotations

from typing import Final

from estimator.models import ModelCard
from estimator.usage import Usage

# More tokens than any call can have: a provider's slip, not a workload.
MOST_TOKENS: Final = 1_000_000_000
# The figures that need a model's size and the counts of its tokens.
ENERGY: Final = (
    "flops",
    "gpu_joules",
    "it_joules",
    "joules",
    "prefill_joules",
    "grams_co2e",
    "embodied_grams_co2e",
    "market_grams_co2e",
    "liters",
)
_HINT: Final = "no card for {!r}: add an entry to estimator/data/models or pass a ModelCard"


def problem(usage: Usage) -> str | None:
    """Say why a usage cannot be reckoned with, or ``None``; a missing output count is the caller's to judge."""
    n_in, n_out = usage.input_tokens, usage.output_tokens
    if n_in is None:
        return "the input token count is unknown"
    if not 0 <= n_in <= MOST_TOKENS or (n_out is not None and not 0 <= n_out <= MOST_TOKENS):
        return f"token counts are impossible: {n_in} in, {n_out} out"
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    if cached < 0 or written < 0 or cached + written > n_in:
        return f"cached tokens are impossible: {cached} read and {written} written of {n_in} in"
    return None


def why_no_energy(model: str | ModelCard, card: ModelCard | None, wrong: str | None) -> str:
    """Say why a call has no energy: no card, impossible counts, no public size, no count of the output."""
    if card is None:
        return _HINT.format(model)
    if wrong is not None:
        return wrong
    if card.total_params is None:
        return f"no public figure for the size of {card.id}"
    return "the output token count is unknown"
