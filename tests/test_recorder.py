from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

import estimator
from estimator.usage import Usage, UsageLine
from proxy.call import Closed, Lost, Opened
from proxy.errors import LedgerError
from proxy.journal import Journal, frame
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.ledger.tables import CallRow, call_columns, calls, facts_versions, journal_positions, rows_of, usage_lines
from proxy.ledger.write import Ledger
from proxy.recorder import Recorder
from proxy.tail import SET_ASIDE
from proxy.unwritten import Unwritten, slots
from tests.records import AT_US, closed, opened


class Bench:
    """A journal directory, a ledger and what a listener heard."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.journals = directory / "journal"
        self.database = directory / "ledger.db"
        self.engine = open_engine(url or f"sqlite:///{self.database}")
        migrate(self.engine)
        self.heard: list[CallRow] = []
        self.now = AT_US / 1e6 + 60
        self.recorders: list[Recorder] = []

    def journal(self, worker: str = "gate-1", **options) -> Journal:
        return Journal.open(self.journals, worker=worker, fsync="never", **options)

    def recorder(self, **changes) -> Recorder:
        given = {"estimate": estimator.estimate, "on_rows": self.heard.extend, "clock": lambda: self.now}
        self.recorders.append(Recorder(self.journals, Ledger(self.engine), **(given | changes)))
        return self.recorders[-1]

    def rows(self) -> list[CallRow]:
        with self.engine.connect() as connection:
            return rows_of(connection.execute(sa.select(*call_columns).order_by(calls.c.id)))

    def outcomes(self) -> dict[str, str]:
        return {row.id: row.outcome for row in self.rows()}

    def positions(self) -> dict[str, tuple[int, int]]:
        with self.engine.connect() as connection:
            return {
                row.segment: (row.resolved_to, row.read_to) for row in connection.execute(sa.select(journal_positions))
            }

    def segments(self) -> list[str]:
        return sorted(path.name for path in self.journals.glob("*.journal"))


@pytest.fixture
def bench(tmp_path, ledger_url):
    bench = Bench(tmp_path, ledger_url)
    yield bench
    for recorder in bench.recorders:
        recorder.close()
    bench.engine.dispose()


def catch_up(recorder: Recorder, limit: int = 200) -> None:
    for _ in range(3):  # that a writer is gone shows only at the look after the last record
        while recorder.run_once(limit):
            pass


def test_a_call_becomes_a_row_with_its_facts_and_its_estimates(bench):
    begun = opened(tags={"feature": "summary"}, user="u1", project="p1", key_id="k1")
    ended = closed(begun, flags=("usage.odd",))
    journal = bench.journal()
    journal.append(begun)
    journal.append(ended)
    catch_up(bench.recorder())
    (row,) = bench.rows()
    expected = estimator.estimate(ended.usage, "gpt-4o", provider="openai", zone="USA", at=row.started_at)
    assert expected.joules is not None
    assert expected.cost_usd is not None
    assert (row.id, row.operation_id, row.team, row.user, row.tags) == (
        begun.id,
        begun.operation_id,
        "search",
        "u1",
        {"feature": "summary"},
    )
    assert row.started_at.timestamp() * 1e6 == pytest.approx(begun.started_at_us, abs=0.5)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (100, 40, 50)
    assert (row.reasoning_tokens, row.cache_write_tokens, row.units) == (None, None, None)  # unknown, not 0
    assert (row.latency_ms, row.time_to_first_token_ms, row.overhead_us) == (1500, 251, 180)
    assert row.flags == ("usage.odd",)
    assert (row.joules_low, row.joules, row.joules_high) == (
        expected.joules.low,
        expected.joules.mid,
        expected.joules.high,
    )
    assert row.cost_usd == expected.cost_usd
    assert (row.tier, row.method, row.zone, row.price_id) == (
        expected.tier,
        "roofline",
        expected.zone,
        expected.price_id,
    )
    assert row.facts_version == expected.facts_version
    assert bench.heard == [row]
    with bench.engine.connect() as connection:
        assert connection.scalars(sa.select(facts_versions.c.facts_version)).all() == [row.facts_version]
    journal.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"usage": None, "usage_source": "absent", "reason": "the reply was cut off"}, "no usage"),
        ({"model": None, "opened": opened(model_requested=None)}, "no model named"),
        ({"model": "nobody/knows-this"}, "nobody/knows-this"),
        ({"opened": opened(zone="XYZ")}, "estimate failed: UnknownZoneError"),
    ],
    ids=["no usage", "no model", "unknown model", "unknown zone"],
)
def test_a_call_that_cannot_be_estimated_is_a_row_with_the_reason(bench, changes, reason):
    journal = bench.journal()
    journal.append(closed(**changes))
    journal.append(closed())
    recorder = bench.recorder()
    catch_up(recorder)
    without = next(row for row in bench.rows() if row.joules is None)
    assert len(bench.rows()) == 2
    assert without.tier == "unknown"
    assert (without.joules_low, without.grams_co2e, without.liters) == (None, None, None)
    assert reason in without.estimate_reason
    assert recorder.record_counts["unestimated"] == int(
        reason in ("no model named", "estimate failed: UnknownZoneError")
    )
    journal.close()


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


def test_an_end_that_is_known_is_not_replaced_by_an_interruption(bench):
    begun = opened()
    bench.journals.mkdir()
    (bench.journals / "gate-1-1795000000000000-000001.journal").write_bytes(frame(closed(begun)))
    catch_up(bench.recorder())
    bench.recorders[-1].close()
    (bench.journals / "gate-1-1795000000000001-000001.journal").write_bytes(frame(begun))
    catch_up(bench.recorder())
    assert bench.outcomes() == {begun.id: "ok"}


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


def test_while_the_ledger_is_away_nothing_is_lost_and_the_lag_grows(bench):
    journal, recorder = bench.journal(), bench.recorder()
    first = closed(opened(started_at_us=AT_US), ended_at_us=AT_US + 10_000_000)
    catch_up(recorder)
    assert recorder.lag_seconds == 0
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE call_rows RENAME TO calls_away"))
        connection.commit()
    journal.append(first)
    with pytest.raises(LedgerError, match="call_rows"):
        recorder.run_once()
    journal.append(closed())
    bench.now = AT_US / 1e6 + 110
    with pytest.raises(LedgerError):
        recorder.run_once()
    assert recorder.lag_seconds == pytest.approx(100)
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE calls_away RENAME TO call_rows"))
        connection.commit()
    catch_up(recorder)
    assert len(bench.rows()) == len(bench.heard) == 2
    assert recorder.lag_seconds == 0
    journal.close()


def test_a_commit_whose_answer_did_not_come_is_told_once(bench):
    """The rows are in the ledger, the recorder heard of a failure: it tries again, and its listeners hear of them."""
    journal, recorder = bench.journal(), bench.recorder()
    journal.append(closed())
    catch_up(recorder)
    ends = [closed() for _ in range(3)]
    for each in ends:
        journal.append(each)

    def lose_the_answer(connection: sa.Connection) -> None:
        connection.connection.driver_connection.commit()
        raise sa.exc.OperationalError("COMMIT", {}, OSError("the connection was lost"))

    sa.event.listen(bench.engine, "commit", lose_the_answer)
    with pytest.raises(LedgerError, match="the connection was lost"):
        recorder.run_once()
    sa.event.remove(bench.engine, "commit", lose_the_answer)
    assert len(bench.rows()) == 4
    assert len(bench.heard) == 1
    catch_up(recorder)
    assert sorted(row.id for row in bench.heard) == sorted(row.id for row in bench.rows())
    assert bench.heard[1:] == [row for row in bench.rows() if row.id in {each.opened.id for each in ends}]
    assert recorder.record_counts["recorded"] == 4
    journal.close()


def test_a_ledger_away_from_the_start_shows_as_lag_only_where_something_waits(bench):
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE journal_positions RENAME TO positions_away"))
        connection.commit()
    recorder, standing_by = bench.recorder(), bench.recorder()
    bench.now += 30
    with pytest.raises(LedgerError):
        recorder.run_once()
    assert recorder.lag_seconds == 0
    journal = bench.journal()
    journal.append(closed())
    assert recorder.lag_seconds == pytest.approx(30)
    assert standing_by.run_once() == 0
    assert standing_by.lag_seconds == 0
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE positions_away RENAME TO journal_positions"))
        connection.commit()
    catch_up(recorder)
    assert recorder.lag_seconds == 0
    assert len(bench.rows()) == 1
    journal.close()


def test_a_ledger_away_when_a_replayed_opening_is_looked_up_costs_nothing(bench):
    journal = bench.journal()
    long, done = opened(), opened()
    for record in (long, done, closed(done)):
        journal.append(record)
    catch_up(bench.recorder())
    bench.recorders[-1].close()
    second = bench.recorder()
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE call_rows RENAME TO calls_away"))
        connection.commit()
    for _ in range(2):
        with pytest.raises(LedgerError):
            second.run_once()
    with bench.engine.connect() as connection:
        connection.execute(sa.text("ALTER TABLE calls_away RENAME TO call_rows"))
        connection.commit()
    catch_up(second)
    assert second.calls_in_flight == 1
    journal.append(closed(long))
    catch_up(second)
    assert len(bench.rows()) == 2
    journal.close()


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


def delete(bench: Bench) -> None:
    bench.database.unlink()


def delete_all(bench: Bench) -> None:
    for path in bench.database.parent.glob("ledger.db*"):
        path.unlink()


def move_away(bench: Bench) -> None:
    bench.database.rename(bench.database.with_name("moved.db"))


def move_the_folder(bench: Bench) -> None:
    bench.database.parent.rename(bench.database.parent.with_name("moved"))


def replace_by_an_empty_file(bench: Bench) -> None:
    empty = bench.database.with_name("empty.db")
    empty.touch()
    empty.rename(bench.database)


def restore_the_backup(bench: Bench) -> None:
    bench.database.with_name("backup.db").rename(bench.database)


def restore_the_backup_in_place(bench: Bench) -> None:
    with sqlite3.connect(bench.database.with_name("backup.db")) as backup, sqlite3.connect(bench.database) as here:
        backup.backup(here)
    backup.close()
    here.close()


@pytest.mark.parametrize(
    ("damage", "backed_up"),
    [
        (delete, 0),
        (delete_all, 0),
        (move_away, 0),
        (move_the_folder, 0),
        (replace_by_an_empty_file, 0),
        (restore_the_backup, 20),
        (restore_the_backup_in_place, 20),
    ],
)
@pytest.mark.parametrize("idle", [False, True], ids=["under load", "idle"])
def test_a_ledger_deleted_or_replaced_in_use_gets_all_that_the_journals_hold(tmp_path, damage, backed_up, idle):
    (tmp_path / "ledger").mkdir()
    bench = Bench(tmp_path / "ledger")
    bench.journals = tmp_path / "journal"
    journal, recorder = bench.journal(segment_bytes=10_000), bench.recorder()
    records = [closed() for _ in range(100)]
    running = opened()
    for record in records[:20]:
        journal.append(record)
    catch_up(recorder)
    with sqlite3.connect(bench.database) as here, sqlite3.connect(bench.database.with_name("backup.db")) as backup:
        here.backup(backup)
    here.close()
    backup.close()
    journal.append(running)
    for record in records[20:90]:
        journal.append(record)
    catch_up(recorder)
    held = b"".join((bench.journals / name).read_bytes() for name in bench.segments())
    still = {each.opened.id for each in records[:90] if each.opened.id.encode() in held}
    assert 10 < len(still) < 90  # some of the segments were trimmed
    damage(bench)
    if not idle or damage is restore_the_backup_in_place:
        for record in records[90:]:
            journal.append(record)
    catch_up(recorder)
    if idle and damage is not restore_the_backup_in_place:
        assert (recorder.ledgers_replaced, recorder.active) == (1, True)
        for record in records[90:]:
            journal.append(record)
        catch_up(recorder)
    expected = {each.opened.id for each in (*records[:backed_up], *records[90:])} | still
    assert set(bench.outcomes()) == expected
    assert recorder.ledgers_replaced == 1
    assert "deleted or replaced while it was in use" in str(recorder.notice)
    # What was counted and told is not counted and told again.
    assert len(bench.heard) == len({row.id for row in bench.heard}) == 100
    assert recorder.record_counts["recorded"] == 100
    assert (recorder.record_counts["opened"], recorder.record_counts["closed"]) == (1, 100)
    assert recorder.calls_in_flight == 1
    with bench.engine.connect() as connection:
        assert connection.scalars(sa.select(facts_versions.c.facts_version)).all() == [bench.heard[0].facts_version]
    journal.append(closed(running))
    journal.close()
    catch_up(recorder)
    assert bench.outcomes().keys() == expected | {running.id}
    assert bench.segments() == []
    recorder.close()
    bench.engine.dispose()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_nothing_is_trimmed_while_no_ledger_can_be_made(bench):
    journal, recorder = bench.journal(segment_bytes=2000), bench.recorder()
    for _ in range(20):
        journal.append(closed())
    bench.engine.dispose()
    bench.database.unlink()
    bench.database.mkdir()
    for _ in range(3):
        with pytest.raises(LedgerError, match="unable to open"):
            recorder.run_once()
    before = bench.segments()
    assert len(before) > 3
    bench.database.rmdir()
    catch_up(recorder)
    assert len(bench.rows()) == 20
    assert len(bench.segments()) == 1
    journal.close()


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


def test_several_gates_at_once(bench):
    journals = [bench.journal(f"gate-{number}", segment_bytes=5000) for number in range(4)]
    recorder = bench.recorder()
    expected: dict[str, str] = {}
    draw = random.Random(5)
    in_flight: dict[str, tuple[Opened, Journal]] = {}
    for _ in range(1500):
        if in_flight and draw.random() < 0.5:
            begun, journal = in_flight.pop(draw.choice(list(in_flight)))
            outcome = draw.choice(["ok", "error", "aborted"])
            assert journal.append(closed(begun, outcome=outcome))
            expected[begun.id] = outcome
        else:
            begun, journal = opened(), draw.choice(journals)
            assert journal.append(begun)
            in_flight[begun.id] = (begun, journal)
        if draw.random() < 0.05:
            recorder.run_once(draw.randrange(1, 60))
        if draw.random() < 0.01:
            recorder.close()  # as a crash would: what it knew is gone
            recorder = bench.recorder()
    catch_up(recorder)
    assert recorder.calls_in_flight == len(in_flight)
    for journal in journals:
        journal.close()
    catch_up(recorder)
    assert bench.outcomes() == expected | dict.fromkeys(in_flight, "interrupted")
    assert sorted(row.id for row in bench.heard) == sorted(bench.outcomes())
    assert bench.segments() == []


GATE = """
    import os, sys
    from pathlib import Path
    from proxy.journal import Journal
    from tests.records import closed, opened
    journal = Journal.open(Path(sys.argv[1]), worker=sys.argv[2], segment_bytes=50_000)
    start = int(sys.argv[3])
    for number in range(start, start + 1000):
        begun = opened(id=f"{sys.argv[2]}-{number}")
        assert journal.append(begun)
        if number % 10:
            assert journal.append(closed(begun))
            os.write(1, f"{begun.id}\\n".encode())
        else:
            os.write(1, f"{begun.id} open\\n".encode())
