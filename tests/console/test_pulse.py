from __future__ import annotations

from proxy.console.pulse import LINES_DRAWN, OTHERS, STEP_S, STEPS, TEAMS, Pulse, chart
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
    assert "7.50 tokens/s, 4 calls in the last minute" in " ".join(Page(pulse.section()).words)
    clock.now += STEPS * STEP_S
    assert pulse.lines() == {}
    assert pulse.section() == ""


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


def test_a_chart_has_the_largest_teams_by_name_and_the_others_together():
    clock = Clock()
    pulse = Pulse(clock)
    for number in range(TEAMS + 3):  # the last three share a line from the beginning
        pulse.add([call_row(team=f"team-{number:02}", input_tokens=1000 * (number + 1))])
    clock.now += STEP_S
    pulse.add([call_row(team=None, **UNMETERED)])
    clock.now += STEP_S
    lines = pulse.lines()
    told = chart(lines)
    every, *teams, others = told.lines
    assert [each.name for each in teams] == [f"team-{n:02}" for n in range(TEAMS - LINES_DRAWN, TEAMS)]
    assert (every.key, every.mute, others.key, others.name) == ("all", True, "others", OTHERS)
    for place in range(STEPS - 1):
        assert sum(each.values[place] for each in (*teams, others)) == every.values[place]
        assert every.values[place] * STEP_S == sum(tokens[place] for _, tokens in lines.values())
    assert every.said[-2:] == [("24,200 tokens/s", "", "15 calls"), ("0 tokens/s", "", "1 call")]
    assert every.said[0] is None
    assert every.whole == ("2,010 tokens/s", "", "16 calls")
    assert told.times[-1] == "5 s ago"
    assert {time: label for time, label in zip(told.times, told.labels, strict=True) if label} == {
        "120 s ago": "2 min ago",
        "60 s ago": "1 min ago",
    }


def test_a_page_is_drawn_once_a_step():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.add([call_row(team="a")])
    clock.now += STEP_S
    drawn = pulse.section()
    pulse.add([call_row(team="a")])
    assert pulse.section() is drawn
    clock.now += STEP_S
    assert "2 calls in the last minute" in " ".join(Page(pulse.section()).words)


def test_names_stay_text():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.add([call_row(team=MARKUP), call_row(team=None)])
    clock.now += STEP_S
    page = Page(pulse.section())
    assert (page.count("script"), page.count("img"), page.count("polyline")) == (0, 0, 2)
    assert "none" in page.words
