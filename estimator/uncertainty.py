"""Uncertainty that survives sums: what errs alike for all calls of a model, and what errs call by call.

Nobody knows on what machines a model runs, but it is the same unknown for each of its calls: that error adds
up. How full the batch was in one call's moment is another matter: over many calls that evens out. A total
keeps both apart, so that a month has neither no band nor the sum of every call's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from estimator.fits import constants
from estimator.ranges import Band, Range

NOTHING: Final = Range(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertain:
    """One figure with its 90 % deviations downwards and upwards, in the figure's unit.

    ``key`` names what shares an error: all figures of one model at one operator.
    """

    key: str
    mid: float
    shared_down: float
    shared_up: float
    own_down: float
    own_up: float

    @property
    def range(self) -> Range:
        """Both kinds of error together."""
        down, up = math.hypot(self.shared_down, self.own_down), math.hypot(self.shared_up, self.own_up)
        return Range(self.mid - down, self.mid, self.mid + up)


def uncertain(value: Range, key: str, own: Band | None = None) -> Uncertain:
    """Take a figure's band apart, see :func:`deviations`."""
    shared_down, shared_up, own_down, own_up = deviations(value, own)
    return Uncertain(
        key=key, mid=value.mid, shared_down=shared_down, shared_up=shared_up, own_down=own_down, own_up=own_up
    )


def deviations(value: Range, own: Band | None = None) -> tuple[float, float, float, float]:
    """Split a band into its deviations: shared ones downwards and upwards, own ones downwards and upwards.

    ``own`` is the part of a single call, as multipliers; never more than the whole band. Without it a default is
    taken, at most half the band: however narrow that is, most of it (a meter's error, a PUE, the formula itself) errs
    alike for all calls. What is left after taking the own part off in squares is shared by all figures of a key.
    """
    bands = constants()["bands"]
    low, high = own if own is not None else bands["own_call"]
    most = 1.0 if own is not None else bands["own_call_most"]
    mid = value.mid
    down, up = mid - value.low, value.high - mid
    own_down, own_up = min(most * down, mid * (1 - low)), min(most * up, mid * (high - 1))
    shared_down, shared_up = down * down - own_down * own_down, up * up - own_up * own_up
    return math.sqrt(max(0.0, shared_down)), math.sqrt(max(0.0, shared_up)), own_down, own_up


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one key summed: five numbers that add up, so that days make a month."""

    mid: float = 0.0
    shared_down: float = 0.0
    shared_up: float = 0.0
    own_down_squared: float = 0.0
    own_up_squared: float = 0.0

    def __add__(self, other: Group) -> Group:
        return Group(
            self.mid + other.mid,
            self.shared_down + other.shared_down,
            self.shared_up + other.shared_up,
            self.own_down_squared + other.own_down_squared,
            self.own_up_squared + other.own_up_squared,
        )


@dataclass(frozen=True, slots=True)
class Total:
    """Figures summed; adding is associative and commutative, whatever came in which order.

    Within a key shared errors add up. Between keys they are alike in part (one formula, one kind of
    hardware): ``between_models`` is their correlation, an assumption. Own errors add in squares.
    """

    groups: dict[str, Group] = field(default_factory=dict)

    def plus(self, one: Uncertain, times: int = 1) -> Total:
        """Return the total with ``times`` independent calls of one figure more."""
        added = Group(
            one.mid * times,
            one.shared_down * times,
            one.shared_up * times,
            one.own_down**2 * times,
            one.own_up**2 * times,
        )
        return self + Total({one.key: added})

    def __add__(self, other: Total) -> Total:
        groups = dict(self.groups)
        for key, group in other.groups.items():
            groups[key] = groups[key] + group if key in groups else group
        return Total(groups)

    @property
    def range(self) -> Range:
        """The sum with its 90 % band, never below zero."""
        if not self.groups:
            return NOTHING
        groups = self.groups.values()
        return range_of(
            [group.mid for group in groups],
            [group.shared_down for group in groups],
            [group.shared_up for group in groups],
            [group.own_down_squared for group in groups],
            [group.own_up_squared for group in groups],
        )


def total(figures: Iterable[Uncertain]) -> Total:
    """Sum figures, each of an independent call."""
    groups: dict[str, Group] = {}
    for one in figures:
        group = Group(one.mid, one.shared_down, one.shared_up, one.own_down**2, one.own_up**2)
        groups[one.key] = groups[one.key] + group if one.key in groups else group
    return Total(groups)


def range_of(
    mid: Sequence[float],
    shared_down: Sequence[float],
    shared_up: Sequence[float],
    own_down_squared: Sequence[float],
    own_up_squared: Sequence[float],
) -> Range:
    """Give a sum with its 90 % band from what a :class:`Group` has, one number of each kind for each key.

    Own deviations squared that are a rounding below zero, as differences of squares may be, count as 0.
    """
    if len(mid) == 1:
        return Range(*ends_of(mid[0], shared_down[0], shared_up[0], own_down_squared[0], own_up_squared[0]))
    alike: float = constants()["bands"]["between_models"]
    middle = math.fsum(mid)
    down, up = _joined(shared_down, own_down_squared, alike), _joined(shared_up, own_up_squared, alike)
    return Range(min(middle, max(0.0, middle - down)), middle, middle + up)


def ends_of(
    mid: float, shared_down: float, shared_up: float, own_down_squared: float, own_up_squared: float
) -> tuple[float, float, float]:
    """Give low, middle and high of :func:`range_of` for one key, the most frequent case by far: quickly."""
    # Without the built-ins min and max, which take most of the time.
    low = mid - math.sqrt(shared_down * shared_down + (own_down_squared if own_down_squared > 0.0 else 0.0))
    high = mid + math.sqrt(shared_up * shared_up + (own_up_squared if own_up_squared > 0.0 else 0.0))
    return low if low > 0.0 else min(mid, 0.0), mid, high


def _joined(shared: Sequence[float], own_squared: Sequence[float], alike: float) -> float:
    """Return the deviation of a sum whose shared parts correlate by ``alike`` between keys."""
    together = math.fsum(shared)
    apart = math.fsum([value * value for value in shared])
    own = math.fsum([value for value in own_squared if value > 0.0])
    return math.sqrt(alike * together * together + (1 - alike) * apart + own)
