"""What only a server does: connections that end, and a server that goes away and comes back."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

import estimator
from proxy.errors import LedgerError
from proxy.journal import Journal
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.partitions import partitions
from proxy.ledger.revision import migrate
from proxy.ledger.tables import calls
from proxy.ledger.write import Ledger
from proxy.recorder import Recorder
from tests.databases import drop_connections
from tests.ledger.test_migrations import fill, rows_over, upgraded_to
from tests.ledger.test_write import NOW
from tests.records import closed
from tests.rows import PLAIN, call_row


@pytest.fixture
def ledger_url(postgres):
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(calls))


def test_a_reader_does_not_notice_that_its_connection_was_ended(engine):
    assert count(engine) == 0
    assert drop_connections(engine) == 1
    assert count(engine) == 0


def test_a_commit_on_an_ended_connection_fails_whole_or_works(engine):
    ledger, row = Ledger(engine), call_row()
    ledger.positions("j")
    drop_connections(engine)
    try:
        ledger.commit([row], journal="j", positions={}, at=NOW)
    except LedgerError:
        ledger.commit([row], journal="j", positions={}, at=NOW)
    assert count(engine) == 1


def test_a_transaction_ended_in_its_middle_leaves_nothing(engine):
    with engine.connect().execution_options(**{WRITE: True}) as connection:
        connection.exec_driver_sql("INSERT INTO facts_versions VALUES ('f1', now(), '0.1.0')")
        drop_connections(engine)
        with pytest.raises(sa.exc.OperationalError):
            connection.commit()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM facts_versions").scalar() == 0


def test_several_machines_write_one_ledger_while_connections_end(tmp_path, engine):
    """Two recorders, each with journals of its own; their connections are ended all the while."""
    stop, recorders, threads = threading.Event(), [], []
    each = 400
    for name in ("one", "two"):
        journal = Journal.open(tmp_path / name, worker="gate-1", fsync="never", segment_bytes=20_000)
        for _ in range(each):
            assert journal.append(closed())
        journal.close()
        own = open_engine(engine.url.render_as_string(hide_password=False))
        recorders.append((own, Recorder(tmp_path / name, Ledger(own), estimate=estimator.estimate)))
        threads.append(threading.Thread(target=recorders[-1][1].run, args=(stop,)))
    for thread in threads:
        thread.start()
    ended, pause_s = 0, 0.02
    while any(tmp_path.glob("*/*.journal")):
        ended += drop_connections(engine)
        time.sleep(pause_s)
        pause_s *= 1.1  # so that a transaction fits in between at last, however busy this machine is
    stop.set()
    for thread in threads:
        thread.join()
    for own, _ in recorders:
        own.dispose()
    assert ended
    assert count(engine) == 2 * each
    assert [recorder.record_counts["recorded"] for _, recorder in recorders] == [each, each]


def test_a_server_that_is_stopped_and_started_again_gets_everything(tmp_path, engine, postgres):
    recorder = Recorder(tmp_path / "journal", Ledger(engine), estimate=estimator.estimate)
    journal = Journal.open(tmp_path / "journal", worker="gate-1", fsync="never")
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,))
    thread.start()
    journal.append(closed())
    while not recorder.record_counts["recorded"]:
        time.sleep(0.01)
    postgres.stop()
    try:
        journal.append(closed())
        while recorder.problem is None:
            time.sleep(0.01)
    finally:
        postgres.start()
    while recorder.record_counts["recorded"] < 2:
        time.sleep(0.01)
    stop.set()
    thread.join()
    journal.close()
    assert count(engine) == 2


def test_a_month_is_there_before_its_first_call_and_the_next_one_too(engine):
    ledger = Ledger(engine)
    years = [call_row(started_at=datetime(2026, 12, 31, 23, 59, tzinfo=UTC)), call_row(started_at=PLAIN.started_at)]
    ledger.commit(years, journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        names = [each.table for each in partitions(connection)]
        plan = "\n".join(
            connection.scalars(
                sa.text("EXPLAIN SELECT * FROM calls WHERE started_at >= '2026-12-01Z' AND started_at < '2027-01-01Z'")
            )
        )
    assert names == ["call_rows_2026_11", "call_rows_2026_12", "call_rows_2027_01"]
    assert "call_rows_2026_12" in plan
    assert "call_rows_2026_11" not in plan
    again = ledger.commit(years, journal="j", positions={}, at=NOW)
    assert again.new == ()


def test_a_month_that_was_dropped_meanwhile_is_made_again(engine):
    ledger = Ledger(engine)
    ledger.commit([call_row()], journal="j", positions={}, at=NOW)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE call_rows_2026_11")
    row = call_row()
    with pytest.raises(LedgerError, match="no place"):
        ledger.commit([row], journal="j", positions={}, at=NOW)
    assert ledger.commit([row], journal="j", positions={}, at=NOW).new == (row,)


def test_machines_that_begin_a_month_together_make_it_once(engine):
    ledgers = [Ledger(engine) for _ in range(4)]
    failed = []

    def put(ledger: Ledger) -> None:
        try:
            ledger.commit([call_row() for _ in range(50)], journal="j", positions={}, at=NOW)
        except LedgerError as error:
            failed.append(error)

    threads = [threading.Thread(target=put, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert count(engine) == 200


def test_what_was_there_before_there_were_months_lies_in_them(postgres):
    engine = upgraded_to(postgres.database(), "0003")
    kept = fill(engine, *rows_over(days=100))
    migrate(engine)
    with engine.connect() as connection:
        months = [each.table for each in partitions(connection)]
    assert months == ["call_rows_2026_08", "call_rows_2026_09", "call_rows_2026_10", "call_rows_2026_11"]
    late, new = call_row(), call_row(started_at=datetime(2026, 12, 3, tzinfo=UTC))
    assert Ledger(engine).commit([late, new, kept[0]], journal="j", positions={}, at=NOW).new == (late, new)
    assert count(engine) == len(kept) + 2
    engine.dispose()
