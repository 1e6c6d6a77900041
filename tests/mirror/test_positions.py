"""What a mirror lacks, on both databases; what is at the mirror's side is tested in test_clickhouse.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from proxy.ledger.engine import WRITE
from proxy.ledger.rollup_tables import moment, quarter_of
from proxy.ledger.tables import call_rows, estimate_generations
from proxy.ledger.write import Ledger
from proxy.mirror.positions import Positions
from tests.ledger.test_write import NOW
from tests.rows import call_row

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def write(engine, *rows, beside=None) -> None:
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW, beside=beside or {})


def copy_all(positions: Positions, at: datetime = NOW) -> list[int]:
    lacking = positions.lacking()
    assert positions.done(lacking, positions.begin(lacking, at))
    return [each.quarter for each in lacking]


def quarters(positions: Positions, since: int | None = None) -> list[int]:
    return [each.quarter for each in positions.lacking(since)]


def test_the_mirror_lacks_every_quarter_until_it_was_copied_and_again_when_a_call_comes_late(engine):
    late = AT + timedelta(hours=3)
    write(engine, call_row(started_at=late), call_row(started_at=AT))
    positions = Positions(engine, "m")
    assert copy_all(positions) == [quarter_of(AT), quarter_of(late)]
    assert positions.lacking() == []
    write(engine, call_row(started_at=AT + timedelta(minutes=14)))
    assert quarters(positions) == [quarter_of(AT)]
    assert quarters(positions, quarter_of(AT) + 1) == []
    assert quarters(Positions(engine, "another")) == [quarter_of(AT), quarter_of(late)]


def test_what_was_estimated_anew_is_copied_again_when_that_has_ended_whatever_its_figures_are(engine):
    write(engine, call_row(started_at=AT), call_row(started_at=AT + timedelta(hours=1)))
    positions = Positions(engine, "m")
    copy_all(positions)
    generation = {
        "generation": 1, "calls_from": AT - timedelta(days=1), "calls_to": AT + timedelta(hours=1), "began_at": NOW,
        "facts_version": "f2", "settings": "s", "finished": False, "looked_at": 1, "changed": 1,
    }  # fmt: skip
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.insert(estimate_generations), [generation])
    assert positions.lacking() == []
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.update(estimate_generations).values(ended_at=NOW, finished=True))
    assert copy_all(positions) == [quarter_of(AT)]
    assert positions.lacking() == []


def test_a_copy_that_was_not_finished_is_made_again(engine):
    write(engine, call_row(started_at=AT))
    positions = Positions(engine, "m")
    before = positions.lacking()
    copy_all(positions)
    Positions(engine, "m").begin(before, NOW)
    assert copy_all(Positions(engine, "m")) == [quarter_of(AT)]


def test_a_copy_counts_only_while_no_other_has_begun(engine):
    write(engine, call_row(started_at=AT))
    positions, other = Positions(engine, "m"), Positions(engine, "m")
    lacking = positions.lacking()
    first = positions.begin(lacking, NOW)
    second = other.begin(lacking, NOW)
    assert second > first
    assert not positions.done(lacking, first)
    assert positions.lacking() == lacking
    assert other.done(lacking, second)
    assert positions.lacking() == []


def test_numbers_of_copies_grow_also_when_the_clock_steps_back(engine):
    write(engine, call_row(started_at=AT))
    positions = Positions(engine, "m")
    lacking = positions.lacking()
    numbers = [positions.begin(lacking, at) for at in (NOW, NOW - timedelta(days=1), NOW, NOW + timedelta(seconds=1))]
    assert numbers == sorted(set(numbers))


def test_everything_is_copied_again_when_that_is_asked_for(engine):
    write(engine, call_row(started_at=AT))
    positions, other = Positions(engine, "m"), Positions(engine, "other")
    assert copy_all(positions) == copy_all(other)
    positions.forget()
    assert quarters(positions) == [quarter_of(AT)]
    assert other.lacking() == []


def test_deleting_old_calls_from_the_ledger_takes_nothing_from_the_mirror(engine):
    write(engine, call_row(started_at=AT))
    positions = Positions(engine, "m")
    copy_all(positions)
    with engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
    assert positions.lacking() == []


def test_a_quarter_is_where_its_calls_are():
    found = quarter_of(AT + timedelta(minutes=14, seconds=59))
    assert (moment(found), moment(found + 1)) == (AT, AT + timedelta(minutes=15))


def test_sums_know_how_many_calls_they_are_of_and_which_quarter_with_calls_is_before(engine):
    late = AT + timedelta(hours=3)
    write(engine, call_row(started_at=late), call_row(started_at=late), call_row(started_at=AT))
    found = Positions(engine, "m").lacking()
    assert [(each.calls, each.before) for each in found] == [(1, None), (2, quarter_of(AT))]
