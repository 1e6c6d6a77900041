"""What there is to tell, and the rule by which a team's day is out of its own pattern."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Event = Literal["budget", "unpriced", "anomaly", "statement", "test"]

DAYS_NEEDED = 8  # of the same kind (workdays, weekends) with calls, to know a pattern
NORMAL_MAD = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
DEVIATIONS = 6.0  # beyond so many a day is out of the pattern…
TIMES = 2.0  # …if it is also so many times the median: a steady team's small step is no alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell once: ``event``, ``subject`` and ``period`` are its name. ``facts`` are JSON for programs."""

    event: Event
    subject: str  # the budget, the team; "" where it is about all
    period: str  # 2026-11-28, 2026-11, or the window and the share of it
    title: str
    text: str
    facts: Mapping[str, Any]


def usual(history: Sequence[float]) -> tuple[float, float] | None:
    """Give the median of days and the figure beyond which a day is out of their pattern; ``None``: too few days.

    Median and median absolute deviation: one day that was out of the pattern itself does not hide the next.

    >>> usual([10, 12, 11, 9, 10, 11, 10, 100])
    (10.5, 21.0)
    """
    if len(history) < DAYS_NEEDED:
        return None
    median = statistics.median(history)
    spread = statistics.median(abs(each - median) for each in history)
    return median, max(median + DEVIATIONS * NORMAL_MAD * spread, TIMES * median)
