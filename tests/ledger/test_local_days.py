"""Sums by the days of a company's own time zone: which days these are, from when on, and that reports need no calls."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import LedgerError, RowsGoneError
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.local_days import AHEAD, LocalDays, days_kept, keep_days
from proxy.ledger.read import Totals, splits
from proxy.ledger.rollup_tables import (
    EPOCH,
    calls_by_local_day,
    detail_keys,
    details_by_local_day,
    local_days,
    model_keys,
    moment,
    quarter_of,
)
from proxy.ledger.rollups import Rollups
from proxy.ledger.sources import DIMENSIONS
from proxy.ledger.stretches import questions
from proxy.ledger.tables import call_rows, retention
from proxy.ledger.write import Ledger
from tests.ledger.test_rollups import AROUND, ZONES, finer_after, random_rows, same
from tests.rows import call_row, insert

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
BERLIN, KOLKATA, KATHMANDU = (ZoneInfo(each) for each in ("Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"))
# Of half hours, of quarters, with a summer time of half an hour, with clocks that skip midnight, and on both edges.
ODD = ("Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana", "Pacific/Chatham", "Africa/Cairo",
       "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/St_Johns", "Europe/Berlin")  # fmt: skip


def keep(engine: sa.Engine, *zones: tuple[datetime, ZoneInfo]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(local_days))
        connection.execute(sa.insert(local_days), [{"quarter": quarter_of(at), "tz": zone.key} for at, zone in zones])


def declare(engine: sa.Engine, zone: ZoneInfo, now: datetime = NOW) -> datetime | None:
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        return keep_days(connection, zone, now)


@pytest.mark.parametrize("name", ODD)
def test_local_days_follow_each_other_as_the_clocks_say(name):
    zone = ZoneInfo(name)
    days = LocalDays([(0, zone)])
    at = quarter_of(datetime(2026, 1, 1, tzinfo=UTC))
    lengths: dict[int, int] = {}
    for _ in range(366):
        unit = days.of(at)
        first, last = (moment(each).astimezone(zone).date() for each in (unit.start, unit.end - 1))
        assert first == last == moment(at).astimezone(zone).date()
        assert moment(unit.end).astimezone(zone).date() == first + timedelta(days=1)
        assert all(days.of(each) == unit for each in (unit.start, unit.start + 1, unit.end - 1))
        lengths[unit.end - unit.start] = lengths.get(unit.end - unit.start, 0) + 1
        at = unit.end
    assert lengths[96] >= 363
    if name == "Australia/Lord_Howe":
        assert lengths == {96: 364, 94: 1, 98: 1}


@given(st.integers(0, 4 * 10**6), st.sampled_from(ODD), st.sampled_from(ODD), st.integers(1, 4 * 10**6))
def test_every_quarter_is_in_one_day_though_the_zone_changes(at, one, other, change):
    days = LocalDays([(change, ZoneInfo(one)), (change + 1000, ZoneInfo("UTC")), (change + 2000, ZoneInfo(other))])
    unit = days.of(at)
    assert unit.start <= at < unit.end
    assert unit.kept == (change <= at < change + 1000 or at >= change + 2000)
    assert days.of(unit.end).start == unit.end
    assert not any(unit.start < each < unit.end for each in (change, change + 1000, change + 2000))


@pytest.mark.parametrize("seed", range(6))
def test_sums_are_those_of_the_rows_whatever_days_are_kept(engine, seed):
    draw = random.Random(seed)
    begin = draw.choice(AROUND) - timedelta(days=2)
    kept, other = (ZoneInfo(each) for each in draw.sample(ZONES[1:], 2))
    changes = [(EPOCH, kept)]
    if seed % 2:  # from some moment on, and of another zone later, or of none
        middle = begin + timedelta(hours=draw.uniform(0, 60))
        changes = [(middle, kept), (middle + timedelta(days=1.4), draw.choice((other, ZoneInfo("UTC"))))]
    keep(engine, *changes)
    if seed == 4:
        finer_after(engine, begin + timedelta(days=2))
    ledger, rows = Ledger(engine), list(random_rows(draw, 400, begin, 5))
    draw.shuffle(rows)
    for start in range(0, 300, 60):
        ledger.commit(rows[start : start + 60], journal="j", positions={}, at=NOW)
    insert(engine, *rows[300:])
    seen = 0
    for number in range(40):
        if number % 13 == 12:
            ledger.roll_up(limit=40)
        by = tuple(draw.sample(DIMENSIONS, draw.randrange(4)))
        zone = draw.choice((kept, kept, other, ZoneInfo(draw.choice(ZONES))))
        edges = sorted(begin + timedelta(hours=draw.uniform(-24, 130)) for _ in "ab")
        if draw.random() < 0.6:  # whole local days
            edges = [datetime(each.year, each.month, each.day, tzinfo=zone).astimezone(UTC) for each in edges]
        seen += same(engine, by, edges[0], edges[1] + timedelta(seconds=1), zone)
    assert seen > 1500


@pytest.mark.parametrize("name", ODD)
def test_no_report_by_days_of_the_zone_reads_calls(engine, name):
    zone = ZoneInfo(name)
    keep(engine, (EPOCH, zone))
    start, end = (datetime(2026, month, 1, tzinfo=zone).astimezone(UTC) for month in (3, 4))
    Ledger(engine).commit(random_rows(random.Random(1), 300, start, 30), journal="j", positions={}, at=NOW)
    month = {"start": start, "end": end, "zone": zone}
    asked = (
        ("day", "user"),
        ("outcome",),
        ("user", "month", "key"),
        (),
        ("day", "team", "model"),
        tuple(DIMENSIONS[:-3]),
    )

    def found() -> list[list[Totals]]:  # PostgreSQL may change its mind about the order when it has analyzed a table
        groups = [splits(connection, (by,), **month)[0] for by in asked]
        return [sorted(each, key=lambda group: [name or "" for name in group.key]) for each in groups]

    with engine.connect() as connection:
        before = found()
        by_hand, (whole,) = splits(connection, (("day", "user"), ()), **month, from_rows=True)
    with engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
        connection.execute(sa.insert(retention).values(rows_from=NOW, at=NOW))
    with engine.connect() as connection:
        assert found() == before
        cut = month | {"start": start + timedelta(hours=1, minutes=15)}
        with pytest.raises(RowsGoneError, match=f"are kept of days of UTC or {name}: ask"):
            splits(connection, (("user",),), **cut)
    assert whole.calls == 300 == sum(day.calls for day in before[0])
    assert {day.key: day.cost_usd for day in before[0]} == {day.key: day.cost_usd for day in by_hand}
    assert len({day.key[0] for day in before[0]}) >= 29


def test_days_of_few_dimensions_are_read_as_such_and_not_put_together_from_hours():
    month = {"start": datetime(2026, 11, 1, tzinfo=KOLKATA), "end": datetime(2026, 12, 1, tzinfo=KOLKATA)}
    period = {name: each.astimezone(UTC) for name, each in month.items()}
    for by in (("day", "team"), ("day", "user"), ("team",)):
        asked = questions(by, **period, zone=KOLKATA, days=LocalDays([(0, KOLKATA)]), left=False)
        (select,) = (str(each.select) for each in asked)
        assert ("details" if "user" in by else "calls") + "_by_local_day" in select
        assert not any(each in select for each in ("by_hour", "by_quarter", "_by_day", "call_rows"))
    # Another zone of the same clocks has the same days.
    colombo = questions(
        ("day", "user"), **period, zone=ZoneInfo("Asia/Colombo"), days=LocalDays([(0, KOLKATA)]), left=False
    )
    assert ["details_by_local_day" in str(each.select) for each in colombo] == [True]


def test_calls_of_a_kept_day_are_changed_in_its_sums_too(engine):
    keep(engine, (EPOCH, KATHMANDU))
    rows = list(random_rows(random.Random(5), 80, AROUND[2], 2))
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    changed = [msgspec.structs.replace(row, cost_usd=None) for row in rows]
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.update(call_rows).values(cost_usd=None))
        Rollups(engine.dialect).replace(connection, rows, changed)
        for table, keys in ((calls_by_local_day, model_keys), (details_by_local_day, detail_keys)):
            assert (
                connection.scalars(sa.select(table.c.cost_usd).join(keys, keys.c.key == table.c.key)).all().count(None)
            )
            assert connection.scalar(sa.select(sa.func.count(table.c.cost_usd))) == 0
    start = datetime(2026, 4, 4, tzinfo=KATHMANDU).astimezone(UTC)
    for by in (("day", "team"), ("user",)):
        same(engine, by, start, start + timedelta(days=2), KATHMANDU)


def test_an_empty_ledger_keeps_them_from_the_beginning_and_a_filled_one_from_a_later_day_on(engine):
    assert declare(engine, KOLKATA) == EPOCH
    assert declare(engine, KOLKATA) is None
    Ledger(engine).commit([call_row(started_at=NOW)], journal="j", positions={}, at=NOW)
    begins = declare(engine, BERLIN)
    assert begins == datetime(2026, 11, 23, tzinfo=BERLIN)
    assert declare(engine, BERLIN, NOW + timedelta(hours=3)) is None
    with engine.connect() as connection:
        days = days_kept(connection)
    assert [(moment(each), zone.key) for each, zone in days.zones] == [
        (EPOCH, "Asia/Kolkata"),
        (begins, "Europe/Berlin"),
    ]
    assert days.last == BERLIN
    # What has not begun may be taken back: none of its days was kept yet.
    assert declare(engine, ZoneInfo("UTC"), NOW) == datetime(2026, 11, 23, tzinfo=UTC)
    with engine.connect() as connection:
        assert days_kept(connection).last is None
    assert declare(engine, ZoneInfo("UTC")) is None


def test_a_change_begins_behind_every_call_that_there_is(engine):
    """A machine whose clock is ahead has recorded calls of tomorrow; another release's calls are in no sum yet."""
    ahead, further = NOW + timedelta(days=2), NOW + timedelta(days=5)
    Ledger(engine).commit([call_row(started_at=ahead)], journal="j", positions={}, at=NOW)
    assert declare(engine, KOLKATA) > ahead + AHEAD
    insert(engine, call_row(started_at=further))
    begins = declare(engine, BERLIN)
    assert begins > further + AHEAD
    assert begins.astimezone(BERLIN).time() == datetime.min.time()


