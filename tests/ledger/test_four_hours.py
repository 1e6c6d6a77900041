"""Days of any zone are put together from sums of four hours, of hours and of quarters, in one step."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from proxy.ledger.read import splits
from proxy.ledger.rollup_tables import calls_by_four_hours, four_hours_kept
from proxy.ledger.stretches import questions
from proxy.ledger.write import Ledger
from tests.ledger.test_rollups import ZONES, finer_after, same
from tests.ledger.test_write import NOW
from tests.rows import call_row


def test_a_local_day_is_put_together_by_the_database(engine):
    """Five times four hours, four hours but for the one that is cut, and the quarters of that one are one sum."""
    begin = datetime(2026, 11, 1, 18, 30, tzinfo=UTC)
    days, kolkata = {"start": begin, "end": begin + timedelta(days=9)}, ZoneInfo("Asia/Kolkata")
    (asked,) = questions(("day", "team"), **days, zone=kolkata, left=False)
    tables = re.findall(r"FROM calls_by_(\w+)", str(asked.select))
    assert tables == ["quarter", "hour", "four_hours", "hour", "quarter"] * 9
    rows = [call_row(started_at=begin + timedelta(minutes=15 * number)) for number in range(96)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        assert [tuple(row)[:2] for row in connection.execute(asked.select)] == [(20_759, "search")]  # one row


def test_hours_are_read_up_to_the_day_from_which_four_of_them_are_one_sum(engine):
    begin, berlin = datetime(2026, 11, 1, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    finer_after(engine, begin + timedelta(days=3), four_hours_kept)
    rows = [call_row(started_at=begin + timedelta(hours=number)) for number in range(6 * 24)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        four, calls_in = connection.execute(
            sa.select(sa.func.min(calls_by_four_hours.c.four_hours), sa.func.sum(calls_by_four_hours.c.calls))
        ).one()
    assert (four, calls_in) == ((begin + timedelta(days=3)).timestamp() // (4 * 3600), 3 * 24)
    heard: list[str] = []
    with engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: heard.append(given[2]))
        (days,) = splits(connection, (("day",),), start=begin, end=begin + timedelta(days=6), zone=berlin)
    assert [day.calls for day in sorted(days, key=lambda day: day.key)] == [23, 24, 24, 24, 24, 24, 1]
    assert any("calls_by_four_hours" in each for each in heard)
    for zone in ZONES:
        assert same(engine, ("day", "team"), begin, begin + timedelta(days=6), ZoneInfo(zone)) == 6 * 24
