"""Uncertainty as a type: a central value with the ends of its 90 % band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

Band = tuple[float, float]
NINETY: Final = 1.645  # standard deviations from the middle to the end of a 90 % band


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity as 5 %, 50 % and 95 % points, ``low <= mid <= high``, in whatever unit its name says.

    Addition adds the ends, which is exact for quantities that err together (the calls of one model
    do: batch and hardware are unknown in the same way for all of them).
    """

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            msg = f"a range needs low <= mid <= high, not {self.low!r}, {self.mid!r}, {self.high!r}"
            raise ValueError(msg)

    @classmethod
    def exact(cls, value: float) -> Range:
        """Return a quantity without a band."""
        return cls(value, value, value)

    @classmethod
    def around(cls, mid: float, band: Band) -> Range:
        """Return a middle with the ends that multipliers make of it."""
        return cls(mid * band[0], mid, mid * band[1])

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, factor: float) -> Range:
        if factor < 0:
            return Range(self.high * factor, self.mid * factor, self.low * factor)
        return Range(self.low * factor, self.mid * factor, self.high * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Range:
        return self * (1.0 / divisor)

    def __lt__(self, other: Range) -> bool:
        return self.mid < other.mid

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def widened(self, low_factor: float, high_factor: float) -> Range:
        """Combine with an independent multiplicative error: the squared logarithmic widths add."""
        if self.low <= 0:
            return Range(self.low * low_factor, self.mid, self.high * high_factor)
        # As combined() does it, in half the time: several figures of every call come through here.
        down = math.hypot(math.log(self.low / self.mid), math.log(low_factor))
        up = math.hypot(math.log(self.high / self.mid), math.log(high_factor))
        return Range(self.mid * math.exp(-down), self.mid, self.mid * math.exp(up))


def combined(*factors: Band) -> Band:
    """Join independent multipliers (low, high) around 1 into one pair by adding squared log-widths."""
    down = math.hypot(*[math.log(low) for low, _ in factors])
    up = math.hypot(*[math.log(high) for _, high in factors])
    return math.exp(-down), math.exp(up)
