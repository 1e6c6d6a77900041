"""A ledger that is away, or gives no answer."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from tests.recorder.bench import catch_up
from tests.records import AT_US, closed, opened


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
