"""Conversions, all in one place; everything else is SI and says its unit in its name."""

from __future__ import annotations

from typing import Final

JOULES_PER_WH: Final = 3_600.0
JOULES_PER_KWH: Final = 3_600_000.0
SECONDS_PER_YEAR: Final = 365.0 * 24 * 3_600
GRAMS_PER_KG: Final = 1_000.0

_PREFIXES: Final = (
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
)


def with_prefix(value: float, unit: str, digits: int = 4) -> str:
    """Write a quantity with the SI prefix that suits it: ``with_prefix(188.06e12, "FLOP")`` is ``188.1 TFLOP``."""
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{value / factor:.{digits}g} {prefix}{unit}"
    factor, prefix = _PREFIXES[-1]
    return f"{value / factor:.{digits}g} {prefix}{unit}"
