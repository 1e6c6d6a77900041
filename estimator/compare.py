"""Two estimates of the same model held against each other: what is unknown of its machines cancels out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from estimator.errors import ComparisonError
from estimator.fits import constants
from estimator.profiles import Profile, at_batches
from estimator.ranges import Range, combined
from estimator.result import Estimate
from estimator.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``after`` against ``before``: the ratio of joules with its own band, and the share saved.

    The band is narrow where one machine serves both; for two models it joins both bands.
    """

    same_machine: bool
    ratio: Range

    @property
    def saved_share(self) -> Range:
        """How much less, as a share of before; negative where it is more."""
        return Range(1 - self.ratio.high, 1 - self.ratio.mid, 1 - self.ratio.low)


def compare(before: Estimate, after: Estimate) -> Comparison:
    """Compare the facility joules of two estimates.

    For one model on one deployment the ratio is taken on every machine that its band stands for; what is
    left is the formula's own error between workloads, which measured rows of the same machine show.

    Raises:
        ComparisonError: one of the two has no joules.

    """
    if before.joules is None or after.joules is None or before.joules.mid <= 0:
        msg = "a comparison needs two estimates with joules"
        raise ComparisonError(msg)
    mid = after.joules.mid / before.joules.mid
    if before.profile is None or before.profile is not after.profile or mid <= 0:
        low, high = combined(_band(after.joules), _inverse(_band(before.joules)))
        return Comparison(same_machine=False, ratio=Range(mid * low, mid, mid * high))
    ratios = [mid, *_ratios(before.profile, before.usage, after.usage)]
    per_efold = constants()["bands"]["comparison"]
    if (before.usage.cached_input_tokens or 0) != (after.usage.cached_input_tokens or 0):
        per_efold = constants()["bands"]["comparison_cached"]
    slack = math.exp(per_efold * abs(math.log(mid)))
    low, high = combined((min(ratios) / mid, max(ratios) / mid), (1 / slack, slack))
    return Comparison(same_machine=True, ratio=Range(mid * low, mid, mid * high))


def _ratios(profile: Profile, before: Usage, after: Usage) -> list[float]:
    found = []
    for point in at_batches(profile):
        first, second = (
            point.stages(usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0)
            for usage in (before, after)
        )
        found.append(second.facility_joules / first.facility_joules)
    return found


def _band(value: Range) -> tuple[float, float]:
    return value.low / value.mid, value.high / value.mid


def _inverse(band: tuple[float, float]) -> tuple[float, float]:
    return 1 / band[1], 1 / band[0]
