from __future__ import annotations

from proxy.console.recent import RecentCalls
from tests.rows import call_row


def test_the_latest_come_first_and_the_oldest_go():
    recent = RecentCalls(capacity=3)
    rows = [call_row() for _ in range(5)]
    recent.add(rows[:2])
    assert recent.latest(10) == (2, [rows[1], rows[0]])
    recent.add(rows[2:])
    assert recent.latest(2) == (5, [rows[4], rows[3]])
    assert recent.latest(10) == (5, [rows[4], rows[3], rows[2]])


def test_what_came_after_a_number():
    recent = RecentCalls(capacity=3)
    rows = [call_row() for _ in range(5)]
    recent.add(rows)
    assert recent.after(5) == (5, [])
    assert recent.after(4) == (5, [rows[4]])
    assert recent.after(0) == (5, rows[:1:-1])  # two are gone
    assert recent.after(900) == (5, rows[:1:-1])  # a number from before a restart


def test_the_ledgers_last_calls_go_behind_what_came_in_meanwhile_once():
    recent = RecentCalls(capacity=4)
    old, new = [call_row() for _ in range(4)], [call_row() for _ in range(2)]
    recent.add(new)
    recent.seed([new[1], new[0], *reversed(old)])
    assert recent.latest(10) == (2, [new[1], new[0], old[3], old[2]])
    recent.seed([call_row()])
    assert len(recent.latest(10)[1]) == 4
    assert recent.after(0) == (2, [new[1], new[0]])