"""
RECORDER = """
    import sys, threading
    from pathlib import Path
    import estimator
    from proxy.ledger.engine import open_engine
    from proxy.ledger.write import Ledger
    from proxy.recorder import Recorder
    engine = open_engine(sys.argv[2])
    Recorder(Path(sys.argv[1]), Ledger(engine), estimate=estimator.estimate).run(threading.Event())
"""


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


@pytest.mark.heavy
def test_gates_and_recorders_killed_again_and_again_lose_and_double_nothing(bench):
    """Every call whose append returned is a row, once; those without an end are interrupted."""
    draw = random.Random(11)
    told: dict[str, str] = {}
    for number in range(6):
        gates = [start(GATE, bench.journals, f"gate{worker}", number * 1000) for worker in (1, 2)]
        recorders = [start(RECORDER, bench.journals, bench.engine.url.render_as_string(False)) for _ in range(2)]
        time.sleep(draw.uniform(0.8, 2.4))
        for child in (*recorders, *gates):
            os.kill(child.pid, signal.SIGKILL)
        for child in (*gates, *recorders):
            assert child.stdout is not None
            for line in child.stdout.read().decode().splitlines():
                name, *still_open = line.split()
                told[name] = "interrupted" if still_open else "ok"
            child.wait()
            child.stdout.close()
    catch_up(bench.recorder())
    outcomes = bench.outcomes()
    assert told
    assert {name: outcomes.get(name) for name in told} == told
    # Beside what was told only what was written but killed before it could say so: one per gate and round.
    assert len(outcomes) - len(told) <= 12
    assert bench.segments() == []


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


def test_closed_records_stand_alone(bench):
    """A refusal has no opening; it is a row all the same."""
    journal = bench.journal()
    refused = closed(opened(provider=None), outcome="rejected", status=401, usage=None, usage_source="absent")
    journal.append(refused)
    catch_up(bench.recorder())
    (row,) = bench.rows()
    assert (row.outcome, row.status, row.provider) == ("rejected", 401, None)
    assert isinstance(refused, Closed)
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


def test_an_opening_written_twice_is_one_call(bench):
    begun = opened()
    bench.journals.mkdir()
    for number in (1, 2):
        (bench.journals / f"gate-1-1795000000000000-00000{number}.journal").write_bytes(frame(begun) * 2)
    recorder = bench.recorder()
    catch_up(recorder)
    assert bench.outcomes() == {begun.id: "interrupted"}
    assert (recorder.calls_in_flight, recorder.streams_open) == (0, 0)
    assert bench.segments() == []


def test_a_call_s_figures_include_those_of_its_lines(bench):
    plain = closed(usage=Usage(input_tokens=100, output_tokens=50), model="gpt-4o")
    advised = closed(
        usage=Usage(input_tokens=100, output_tokens=50),
        model="gpt-4o",
        lines=(
            UsageLine(kind="compaction", usage=Usage(input_tokens=90_000, output_tokens=900)),
            UsageLine(kind="advisor_message", model="gpt-4o-mini", usage=Usage(input_tokens=10, output_tokens=5)),
            UsageLine(kind="odd", model="nobody-knows-it", usage=Usage(input_tokens=10, output_tokens=5)),
        ),
    )
    known = msgspec.structs.replace(advised, opened=opened(), lines=advised.lines[:2])
    journal = bench.journal()
    for record in (plain, advised, known):
        journal.append(record.opened)
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    rows = {row.id: row for row in bench.rows()}
    alone, with_unknown, whole = (rows[each.opened.id] for each in (plain, advised, known))
    with bench.engine.connect() as connection:
        query = sa.select(usage_lines).where(usage_lines.c.call_id == known.opened.id)
        lines = connection.execute(query.order_by(usage_lines.c.number)).all()
    assert [each.kind for each in lines] == ["compaction", "advisor_message"]
    assert whole.cost_usd == alone.cost_usd + sum(each.cost_usd for each in lines)
    assert whole.joules == pytest.approx(alone.joules + sum(each.joules for each in lines))
    assert whole.input_tokens == 100
    assert whole.joules_low <= whole.joules - whole.joules_shared_down * 0.999
    assert with_unknown.cost_usd is None
    assert "odd: " in with_unknown.estimate_reason


def test_a_call_that_consumed_nothing_but_its_lines_is_their_sum(bench):
    """A batch's results: what each model answered is a line, the call itself states nothing."""
    usage = Usage(input_tokens=1000, output_tokens=500)
    results = closed(
        opened(model_requested=None),
        usage=None,
        usage_source="reported",
        model=None,
        lines=(
            UsageLine(kind="batch", model="gpt-4o", usage=usage),
            UsageLine(kind="batch", model="llama-3.1-8b-instruct", usage=usage),
        ),
    )
    journal = bench.journal()
    for record in (results.opened, results):
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    (row,) = bench.rows()
    with bench.engine.connect() as connection:
        lines = connection.execute(sa.select(usage_lines).order_by(usage_lines.c.number)).all()
    assert [each.tier for each in lines] == ["closed_model", "open_model"]
    assert (row.tier, row.input_tokens) == ("closed_model", None)
    assert row.joules == pytest.approx(sum(each.joules for each in lines))
    assert row.joules_low < row.joules < row.joules_high
    assert row.joules_shared_down == pytest.approx(row.joules - row.joules_low)
    assert row.grams_co2e == pytest.approx(sum(each.grams_co2e for each in lines))


def test_a_batch_is_estimated_as_the_calls_it_was(bench):
    alone = closed(usage=Usage(input_tokens=1000, cached_input_tokens=200, output_tokens=300))
    batch = closed(usage=Usage(input_tokens=1_000_007, cached_input_tokens=200_000, output_tokens=300_003), calls=1000)
    journal = bench.journal()
    for record in (alone, batch):
        journal.append(record.opened)
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    rows = {row.id: row for row in bench.rows()}
    one, many = rows[alone.opened.id], rows[batch.opened.id]
    assert many.joules == pytest.approx(1000 * one.joules)
    assert many.joules_high == pytest.approx(1000 * one.joules_high)
    exact = estimator.estimate(
        Usage(input_tokens=7, output_tokens=3, cached_input_tokens=0), "gpt-4o", provider="openai"
    )
    assert many.cost_usd == 1000 * one.cost_usd + exact.cost_usd
    assert many.input_tokens == 1_000_007
