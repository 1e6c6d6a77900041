"""What is said of a model that nobody knows."""

from __future__ import annotations

from difflib import get_close_matches

_NEAREST = 3
_ALIKE = 0.6  # of 1: below it, names have hardly more than letters in common


def unknown_model(name: str) -> str:
    """Say that a model is unknown, which known names are nearest, and how it is made known."""
    from estimator.models import known_models

    own = name.strip().lower().rsplit("/", 1)[-1]
    near = get_close_matches(own, sorted(known_models()), n=_NEAREST, cutoff=_ALIKE)
    nearest = f"Known and nearest: {', '.join(near)}.\n" if near else ""
    return (
        f"{name!r} is no model that is known here, so there is no figure for it.\n{nearest}"
        "To make it known, add an entry to estimator/data/models (docs/how-to/add-a-model.md)."
    )
