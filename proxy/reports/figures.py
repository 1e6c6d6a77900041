"""How figures are written for people: SI prefixes, and no more digits than the figure carries.

The one rule of digits, :func:`carried`, is that of tables, pages, paper, the console and the calculator, whose script
``words.js`` has the same; a test holds one against the other. What programs read is not rounded.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

UNKNOWN = "unknown"
_TONNE = 1e6  # grams
LEAST_DIGITS, MOST_DIGITS = 2, 3  # of an estimate
_POWERS_BELOW_ONE = 323  # that a float can be
_POWERS = tuple(float(f"1e{power}") for power in range(-_POWERS_BELOW_ONE, 309))
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def scale(peak: float, unit: str) -> tuple[float, str]:
    """Choose the SI prefix for figures up to ``peak``: (what to divide by, the prefixed unit). Grams become tonnes."""
    if unit[:1] == "g" and abs(peak) >= _TONNE:
        size, prefixed = scale(peak / _TONNE, f"t{unit[1:]}")
        return size * _TONNE, prefixed
    for size, prefix in _PREFIXES:
        if abs(peak) >= size:
            return size, prefix + unit
    return (1.0, unit) if peak == 0 else (_PREFIXES[-1][0], _PREFIXES[-1][1] + unit)


def digits(value: float, significant: int = MOST_DIGITS) -> str:
    """Round to significant digits, halves away from 0, and write without an exponent: 1234.5 becomes 1,230."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    more, rounded = f"{value:.{significant}e}", f"{value:.{significant - 1}e}"
    if more[more.index("e") - 1] != "5":  # far from a half, which floats are written to the even side of
        return _plain(rounded, significant)
    exact = Decimal(value)
    half_up = exact.quantize(Decimal(1).scaleb(exact.adjusted() + 1 - significant), ROUND_HALF_UP)
    return _plain(str(half_up), significant)


@lru_cache(maxsize=10_000)  # there are few numbers of three digits
def _plain(text: str, significant: int) -> str:
    rounded = Decimal(text)
    # 9.996 rounds up to 10.0: one place fewer is then enough.
    return f"{rounded:,.{max(significant - 1 - rounded.adjusted(), 0)}f}"


def quantity(value: float | None, unit: str, significant: int = MOST_DIGITS) -> str:
    """Write a figure with its unit, 1.23 kJ."""
    if value is None:
        return UNKNOWN
    size, prefixed = scale(value, unit)
    return f"{digits(value / size, significant)} {prefixed}"


def carried(low: float | None, centre: float | None, high: float | None) -> int:
    """Say how many digits a figure carries: to the place where its nearer end differs, two at least, three at most.

    Two of a factor, 1.2 (0.4–3.6); three of a few per cent, 1.23 (1.18–1.29). Without a band there are three. Its ends
    have as many.
    """
    if not centre or low is None or high is None or not (deviation := min(centre - low, high - centre)) > 0:
        return MOST_DIGITS
    return min(MOST_DIGITS, max(LEAST_DIGITS, _power(centre) - _power(deviation) + 1))


def _power(value: float) -> int:
    """Give the place of the first digit, that of what the number is written as: a logarithm may be off at a power."""
    return bisect_right(_POWERS, abs(value)) - _POWERS_BELOW_ONE - 1


def band(low: float | None, high: float | None, unit: str, significant: int = LEAST_DIGITS) -> str:
    """Write the two ends of a band in one unit, 0.61-3.1 kJ, with the digits that their figure carries."""
    if low is None or high is None:
        return UNKNOWN
    size, prefixed = scale(high, unit)
    return f"{span(low / size, high / size, significant)} {prefixed}"


def span(low: float, high: float, significant: int = LEAST_DIGITS) -> str:
    """Write two ends without a unit, 0.61–3.1."""
    return f"{digits(low, significant)}–{digits(high, significant)}"


def dollars(value: Decimal | None, peak: Decimal | None = None) -> str:
    """Write dollars, with more decimals the smaller ``peak`` (the largest figure beside it) is."""
    if value is None:
        return UNKNOWN
    largest = abs(value if peak is None else peak)
    places = 2 if largest >= 100 else 4 if largest >= 1 else 6
    smallest = Decimal(1).scaleb(-places)
    if value and abs(value) < smallest:
        return f"<${smallest}" if value > 0 else f">-${smallest}"
    return f"{'-' if value < 0 else ''}${abs(value):,.{places}f}"


def amount(value: Decimal | None, *, estimated: bool = False) -> str:
    """Write an amount of no certain unit: six digits of it, and no zeros behind its last; of an estimate the least."""
    if value is None:
        return "-"
    if estimated:
        return digits(float(value), LEAST_DIGITS)
    text = f"{value:,.0f}" if abs(value) >= 10**6 else f"{Decimal(f'{value:.6g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: int | None) -> str:
    """Write a count in full, 12,345."""
    return UNKNOWN if value is None else f"{value:,}"


def share(part: int, whole: int) -> str:
    """Write a part of a whole in per cent; a part that is there never rounds to none, nor a gap to all."""
    return "–" if whole == 0 else percent(part / whole)


def percent(fraction: float) -> str:
    """Write a fraction in per cent, under the same rule."""
    value = 100 * fraction
    if 0 < value < 1:
        return "<1 %"
    if 99 < value < 100:
        return ">99 %"
    return f"{value:.0f} %"
