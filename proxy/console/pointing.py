"""What a chart is told that can be pointed at: numbers to draw by, and for each the words that pages have for it.

The script rounds nothing and knows no unit: what it says of a time is what the server wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

import msgspec

Said = tuple[str, str, str]  # a figure, its band, and what is to be said beside it
Values = Sequence[float | None]

_DRAWN_DIGITS = 4  # more than a chart has pixels


class Line(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One thing over time; None in ``values`` is a gap, in ``said`` that there were no calls."""

    key: str
    name: str | None  # None: of calls that name none
    whole: Said  # of all of the time
    values: Values
    said: Sequence[Said | None]
    low: Values = ()
    high: Values = ()
    off: bool = False  # not drawn until it is switched on
    mute: bool = False  # never drawn: the sum of what is stacked


class Zoom(msgspec.Struct, kw_only=True, frozen=True):
    """Where a stretch of the times leads: an address, without a period, and each time's first and last moment."""

    address: str
    starts: Sequence[str]
    ends: Sequence[str]
    finer: str | None  # the same in shorter steps
    finer_most: int  # times for which it is that


class Chart(msgspec.Struct, kw_only=True, frozen=True):
    """A chart over ``times``; ``labels`` are for its axis, None where none may stand, an hour over its day."""

    title: str
    unit: str
    kind: Literal["bars", "lines", "stack"]
    times: Sequence[str]
    labels: Sequence[str | None]
    whole: str  # what all of the time is called
    note: str  # what is to be known of what is drawn
    lines: Sequence[Line]
    zoom: Zoom | None = None


def attribute(chart: Chart) -> str:
    """Write the attribute of an element that a script makes a chart of."""
    return f'data-chart="{escape(msgspec.json.encode(chart).decode())}"'


def drawn(value: float | None, size: float = 1.0) -> float | None:
    """Give a value to draw by, in units of ``size``."""
    return None if value is None else float(f"{value / size:.{_DRAWN_DIGITS}g}")


def key_of(name: str | None) -> str:
    """Tell a name from none, and both from other lines."""
    return "none" if name is None else f"={name}"
