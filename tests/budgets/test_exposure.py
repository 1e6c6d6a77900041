"""The memory that gates share: no order of events takes more than is allowed, and nothing stays behind."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.budgets.exposure import Exposure

WORKERS = 3
WRAP = 2**64


def exposure() -> Exposure:
    made = Exposure(WORKERS, slots=2, clock_ns=lambda: 0)
    made.claim(1, 7)
    made.allow(1, 100, 1)
    return made


def test_a_lease_ends_at_its_time():
    now = 10
    made = Exposure(1, slots=1, clock_ns=lambda: now)
    assert made.allowed(0) is None
    made.allow(0, 5, 12)
    assert made.allowed(0) == 5
    now = 12
    assert made.allowed(0) is None


def test_what_was_closed_may_go_round():
    made = exposure()
    for steps in (WRAP - 5, 12):
        made.close(1, 0, steps)
        if steps != 12:
            made.record(1, made.closed(1))
    assert made.exposed(1) == 12
    made.record(1, made.closed(1))
    assert made.exposed(1) == 0


def test_who_takes_the_place_of_a_worker_has_nothing_open():
    made = exposure()
    made.reserve(1, 0, 30)
    made.reserve(1, 1, 20)
    made.close(1, 0, 7)
    made.begin(0)
    assert made.exposed(1) == 27


def test_the_program_after_a_restart_goes_on_with_the_memory_and_in_other_columns():
    before = exposure()
    before.begin(0)
    before.reserve(1, 0, 30)
    before.reserve(1, 2, 20)  # of one that has ended
    before.close(1, 0, 7)
    handed_on = msgspec.structs.replace(before.shared, fd=os.dup(before.shared.fd))
    after = Exposure(2, clock_ns=lambda: 0, shared=handed_on, occupied=[0, 1])
    assert (after.columns, after.places()) == ([2, 3], {7: 1})
    assert (before.taken_over, after.taken_over) == (True, False)
    assert after.reserve(1, 3, 40) == 77
    assert before.exposed(1) == 77
    after.record(1, after.closed(1))
    assert before.exposed(1) == 70
    after.vacate(0)
    assert before.exposed(1) == 40


def test_memory_without_room_or_of_another_release_is_not_taken_over():
    before = exposure()
    for shared, occupied in (
        (before.shared, range(before.shared.columns - 1)),
        (msgspec.structs.replace(before.shared, format=0), ()),
    ):
        with pytest.raises(ValueError, match="no room"):
            Exposure(2, shared=shared, occupied=occupied)
    assert not before.taken_over


class AnyOrder(RuleBasedStateMachine):
    """Calls, deaths of workers and of the recorder, in any order; what is in the journal is known here."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = exposure()
        self.open: list[tuple[int, int]] = []  # worker, steps reserved
        self.journal: list[int] = []  # used, and not recorded
        self.looked: Any = None
        self.pending = 0  # of the journal, that was there at the last look

    @rule(worker=st.integers(0, WORKERS - 1), steps=st.integers(0, 60))
    def ask(self, worker: int, steps: int) -> None:
        if self.memory.reserve(1, worker, steps) > 100:
            self.memory.release(1, worker, steps)
        else:
            self.open.append((worker, steps))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1))
    def end(self, data: st.DataObject, share: float) -> None:
        worker, steps = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        took = int(steps * share)
        self.journal.append(took)
        self.memory.close(1, worker, took)
        self.memory.release(1, worker, steps)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def be_killed_between_journal_and_memory(self, data: st.DataObject) -> None:
        worker, steps = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.journal.append(steps)
        self.kill(worker)

    @rule(worker=st.integers(0, WORKERS - 1))
    def kill(self, worker: int) -> None:
        self.open = [each for each in self.open if each[0] != worker]
        self.memory.begin(worker)

    @rule()
    def look(self) -> None:
        self.looked, self.pending = self.memory.closed(1), len(self.journal)

    @precondition(lambda self: self.looked is not None)
    @rule(dies=st.booleans())
    def record(self, dies: bool) -> None:
        del self.journal[: self.pending]
        if not dies:
            self.memory.record(1, self.looked)
        self.looked = None

    @invariant()
    def all_that_is_open_or_unrecorded_is_within_what_is_allowed(self) -> None:
        assert 0 <= sum(steps for _, steps in self.open) <= self.memory.exposed(1) <= 100

    def teardown(self) -> None:
        while self.open:
            worker, steps = self.open.pop()
            self.memory.close(1, worker, 0)
            self.memory.release(1, worker, steps)
        self.memory.record(1, self.memory.closed(1))
        assert self.memory.exposed(1) == 0
        assert self.memory.exposed(0) == 0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
