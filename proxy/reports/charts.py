"""Bars as SVG, for pages without a script and for paper: an axis with round numbers, bands as whiskers.

Colors and sizes stand on the shapes themselves: what makes a PDF of a page applies the page's style to its text alone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from unicodedata import east_asian_width

from proxy.reports.figures import UNKNOWN

WIDTH, HEIGHT = 760, 220  # of the drawing, in its own units; it is scaled to the page
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 24, 30  # what is kept free of bars, for the axes and their unit
_UNIT = 11  # the line on which the unit stands, over the axis's first number
_STEPS = (1, 2, 2.5, 5, 10)  # round numbers to count in
_LINES = 4  # about how many lines an axis has
_CHARACTER, _WIDE = 7.2, 12.0  # about how wide a character is, and the widest
_GAP = 0.25  # of a bar's place
_BAR, _BAND, _RULE, _SOFT = "#1f6f54", "#12382b", "#dedcd4", "#56625c"
_NAMES, _LINE = 240, 22  # of bars that lie: room for their names, and from one to the next
_BESIDE = 8  # between a name and its bar
_TEXT = f'fill="{_SOFT}" font-size="12" font-family="system-ui, sans-serif"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar; ``value`` None is unknown: the word or, where there is room, a question mark. Bands where known."""

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


def _axis(what: Sequence[Bar]) -> tuple[float, int]:
    """Give the distance of an axis's lines, and how many steps it has."""
    peak = max((each.high or each.value or 0.0 for each in what), default=0.0)
    step = step_for(peak)
    return step, max(1, math.ceil(peak / step - 1e-9))


def _begin(title: str, unit: str, height: float, left: float = 0) -> list[str]:
    return [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">',
        f'<text x="{left:g}" y="{_UNIT}" {_TEXT}>{escape(unit)}</text>',
    ]


def bars(title: str, unit: str, what: Sequence[Bar]) -> str:
    """Draw bars side by side; ``unit`` stands over the axis, ``title`` is for who cannot see it."""
    step, steps = _axis(what)
    place = (WIDTH - _LEFT - _RIGHT) / max(1, len(what))

    def height(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / (step * steps)

    parts = _begin(title, unit, HEIGHT)
    for number in range(steps + 1):
        y = height(number * step)
        parts.append(f'<line stroke="{_RULE}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}" {_TEXT}>{number * step:,.10g}</text>')
    widest = max((len(each.label) for each in what), default=0) + 2
    every = max(1, math.ceil(widest * _CHARACTER / place))
    for number, bar in enumerate(what):
        left, middle = _LEFT + place * (number + _GAP / 2), _LEFT + place * (number + 0.5)
        parts.append(f"<g><title>{escape(bar.said)}</title>")
        if bar.value is not None:
            y = height(bar.value)
            parts.append(
                f'<rect fill="{_BAR}" x="{left:.1f}" y="{y:.1f}" width="{place * (1 - _GAP):.1f}"'
                f' height="{HEIGHT - _BOTTOM - y:.1f}"/>'
            )
        elif place >= _CHARACTER:
            parts.append(f'<text text-anchor="middle" x="{middle:.1f}" y="{HEIGHT - _BOTTOM - 4}" {_TEXT}>?</text>')
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


def lines(title: str, unit: str, what: Sequence[Bar]) -> str:
    """Draw bars below each other, each behind its name: for what has no order of its own."""
    step, steps = _axis(what)
    height = _TOP + _BOTTOM + _LINE * len(what)

    def place(value: float) -> float:
        return _NAMES + (WIDTH - _NAMES - 2 * _RIGHT) * value / (step * steps)

    parts = _begin(title, unit, height, _NAMES)
    for number in range(steps + 1):
        x, bottom = place(number * step), height - _BOTTOM
        parts.append(f'<line stroke="{_RULE}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP + 2}" y2="{bottom}"/>')
        parts.append(f'<text text-anchor="middle" x="{x:.1f}" y="{bottom + 16}" {_TEXT}>{number * step:,.10g}</text>')
    for number, bar in enumerate(what):
        y, middle = _TOP + _LINE * (number + _GAP / 2) + 2, _TOP + _LINE * (number + 0.5) + 2
        name = escape(_fitting(bar.label))
        parts.append(f"<g><title>{escape(bar.said)}</title>")
        parts.append(f'<text text-anchor="end" x="{_NAMES - _BESIDE}" y="{middle + 4:.1f}" {_TEXT}>{name}</text>')
        if bar.value is not None:
            width = place(bar.value) - _NAMES
            parts.append(
                f'<rect fill="{_BAR}" x="{_NAMES}" y="{y:.1f}" width="{width:.1f}" height="{_LINE * (1 - _GAP):.1f}"/>'
            )
        else:
            parts.append(f'<text font-style="italic" x="{_NAMES + 6}" y="{middle + 4:.1f}" {_TEXT}>{UNKNOWN}</text>')
        if bar.low is not None and bar.high is not None:
            parts.append(
                f'<line stroke="{_BAND}" stroke-width="1.4" x1="{place(bar.low):.1f}" x2="{place(bar.high):.1f}"'
                f' y1="{middle:.1f}" y2="{middle:.1f}"/>'
            )
        parts.append("</g>")
    return "".join((*parts, "</svg>"))


def _fitting(name: str) -> str:
    """Write a name in one line; one that is too long for its room loses its middle, since names differ at both ends."""
    text, room = " ".join(name.split()), _NAMES - _BESIDE
    widths = [_width(character) for character in text]
    if sum(widths) <= room:
        return text
    half = (room - _WIDE) / 2
    first, last = (bisect_right(list(accumulate(each)), half) for each in (widths, reversed(widths)))
    return f"{text[:first]}…{text[len(text) - last :]}"


def _width(character: str) -> float:
    wide = character.isupper() or character in "mw" or east_asian_width(character) in "WF"
    return _WIDE if wide else _CHARACTER
