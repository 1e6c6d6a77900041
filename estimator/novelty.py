"""What no measured row is like, and how much wider that makes a band.

The constants were fitted on rows of certain accelerators, batches and formats. Outside of those the formula is
the same, but nobody has checked it: the band of a known deployment widens by a stated standard deviation each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from estimator.deployments import Gpu, Precision
from estimator.fits import constants
from estimator.models import Architecture
from estimator.ranges import NINETY, Band


def traits(shape: Architecture, gpu: Gpu, precision: Precision, batch: float) -> tuple[str, ...]:
    """Return what sets a deployment apart from every row of the fit, by the names of ``[unseen]``."""
    seen = constants()["seen"]
    found = {
        "accelerator": gpu.name not in seen["accelerators"],
        "batch": not _within(batch, seen["batch"]),
        "size": not _within(shape.total_params, seen["total_params"]),
        "cache": shape.state_bytes > 0 or shape.latent_attention,
        "format": precision.name not in seen["precisions"],
    }
    return tuple(name for name, new in found.items() if new)


def long_context(tokens: float) -> bool:
    """Return whether a request holds more tokens than any request of the rows did in the mean."""
    return bool(tokens > constants()["seen"]["context"][1])


def widening(names: Iterable[str]) -> Band:
    """Return the 90 % multipliers that traits add: their variances sum."""
    sigma = constants()["unseen"]
    width = NINETY * math.sqrt(sum(sigma[name] ** 2 for name in names))
    return math.exp(-width), math.exp(width)


def _within(value: float, span: tuple[float, float]) -> bool:
    # A hundredth of slack: parameters and batches are stated rounded.
    return span[0] * 0.99 <= value <= span[1] * 1.01
