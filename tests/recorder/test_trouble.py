"""What cannot be recorded, written, deleted or passed on is counted, and is in nobody's way."""

from __future__ import annotations

from pathlib import Path

from estimator.usage import Usage
from proxy.call import Lost
from proxy.journal import frame
from proxy.tail import SET_ASIDE
from proxy.unwritten import Unwritten, slots
from tests.recorder.bench import catch_up
from tests.records import AT_US, closed, opened


def test_a_row_the_database_refuses_is_set_aside_and_the_others_are_written(bench):
    bad = closed(usage=Usage(input_tokens=2**63, output_tokens=1))  # fits the journal, not the column
    worse = closed(opened(started_at_us=2**62))  # no such date
    good = [closed() for _ in range(5)]
    journal, recorder = bench.journal(), bench.recorder()
    for record in (*good[:2], bad, worse, *good[2:]):
        journal.append(record)
    journal.close()
    catch_up(recorder)
    assert sorted(bench.outcomes()) == sorted(each.opened.id for each in good)
    assert len(bench.heard) == 5
    assert recorder.record_counts["poison"] == 2
    assert recorder.record_counts["recorded"] == 5
    assert bench.segments() == []
    (aside,) = (bench.journals / SET_ASIDE).iterdir()
    assert frame(bad) in aside.read_bytes()


def test_damage_is_counted_and_reading_goes_on(bench):
    bench.journals.mkdir()
    data = bytearray(b"".join(frame(closed()) for _ in range(3)))
    data[len(data) // 2] ^= 0xFF
    (bench.journals / "gate-1-1795000000000000-000001.journal").write_bytes(bytes(data) + frame(opened())[:-7])
    recorder = bench.recorder()
    catch_up(recorder)
    counts = recorder.record_counts
    assert (counts["closed"], counts["recorded"], counts["poison"], counts["torn"]) == (2, 2, 1, 1)


def test_losses_of_the_journal_are_counted(bench):
    bench.journals.mkdir()
    records = (closed(), Lost(at_us=AT_US, calls=7), Lost(at_us=AT_US, calls=2))
    (bench.journals / "gate-1-1795000000000000-000001.journal").write_bytes(b"".join(map(frame, records)))
    recorder = bench.recorder()
    catch_up(recorder)
    assert recorder.record_counts["lost"] == 9


def test_what_gates_hold_or_lost_is_seen_at_once_and_counted_once(bench):
    slot, other = slots(2)
    journal = bench.journal(slot=slot)
    recorder = bench.recorder(gates=[slot, other])
    journal.append(closed())
    catch_up(recorder)
    assert (recorder.record_counts["waiting"], recorder.record_counts["lost"]) == (0, 0)
    assert recorder.gate_problems == []
    other.say(Unwritten(waiting=3, lost=2, problem="OSError: [Errno 28] No space left on device"))
    assert (recorder.record_counts["waiting"], recorder.record_counts["lost"]) == (3, 2)
    assert recorder.gate_problems == ["gate 2 cannot write its journal: OSError: [Errno 28] No space left on device"]
    taking_its_place = bench.journal("gate-2", slot=other)  # the process was killed: what waited is lost
    catch_up(recorder)
    assert (recorder.record_counts["waiting"], recorder.record_counts["lost"]) == (0, 5)
    assert recorder.gate_problems == []
    for each in (journal, taking_its_place):
        each.close()


def test_a_listener_that_fails_costs_the_ledger_nothing(bench):
    def fail(rows: object) -> None:
        raise RuntimeError("no metrics today")

    journal = bench.journal()
    journal.append(closed())
    recorder = bench.recorder(on_rows=fail)
    catch_up(recorder)
    assert len(bench.rows()) == 1
    assert recorder.record_counts["recorded"] == 1
    journal.close()


def test_a_segment_that_cannot_be_deleted_holds_nothing_up(bench, monkeypatch):
    journal = bench.journal(segment_bytes=1000)
    for _ in range(6):
        journal.append(closed())
    stuck = bench.segments()[0]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == stuck:
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    recorder = bench.recorder()
    catch_up(recorder)
    journal.append(closed())
    catch_up(recorder)
    assert len(bench.rows()) == 7
    assert bench.segments()[0] == stuck
    assert len(bench.segments()) == 2
    assert stuck in bench.positions()  # so that the next recorder does not read it again
    journal.close()