def test_machines_that_begin_at_once_with_an_empty_ledger_agree(engine):
    """Whichever writes first: every call from the first quarter that is kept on is in the sums."""
    url, start = engine.url.render_as_string(hide_password=False), threading.Barrier(4)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        own = open_engine(url)
        try:
            ledger = Ledger(own, KOLKATA if number % 2 else BERLIN)
            start.wait()
            if number < 2:
                ledger.prepare()
            for _ in range(5):
                ledger.commit([call_row(started_at=NOW)], journal=f"j{number}", positions={}, at=NOW)
        except BaseException as error:
            failed.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with engine.connect() as connection:
        days = days_kept(connection)
        summed = connection.scalar(sa.select(sa.func.sum(calls_by_local_day.c.calls))) or 0
    assert len(days.zones) in (1, 2)
    assert summed == (20 if days.of(quarter_of(NOW)).kept else 0)
    for zone in (KOLKATA, BERLIN):
        midnight = datetime(2026, 11, 20, tzinfo=zone).astimezone(UTC)
        assert same(engine, ("day", "user"), midnight, midnight + timedelta(days=1), zone) == 20


def test_a_zone_that_this_machine_does_not_know_is_said_and_nothing_is_summed_by_it(engine):
    with engine.begin() as connection:
        connection.execute(sa.insert(local_days).values(quarter=0, tz="Mars/Olympus_Mons"))
    with engine.connect() as connection, pytest.raises(LedgerError, match=r"Mars/Olympus_Mons.*renew tzdata"):
        days_kept(connection)
    with pytest.raises(LedgerError, match="not known here"):
        Ledger(engine).commit([call_row()], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(call_rows)) == 0


def test_the_last_days_that_a_calendar_has_can_be_asked_for(engine):
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    days = LocalDays([(0, KOLKATA)])
    assert days.of(quarter_of(datetime(9998, 12, 31, tzinfo=UTC))).kept
    assert not days.of(quarter_of(end)).kept
    midnight = datetime(2026, 11, 20, tzinfo=KOLKATA).astimezone(UTC)
    assert not days.kept_of(KOLKATA, midnight, end)
    keep(engine, (EPOCH, KOLKATA))
    Ledger(engine).commit([call_row(started_at=NOW)], journal="j", positions={}, at=NOW)
    assert same(engine, ("user", "month"), midnight, end, ZoneInfo("UTC")) == 1


def test_a_ledger_says_once_that_it_keeps_other_days(engine, caplog):
    caplog.set_level("INFO", "joulegate.ledger")
    for _ in range(2):
        Ledger(engine, KOLKATA).prepare()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "joulegate.ledger"]
    assert said == "sums are kept by days of Asia/Kolkata too, of calls from 1970-01-01 00:00:00+00:00 on"
    Ledger(engine).prepare()  # who is told no zone changes nothing
    with engine.connect() as connection:
        assert days_kept(connection) == LocalDays([(0, KOLKATA)])
