"""Calls that have begun and not ended, or whose end is not known."""

from __future__ import annotations

from proxy.journal import frame
from tests.recorder.bench import catch_up
from tests.records import closed, opened


def test_calls_in_flight_are_counted_until_they_end(bench):
    journal, recorder = bench.journal(), bench.recorder()
    streams, plain = [opened() for _ in range(3)], opened(stream=False)
    for each in (*streams, plain):
        journal.append(each)
    catch_up(recorder)
    assert (recorder.streams_open, recorder.calls_in_flight) == (3, 4)
    assert bench.rows() == []
    for each in (plain, streams[0]):
        journal.append(closed(each))
    catch_up(recorder)
    assert (recorder.streams_open, recorder.calls_in_flight) == (2, 2)
    assert len(bench.rows()) == 2
    journal.close()


def test_calls_in_flight_when_their_gate_ends_are_interrupted(bench):
    journal, recorder = bench.journal(), bench.recorder()
    begun, done = opened(), opened()
    for record in (begun, done, closed(done)):
        journal.append(record)
    catch_up(recorder)
    assert bench.outcomes() == {done.id: "ok"}
    journal.close()
    catch_up(recorder)
    row = next(row for row in bench.rows() if row.id == begun.id)
    assert (row.outcome, row.status, row.usage_source, row.tier) == ("interrupted", None, "absent", "unknown")
    assert (row.input_tokens, row.latency_ms, row.response_bytes, row.joules) == (None, None, None, None)
    assert row.reason is not None
    assert recorder.calls_in_flight == 0
    assert bench.segments() == []
    assert bench.positions() == {}


def test_many_interrupted_calls_come_in_batches(bench):
    journal = bench.journal()
    for _ in range(25):
        journal.append(opened())
    journal.close()
    catch_up(bench.recorder(), limit=10)
    assert list(bench.outcomes().values()) == ["interrupted"] * 25
    assert bench.segments() == []


def test_a_call_that_began_in_an_earlier_segment_keeps_that_segment_until_it_ends(bench):
    journal, recorder = bench.journal(segment_bytes=1000), bench.recorder()
    long = opened()
    journal.append(long)
    for _ in range(20):
        journal.append(closed())
    catch_up(recorder)
    first, _ = bench.segments()  # those between are done and deleted
    assert bench.positions()[first][0] == 0
    journal.append(closed(long))
    catch_up(recorder)
    assert first not in bench.segments()
    assert len(bench.segments()) == 1
    assert len(bench.rows()) == 21
    journal.close()


def test_an_end_that_is_known_is_not_replaced_by_an_interruption(bench):
    begun = opened()
    bench.journals.mkdir()
    (bench.journals / "gate-1-1795000000000000-000001.journal").write_bytes(frame(closed(begun)))
    catch_up(bench.recorder())
    bench.recorders[-1].close()
    (bench.journals / "gate-1-1795000000000001-000001.journal").write_bytes(frame(begun))
    catch_up(bench.recorder())
    assert bench.outcomes() == {begun.id: "ok"}


def test_a_call_whose_end_was_lost_does_not_stay_in_flight(bench):
    journal, recorder = bench.journal(), bench.recorder()
    begun, other = opened(), opened()
    for record in (begun, other):
        journal.append(record)
    catch_up(recorder)
    assert not journal.append(closed(begun, model="\udcff"))
    journal.tick()
    catch_up(recorder)
    (row,) = bench.rows()
    assert (row.id, row.outcome, row.usage_source) == (begun.id, "interrupted", "absent")
    assert row.reason == "end_not_written"
    assert (recorder.calls_in_flight, recorder.record_counts["lost"]) == (1, 1)
    recorder.close()
    second = bench.recorder()  # reads it once more, since the other call is in flight
    catch_up(second)
    assert (second.calls_in_flight, second.record_counts["lost"], len(bench.heard)) == (1, 0, 1)
    journal.close()
