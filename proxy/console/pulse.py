"""How much goes on right now: tokens by team over the last minutes, in memory that does not grow with traffic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from html import escape

from proxy.console.marks import name
from proxy.ledger.tables import CallRow
from proxy.reports.figures import count, digits

STEP_S = 5  # what one point of a line spans
STEPS = 36
TEAMS = 12  # with a line of their own; the others share one
NOW_STEPS = 12  # over which "now" is averaged
OTHERS = "all other teams"

Line = list[tuple[int, int, int]]  # by turns: the number of the step, calls, tokens


class Pulse:
    """Counts calls and tokens as they are recorded; from any thread. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str | None, Line] = {}
        self._lock = threading.Lock()

    def add(self, rows: Sequence[CallRow]) -> None:
        """Take newly recorded calls."""
        with self._lock:
            step = self._step()
            for row in rows:
                line = self._lines.get(row.team) or self._line(row.team, step)
                number, calls, tokens = line[step % STEPS]
                if number != step:
                    calls = tokens = 0
                more = (row.input_tokens or 0) + (row.output_tokens or 0)
                line[step % STEPS] = (step, calls + 1, tokens + more)

    def lines(self) -> dict[str | None, tuple[list[int], list[int]]]:
        """Give each team's calls and tokens by step, the oldest first, the step that is not over left out."""
        with self._lock:
            last = self._step()
            found = {}
            for team, line in self._lines.items():
                known = {number: (calls, tokens) for number, calls, tokens in line}
                points = [known.get(step, (0, 0)) for step in range(last - STEPS + 1, last)]
                if any(calls for calls, _ in points):
                    found[team] = ([calls for calls, _ in points], [tokens for _, tokens in points])
            return found

    def _step(self) -> int:
        return int(self._clock() // STEP_S)

    def _line(self, team: str | None, step: int) -> Line:
        """Begin a team's line, in the place of one that is over; where there is no place, give the others' line."""
        over = [key for key, line in self._lines.items() if max(number for number, _, _ in line) <= step - STEPS]
        for key in over:
            del self._lines[key]
        own = sum(key != OTHERS for key in self._lines) < TEAMS
        return self._lines.setdefault(team if own else OTHERS, [(-1, 0, 0)] * STEPS)


def pulse_section(pulse: Pulse) -> str:
    """Draw what goes on; nothing where nothing does."""
    lines = pulse.lines()
    if not lines:
        return ""
    seconds = NOW_STEPS * STEP_S
    ranked = sorted(lines.items(), key=lambda each: (-sum(each[1][1]), each[0] or ""))
    tokens = sum(sum(line[-NOW_STEPS:]) for _, line in lines.values())
    calls = sum(sum(line[-NOW_STEPS:]) for line, _ in lines.values())
    peak = max(max(line) for _, line in lines.values())
    drawn = "".join(
        f"<li><span>{name(team)}</span>{_spark(line, peak)}<span>{_rate(sum(line[-NOW_STEPS:]), seconds)}</span></li>"
        for team, (_, line) in ranked
    )
    minutes = STEPS * STEP_S // 60
    return (
        f"<h2>Now <small>{_rate(tokens, seconds)}, {count(calls)} calls in the last minute</small></h2>"
        f'<ul class="pulse" aria-label="Tokens by team over {minutes} minutes">{drawn}</ul>'
    )


def _rate(tokens: int, seconds: int) -> str:
    return f"{digits(tokens / seconds)} tokens/s"


def _spark(line: Sequence[int], peak: int) -> str:
    """Draw a line from 0 to the peak of all lines, as attributes only: the page allows no inline style."""
    points = " ".join(f"{at},{20 - 18 * each / (peak or 1):.1f}" for at, each in enumerate(line))
    return (
        f'<svg viewBox="0 0 {len(line) - 1} 21" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline vector-effect="non-scaling-stroke" points="{escape(points)}"/></svg>'
    )
