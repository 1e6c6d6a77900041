"""Old rows go, their sums stay, and reports say what they said before."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from proxy.errors import RowsGoneError
from proxy.housekeeping import Housekeeping
from proxy.ledger.partitions import partitions
from proxy.ledger.read import splits
from proxy.ledger.retention import cut, delete, plan, rows_from
from proxy.ledger.tables import calls, counted_usage, usage_lines
from proxy.ledger.write import Beside, Ledger
from tests.ledger.test_rollups import random_rows
from tests.ledger.test_write import NOW, line
from tests.rows import call_row, insert

UTC_ZONE, KOLKATA = ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")
BEGIN = datetime(2026, 8, 20, tzinfo=UTC)
CUT = datetime(2026, 10, 24, tzinfo=UTC)
WHOLE = {"start": BEGIN, "end": BEGIN + timedelta(days=100), "zone": UTC_ZONE}


@pytest.fixture
def filled(engine):
    """A hundred days of calls, each with a line and a name under which its usage counts."""
    rows = list(random_rows(random.Random(5), 600, BEGIN, 100))
    beside = {row.id: Beside(lines=(line(row.id),), counted_as=f"resp_{row.id}") for row in rows}
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW, beside=beside)
    insert(engine, *random_rows(random.Random(6), 50, BEGIN, 100))  # of a release without sums
    return engine


def starts(engine: sa.Engine) -> list[datetime]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(calls.c.started_at).order_by(calls.c.started_at)))


def read(engine: sa.Engine, by: tuple[str, ...], **period):
    with engine.connect() as connection:
        (groups,) = splits(connection, (by,), **WHOLE | period)
    return {group.key: (group.calls, group.cost_usd, group.output_tokens, group.absent_calls) for group in groups}


def test_old_rows_go_in_small_steps_and_all_sums_stay(filled):
    asked = [((), {}), (("team", "model"), {}), (("user", "tier", "day"), {}), (("day", "team"), {"zone": KOLKATA})]
    asked.append((("hour", "model"), {"zone": KOLKATA}))
    before = [read(filled, by, **period) for by, period in asked]
    old = sum(start < CUT for start in starts(filled))
    found = plan(filled, CUT)
    assert found.rows == old > 300
    assert len(starts(filled)) == 650  # a plan changes nothing
    assert sum(delete(filled, CUT, now=NOW, rest=lambda _: None)) == old
    assert len(starts(filled)) == 650 - old
    assert starts(filled)[0] >= CUT
    assert [read(filled, by, **period) for by, period in asked] == before
    with filled.connect() as connection:
        assert rows_from(connection) == CUT
        kept = set(connection.scalars(sa.select(calls.c.id)))
        for table in (usage_lines, counted_usage):
            beside = set(connection.scalars(sa.select(table.c.call_id)))
            assert beside
            assert beside <= kept
    assert list(delete(filled, CUT, now=NOW)) == []


def test_a_question_that_needs_deleted_rows_is_told_what_to_ask(filled):
    list(delete(filled, CUT, now=NOW, rest=lambda _: None))
    for by, period, instead in (
        (("user", "day"), {"zone": KOLKATA}, "ask for whole days"),
        (("outcome", "hour"), {}, "ask for whole days"),
        (("team",), {"start": BEGIN + timedelta(minutes=7)}, "let the period begin and end"),
    ):
        with pytest.raises(RowsGoneError, match=f"only sums .*: {instead}"):
            read(filled, by, **period)
    assert read(filled, ("user", "day"), start=CUT, zone=KOLKATA)


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_whole_months_are_dropped_and_not_deleted_row_by_row(filled):
    months = plan(filled, CUT).months
    assert months == ("call_rows_2026_08", "call_rows_2026_09")
    with filled.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
            "ALTER TABLE call_rows DETACH PARTITION call_rows_2026_08 CONCURRENTLY"  # as one that was broken off then
        )
    list(delete(filled, CUT, now=NOW, rest=lambda _: None))
    with filled.connect() as connection:
        assert [each.table for each in partitions(connection)] == [
            "call_rows_2026_10",
            "call_rows_2026_11",
            "call_rows_2026_12",
        ]
        assert "call_rows_2026_08" not in sa.inspect(connection).get_table_names()
    late = call_row(started_at=BEGIN)
    assert Ledger(filled).commit([late], journal="j", positions={}, at=NOW).new == (late,)
    assert read(filled, ("team",))[("search",)][0] == 1


def test_readers_and_the_recorder_go_on_meanwhile(filled):
    ledger, stop, failed = Ledger(filled), threading.Event(), []

    def work() -> None:
        try:
            while not stop.is_set():
                ledger.commit([call_row()], journal="j", positions={}, at=NOW)
                assert read(filled, ("team",))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        list(delete(filled, CUT, now=NOW))
    finally:
        stop.set()
        thread.join()
    assert failed == []


def test_the_service_does_it_by_itself_and_keeps_all_where_nothing_is_said(filled):
    number, stop = len(starts(filled)), threading.Event()
    forever = Housekeeping(filled, keep_days=None, working=lambda: True, now=lambda: NOW)
    assert forever.round(stop) == 0
    assert len(starts(filled)) == number
    month = Housekeeping(filled, keep_days=30, working=lambda: True, now=lambda: NOW)
    assert month.round(stop) == number - len(starts(filled)) > 0
    assert starts(filled)[0] >= cut(NOW, 30) == datetime(2026, 10, 24, tzinfo=UTC)
