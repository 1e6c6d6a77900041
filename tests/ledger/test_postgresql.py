"""What only a server does: connections that end, and a server that goes away and comes back."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

import estimator
from proxy.errors import LedgerError
from proxy.journal import Journal
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.tables import calls
from proxy.ledger.write import Ledger
from proxy.recorder import Recorder
from tests.databases import drop_connections
from tests.ledger.test_write import NOW
from tests.records import closed
from tests.rows import call_row

pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


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
    ended = 0
    while any(tmp_path.glob("*/*.journal")):
        ended += drop_connections(engine)
        time.sleep(0.05)
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
