"""Joules somebody else knows: a meter at one's own server, or a provider's statement; they replace the model's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from estimator.errors import EvidenceError
from estimator.fits import constants
from estimator.ranges import Band

Scope = Literal["gpu", "it", "facility"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Joules of one call by a meter or a provider; ``scope`` says on which side of host and PUE they were taken.

    ``gpu``: the accelerators alone (NVML); ``it``: the servers (at the plug); ``facility``: the data centre.
    ``band`` are the statement's own 90 % multipliers; without them a default for its kind. ``per_call`` is the part of
    them by which one call is off a mean over many: it evens out in sums. Without it the default split holds.
    """

    kind: Literal["measured", "disclosed"]
    joules: float
    scope: Scope
    source: str
    band: Band | None = None
    per_call: Band | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.joules < math.inf:
            msg = f"joules are a number of at least 0, not {self.joules}"
            raise EvidenceError(msg)
        if self.scope not in {"gpu", "it", "facility"} or self.kind not in {"measured", "disclosed"}:
            msg = f"evidence is measured or disclosed, at gpu, it or facility, not {self.kind} at {self.scope}"
            raise EvidenceError(msg)
        if self.band is not None and not 0 < self.band[0] <= 1 <= self.band[1] < math.inf:
            msg = f"a band is multipliers around 1, not {self.band}"
            raise EvidenceError(msg)

    @property
    def own_band(self) -> Band:
        """The 90 % multipliers of the statement itself."""
        if self.band is not None:
            return self.band
        low, high = constants()["bands"][self.kind]
        return low, high


def staged(evidence: Evidence, it_over_gpu: float, pue: float) -> dict[Scope, tuple[float, bool]]:
    """Return joules at each side of host and PUE, and whether a stage was reckoned rather than stated."""
    on_gpu: dict[Scope, float] = {"gpu": 1.0, "it": it_over_gpu, "facility": it_over_gpu * pue}
    there = on_gpu[evidence.scope]
    return {scope: (evidence.joules * (here / there), scope != evidence.scope) for scope, here in on_gpu.items()}
