from __future__ import annotations

from proxy.console.pulse import OTHERS, STEP_S, STEPS, TEAMS, Pulse, pulse_section
from tests.console.test_page import MARKUP, Page
from tests.rows import UNMETERED, call_row


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0 * STEP_S

    def __call__(self) -> float:
        return self.now


def test_tokens_come_by_team_and_step_and_go_again():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.add([call_row(team="a"), call_row(team="a"), call_row(team="b", **UNMETERED)])
    assert pulse.lines() == {}  # the step is not over
    clock.now += STEP_S
    pulse.add([call_row(team="a")])
    clock.now += STEP_S
    calls, tokens = pulse.lines()["a"]
    assert (calls[-2:], tokens[-2:], len(calls)) == ([2, 1], [300, 150], STEPS - 1)
    assert pulse.lines()["b"][1] == [0] * (STEPS - 1)
    assert "7.50 tokens/s, 4 calls in the last minute" in " ".join(Page(pulse_section(pulse)).words)
    clock.now += STEPS * STEP_S
    assert pulse.lines() == {}
    assert pulse_section(pulse) == ""


def test_memory_is_bounded_and_what_has_ended_makes_room():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.add([call_row(team=f"team-{n}") for n in range(500)])
    clock.now += STEP_S
    lines = pulse.lines()
    assert len(lines) == TEAMS + 1
    assert sum(sum(calls) for calls, _ in lines.values()) == 500
    assert sum(lines[OTHERS][0]) == 500 - TEAMS
    clock.now += STEPS * STEP_S
    pulse.add([call_row(team="late")])
    clock.now += STEP_S
    assert list(pulse.lines()) == ["late"]


def test_names_stay_text():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.add([call_row(team=MARKUP), call_row(team=None)])
    clock.now += STEP_S
    page = Page(pulse_section(pulse))
    assert (page.count("script"), page.count("img"), page.count("polyline")) == (0, 0, 2)
    assert "none" in page.words
