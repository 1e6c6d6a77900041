"""A share of a model's training, for those who want it in their account: optional, stated, never in an estimate.

Makers state at most what training took, never over how many tokens it is spread; the caller states that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from estimator.facts import read_toml
from estimator.units import GRAMS_PER_KG

_KG_PER_TONNE = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a maker states of a training: tonnes of CO2e, GPU-hours, or both, within a boundary."""

    id: str
    models: tuple[str, ...]
    tonnes_co2e: float | None
    gpu_hours: float | None
    gpu: str | None
    boundary: str
    year: int
    source: str


@cache
def trainings() -> tuple[Training, ...]:
    """Return every training somebody published a figure of."""
    return tuple(
        Training(
            id=key,
            models=tuple(row["models"]),
            tonnes_co2e=row.get("tonnes_co2e"),
            gpu_hours=row.get("gpu_hours"),
            gpu=row.get("gpu"),
            boundary=row["boundary"],
            year=row["year"],
            source=row["source"],
        )
        for key, row in read_toml("training.toml").items()
    )


def training_of(model_id: str) -> Training | None:
    """Return the training of a model by its card's id, or ``None`` where nothing is published."""
    return next((training for training in trainings() if model_id in training.models), None)


def amortised_grams(tonnes_co2e: float, tokens: int, lifetime_tokens: float) -> float:
    """Return ``tonnes · 1e6 · tokens / lifetime tokens`` in grams.

    Raises:
        ValueError: the lifetime is shorter than the call.

    """
    if lifetime_tokens < tokens or lifetime_tokens <= 0:
        msg = f"a model's lifetime has at least the tokens of the call, not {lifetime_tokens}"
        raise ValueError(msg)
    return tonnes_co2e * _KG_PER_TONNE * GRAMS_PER_KG * tokens / lifetime_tokens


def training_share(model_id: str | None, tokens: int, lifetime_tokens: float) -> tuple[float | None, str]:
    """Return a call's grams CO2e of its model's training and what they rest on, or ``None`` and why there are none.

    Raises:
        ValueError: the lifetime is shorter than the call.

    """
    found = training_of(model_id) if model_id is not None else None
    if found is None:
        return None, f"nobody states what the training of {model_id or 'this model'} took"
    if found.tonnes_co2e is None:
        return None, f"no CO2e is stated of the training of {model_id}: {found.boundary} ({found.source}, {found.year})"
    grams = amortised_grams(found.tonnes_co2e, tokens, lifetime_tokens)
    basis = f"{found.tonnes_co2e:g} t ({found.source}, {found.year}: {found.boundary})"
    return grams, f"{basis} · {tokens} tokens / {lifetime_tokens:g} stated by the caller"
