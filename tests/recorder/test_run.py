"""The loop, from its start to its end."""

from __future__ import annotations

import threading
import time

import pytest

from tests.records import closed, opened


def test_run_works_until_stopped_and_records_what_is_left(bench):
    journal = bench.journal()
    recorder = bench.recorder(clock=time.time)
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,))
    thread.start()
    begun = opened()
    for record in (begun, closed(), closed()):
        journal.append(record)
    while len(bench.heard) < 2:
        time.sleep(0.01)
    journal.append(closed(begun))
    journal.close()
    stop.set()
    thread.join()
    assert len(bench.rows()) == 3
    assert (recorder.active, recorder.problem) == (False, None)


@pytest.mark.parametrize("step_s", [-7200, 7200])
@pytest.mark.parametrize(("looks_s", "recorded"), [(0, 9), (3, 2)], ids=["in time", "too long"])
def test_what_is_left_at_a_shutdown_is_bounded_by_time_that_passes_and_not_by_a_clock_that_is_set(
    bench, step_s, looks_s, recorded
):
    passed, journal = [0.0], bench.journal()
    left = iter([closed() for _ in range(8)])

    def step(rows) -> None:
        bench.heard.extend(rows)
        bench.now += step_s
        passed[0] += looks_s
        for each in left:
            journal.append(each)
            break

    recorder = bench.recorder(on_rows=step, elapsed=lambda: passed[0])
    journal.append(closed())
    stop = threading.Event()
    stop.set()
    recorder.run(stop)
    assert len(bench.heard) == recorded
    journal.close()


def test_run_says_why_it_stands_still_and_goes_on_by_itself(bench):
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal_positions RENAME TO away")
    journal, recorder = bench.journal(), bench.recorder(clock=time.time)
    journal.append(closed())
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,))
    thread.start()
    while recorder.problem is None:
        time.sleep(0.01)
    assert "journal_positions" in recorder.problem
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO journal_positions")
    while not bench.heard:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert recorder.problem is None
    journal.close()
