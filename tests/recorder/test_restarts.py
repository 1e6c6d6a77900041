"""One recorder goes on where another stopped, wherever that was."""

from __future__ import annotations

import pytest

from proxy.journal import frame
from tests.recorder.bench import catch_up
from tests.records import closed, opened


def test_another_recorder_goes_on_where_the_last_one_stopped(bench):
    journal = bench.journal(segment_bytes=1500)
    first = bench.recorder()
    long, other = opened(), opened()
    for record in (long, other, *(closed() for _ in range(10))):
        journal.append(record)
    catch_up(first)
    journal.append(closed(other))
    catch_up(first)
    first.close()
    heard = len(bench.heard)
    assert heard == 11
    second = bench.recorder()
    catch_up(second)
    assert len(bench.heard) == heard  # nothing is told twice
    assert second.record_counts["recorded"] == 0
    assert (second.record_counts["opened"], second.record_counts["closed"]) == (0, 0)
    assert second.calls_in_flight == 1  # the call that ended in a segment already read is known to be done
    journal.append(closed(long))
    catch_up(second)
    assert len(bench.rows()) == 12
    assert second.calls_in_flight == 0
    journal.close()


def test_a_crash_between_commit_and_deleting_the_segment_records_nothing_twice(bench):
    journal = bench.journal()
    for _ in range(10):
        journal.append(closed())
    journal.append(closed(opened(team="\udcff")))  # a loss, which has no id to be recognised by
    journal.tick()
    journal.close()
    (name,) = bench.segments()
    kept = (bench.journals / name).read_bytes()
    position = None

    class Killed(BaseException):
        pass

    def die(rows: object) -> None:
        nonlocal position
        position = bench.positions()
        raise Killed

    with pytest.raises(Killed):
        catch_up(bench.recorder(on_rows=die))
    bench.recorders[-1].close()
    assert position == {name: (len(kept), len(kept))}
    assert bench.segments() == [name]
    second = bench.recorder()
    catch_up(second)
    assert len(bench.rows()) == 10
    assert bench.heard == []
    assert second.record_counts["lost"] == 0  # counted by the one that died
    assert bench.segments() == []


def test_a_crash_between_deleting_the_segment_and_its_position_leaves_no_position(bench):
    journal, recorder = bench.journal(), bench.recorder()
    journal.append(closed())
    catch_up(recorder)
    recorder.close()
    journal.close()
    (bench.journals / bench.segments()[0]).unlink()
    assert len(bench.positions()) == 1
    catch_up(bench.recorder())
    assert bench.positions() == {}


def test_the_same_records_read_again_without_positions_change_nothing(bench):
    records = [closed() for _ in range(30)]
    for number in (1, 2):
        bench.journals.mkdir(exist_ok=True)
        name = f"gate-1-179500000000000{number}-000001.journal"
        (bench.journals / name).write_bytes(b"".join(map(frame, (*records, records[0]))))
        recorder = bench.recorder()
        catch_up(recorder)
        recorder.close()
        assert len(bench.rows()) == 30
        assert len(bench.heard) == 30
        assert bench.segments() == []


def test_of_two_recorders_on_one_directory_one_works_and_the_other_takes_over(bench):
    journal = bench.journal()
    first, second = bench.recorder(), bench.recorder()
    journal.append(closed())
    catch_up(first)
    assert second.run_once() == 0
    assert (first.active, second.active) == (True, False)
    first.close()
    journal.append(closed())
    catch_up(second)
    assert second.active
    assert len(bench.rows()) == len(bench.heard) == 2
    journal.close()


@pytest.mark.parametrize("step_s", [-7200, 7200])
def test_a_clock_that_is_set_while_calls_run_loses_and_doubles_none(bench, step_s):
    """Calls begin before the step and end after it, gates start at times that were there before."""
    clock = [bench.now]
    recorder = bench.recorder(clock=lambda: clock[0])

    def at(begun_s: float) -> int:
        return int(begun_s * 1e6)

    before = bench.journal(segment_bytes=1500, clock=lambda: clock[0])
    running = [opened(started_at_us=at(clock[0])) for _ in range(5)]
    for begun in running:
        assert before.append(begun)
    recorder.run_once(3)
    clock[0] += step_s
    ended = running[:3]
    for begun in ended:  # how long they took is measured by another clock
        assert before.append(closed(begun, ended_at_us=begun.started_at_us + 1_000_000, latency_us=1_000_000))
    after = bench.journal(clock=lambda: clock[0])  # the same name, at a time that was there before, or is yet to come
    fresh = [closed(opened(started_at_us=at(clock[0]))) for _ in range(4)]
    for each in fresh:
        assert after.append(each)
    assert 0 <= recorder.lag_seconds <= 7200
    catch_up(recorder)
    assert recorder.lag_seconds == 0
    recorder.close()
    clock[0] -= 2 * step_s
    before.close()
    after.close()
    catch_up(bench.recorder(clock=lambda: clock[0]))
    expected = dict.fromkeys([begun.id for begun in running], "interrupted")
    expected |= dict.fromkeys([begun.id for begun in ended] + [each.opened.id for each in fresh], "ok")
    assert bench.outcomes() == expected
    assert {row.latency_ms for row in bench.rows() if row.outcome == "ok"} == {1000, 1500}
    assert sorted(row.id for row in bench.heard) == sorted(expected)
    assert bench.segments() == []
