"""How much goes on right now: tokens by team over the last minutes, in memory that does not grow with traffic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape

from proxy.console.marks import name
from proxy.console.pointing import Chart, Line, Said, attribute, drawn, key_of
from proxy.ledger.tables import CallRow
from proxy.reports.figures import count, digits

STEP_S = 5  # what one point of a line spans
STEPS = 36
TEAMS = 12  # with a line of their own; the others share one
OTHERS = "all other teams"
LINES_DRAWN = 8  # as many as there are colors that can be told apart; the other teams share one
_MINUTE = 60 // STEP_S  # steps; over these "now" is averaged

Ring = list[tuple[int, int, int]]  # by turns: the number of the step, calls, tokens
Counts = tuple[Sequence[int], Sequence[int]]  # by step: calls, tokens


class Pulse:
    """Counts calls and tokens as they are recorded; from any thread. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str | None, Ring] = {}
        self._lock = threading.Lock()
        self._section = -1, ""

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

    def lines(self) -> dict[str | None, Counts]:
        """Give each team's calls and tokens by step, the oldest first, the step that is not over left out."""
        with self._lock:
            last = self._step()
            found: dict[str | None, Counts] = {}
            for team, line in self._lines.items():
                known = {number: (calls, tokens) for number, calls, tokens in line}
                points = [known.get(step, (0, 0)) for step in range(last - STEPS + 1, last)]
                if any(calls for calls, _ in points):
                    found[team] = ([calls for calls, _ in points], [tokens for _, tokens in points])
            return found

    def section(self) -> str:
        """Draw what goes on; nothing where nothing does. Once a step, however many pages are open."""
        step = self._step()
        if self._section[0] != step:
            self._section = step, pulse_section(self.lines())
        return self._section[1]

    def _step(self) -> int:
        return int(self._clock() // STEP_S)

    def _line(self, team: str | None, step: int) -> Ring:
        """Begin a team's line, in the place of one that is over; where there is no place, give the others' line."""
        over = [key for key, line in self._lines.items() if max(number for number, _, _ in line) <= step - STEPS]
        for key in over:
            del self._lines[key]
        own = sum(key != OTHERS for key in self._lines) < TEAMS
        return self._lines.setdefault(team if own else OTHERS, [(-1, 0, 0)] * STEPS)


def pulse_section(lines: Mapping[str | None, Counts]) -> str:
    """Draw each team's line, and what a script needs for a chart of all of them."""
    if not lines:
        return ""
    seconds = _MINUTE * STEP_S
    ranked = sorted(lines.items(), key=lambda each: (-sum(each[1][1]), each[0] or ""))
    tokens = sum(sum(line[-_MINUTE:]) for _, line in lines.values())
    calls = sum(sum(line[-_MINUTE:]) for line, _ in lines.values())
    peak = max(max(line) for _, line in lines.values())
    rows = "".join(
        f"<li><span>{name(team)}</span>{_spark(line, peak)}<span>{_rate(sum(line[-_MINUTE:]), seconds)}</span></li>"
        for team, (_, line) in ranked
    )
    minutes = STEPS * STEP_S // 60
    return (
        f"<h2>Now <small>{_rate(tokens, seconds)}, {count(calls)} calls in the last minute</small></h2>"
        f'<ul class="pulse" aria-label="Tokens by team over {minutes} minutes" {attribute(chart(lines))}>{rows}</ul>'
    )


def chart(lines: Mapping[str | None, Counts]) -> Chart:
    """Make what the script stacks: the teams with the most tokens by their names, and the others together."""
    ranked = sorted(lines, key=lambda team: (team == OTHERS, -sum(lines[team][1]), team or ""))
    named = sorted(ranked[:LINES_DRAWN], key=lambda team: (team == OTHERS, team is None, team or ""))
    shown = [_line(key_of(team), team, lines[team]) for team in named if team != OTHERS]
    if others := [lines[team] for team in lines if team not in named or team == OTHERS]:
        shown.append(_line("others", OTHERS, _summed(others)))
    steps = STEPS - 1
    return Chart(
        title="Tokens a second by team",
        unit="tokens/s",
        kind="stack",
        times=[f"{(steps - step) * STEP_S} s ago" for step in range(steps)],
        labels=[_minutes_ago(steps - step) for step in range(steps)],
        whole="Last minute",
        note="",
        lines=[_line("all", "All teams", _summed(list(lines.values())), mute=True), *shown],
    )


def _summed(several: Sequence[Counts]) -> Counts:
    calls, tokens = zip(*several, strict=True)
    return [sum(step) for step in zip(*calls, strict=True)], [sum(step) for step in zip(*tokens, strict=True)]


def _line(key: str, team: str | None, counts: Counts, *, mute: bool = False) -> Line:
    calls, tokens = counts

    def said(calls: int, tokens: int, seconds: int) -> Said:
        return _rate(tokens, seconds), "", f"{count(calls)} call{'s' * (calls != 1)}"

    return Line(
        key=key,
        name=team,
        whole=said(sum(calls[-_MINUTE:]), sum(tokens[-_MINUTE:]), _MINUTE * STEP_S),
        values=[drawn(each / STEP_S) for each in tokens],
        said=[said(*step, STEP_S) if step[0] else None for step in zip(calls, tokens, strict=True)],
        mute=mute,
    )


def _minutes_ago(steps: int) -> str | None:
    minutes, rest = divmod(steps, _MINUTE)
    return None if rest else f"{minutes} min ago"


def _rate(tokens: int, seconds: int) -> str:
    return f"{digits(tokens / seconds)} tokens/s"


def _spark(line: Sequence[int], peak: int) -> str:
    """Draw a line from 0 to the peak of all lines, as attributes only: the page allows no inline style."""
    points = " ".join(f"{at},{20 - 18 * each / (peak or 1):.1f}" for at, each in enumerate(line))
    return (
        f'<svg viewBox="0 0 {len(line) - 1} 21" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline vector-effect="non-scaling-stroke" points="{escape(points)}"/></svg>'
    )
