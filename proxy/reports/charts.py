"""Bars over days as SVG, for pages without a script and for paper: an axis with round numbers, bands as whiskers.

Colors and sizes stand on the shapes themselves: what makes a PDF of a page applies the page's style to its text alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 220  # of the drawing, in its own units; it is scaled to the page
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 12, 30  # what is kept free of bars, for the axes
_STEPS = (1, 2, 2.5, 5, 10)  # round numbers to count in
_LINES = 4  # about how many lines an axis has
_LABELS = 10  # how many days are named at most
_GAP = 0.25  # of a bar's place
_BAR, _BAND, _RULE, _SOFT = "#1f6f54", "#12382b", "#dedcd4", "#56625c"
_TEXT = f'fill="{_SOFT}" font-size="12" font-family="system-ui, sans-serif"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar; ``value`` None is unknown and leaves a gap, the band is drawn where there is one."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    said: str  # shown where it is pointed at, and read aloud


def step_for(peak: float) -> float:
    """Give the distance of an axis's lines: a round number, so that about four fit under the peak."""
    if peak <= 0:
        return 1.0
    rough = peak / _LINES
    size = 10.0 ** math.floor(math.log10(rough))
    return next(size * step for step in _STEPS if size * step >= rough * (1 - 1e-9))


def bars(title: str, unit: str, what: Sequence[Bar]) -> str:
    """Draw bars side by side; ``unit`` stands over the axis, ``title`` is for who cannot see it."""
    peak = max((each.high or each.value or 0.0 for each in what), default=0.0)
    step = step_for(peak)
    top = max(step, math.ceil(peak / step - 1e-9) * step)
    place = (WIDTH - _LEFT - _RIGHT) / max(1, len(what))

    def height(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / top

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text x="0" y="{_TOP - 2}" {_TEXT}>{escape(unit)}</text>',
    ]
    for number in range(round(top / step) + 1):
        y = height(number * step)
        parts.append(f'<line stroke="{_RULE}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}" {_TEXT}>{number * step:,.10g}</text>')
    every = max(1, math.ceil(len(what) / _LABELS))
    for number, bar in enumerate(what):
        left, middle = _LEFT + place * (number + _GAP / 2), _LEFT + place * (number + 0.5)
        parts.append(f"<g><title>{escape(bar.said)}</title>")
        if bar.value is not None:
            y = height(bar.value)
            parts.append(
                f'<rect fill="{_BAR}" x="{left:.1f}" y="{y:.1f}" width="{place * (1 - _GAP):.1f}"'
                f' height="{HEIGHT - _BOTTOM - y:.1f}"/>'
            )
        if bar.low is not None and bar.high is not None:
            parts.append(
                f'<line stroke="{_BAND}" stroke-width="1.4" x1="{middle:.1f}" x2="{middle:.1f}"'
                f' y1="{height(bar.high):.1f}" y2="{height(bar.low):.1f}"/>'
            )
        parts.append("</g>")
        if number % every == 0:
            day = f'<text text-anchor="middle" x="{middle:.1f}" y="{HEIGHT - _BOTTOM + 18}" {_TEXT}>'
            parts.append(f"{day}{escape(bar.label)}</text>")
    return "".join((*parts, "</svg>"))
