"""Reports from the rollups say what the rows say: in every zone, by every dimension, however the rows came in."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from proxy.errors import NoSumsError
from proxy.ledger.engine import WRITE
from proxy.ledger.local_days import keep_days
from proxy.ledger.read import Totals, splits
from proxy.ledger.rollup_tables import (
    calls_by_day,
    calls_by_four_hours,
    calls_by_hour,
    calls_by_quarter,
    detail_keys,
    details_by_day,
    finer_sums,
    four_hours_kept,
    model_keys,
)
from proxy.ledger.rollups import Rollups
from proxy.ledger.sources import DIMENSIONS, FEW, TIME_DIMENSIONS
from proxy.ledger.stretches import questions
from proxy.ledger.tables import call_kinds, call_rows, calls
from proxy.ledger.write import Ledger
from tests.ledger.test_write import NOW
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham")
# Around the nights when clocks are set in Berlin, New York or Chatham, in spring and in autumn.
AROUND = [
    datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 8), (3, 29), (4, 4), (9, 26), (10, 25), (11, 1))
]
OLD = dict.fromkeys(("estimate_key", "joules_shared_down", "joules_shared_up", "grid_source"))


def random_rows(draw: random.Random, number: int, begin: datetime, days: float):
    kinds = ({}, {}, {}, UNPRICED, UNESTIMATED, UNMETERED, UNMETERED | {"provider": None, "outcome": "rejected"}, OLD)
    for _ in range(number):
        changes = {
            "started_at": begin
            + timedelta(seconds=draw.randrange(int(days * 86_400)), microseconds=draw.randrange(10**6)),
            "team": draw.choice(("a", "b", None)),
            "project": draw.choice(("p", None)),
            "user": draw.choice(("u1", "u2", None)),
            "model": draw.choice(("gpt-4o", "o3", None)),
            "surface": draw.choice(("openai.chat", "other")),
            "usage_source": draw.choice(("reported", "counted", "inferred")),
            "cost_usd": Decimal(draw.randrange(10**12)).scaleb(-12),
            "joules_shared_down": draw.uniform(0, 300),
        }
        yield call_row(**changes | draw.choice(kinds))


def figures(group: Totals) -> list[object]:
    return [getattr(group, name) for name in Totals.__struct_fields__[1:]]


def nearly(group: Totals) -> list[object]:
    """The figures, those that are no whole or decimal numbers as nearly what they are."""
    return [pytest.approx(each, rel=1e-9) if isinstance(each, float | dict) else each for each in figures(group)]


def finer_after(engine: sa.Engine, at: datetime, since: sa.Table = finer_sums) -> None:
    """Let sums over few dimensions have all of them from a day on, as the migration of a filled ledger does."""
    with engine.begin() as connection:
        connection.execute(sa.insert(since).values(quarter=int(at.timestamp()) // 86_400 * 96))


def same(engine: sa.Engine, by: tuple[str, ...], start: datetime, end: datetime, zone: ZoneInfo, **more) -> int:
    """Compare the two ways of reading; gives how many calls there were."""
    asked = {"start": start, "end": end, "zone": zone} | more
    with engine.connect() as connection:
        found, (total,) = splits(connection, (by, ()), **asked)
    with engine.connect() as connection:
        expected, (whole,) = splits(connection, (by, ()), **asked, from_rows=True)
    left, right = ({group.key: group for group in groups} for groups in (found, expected))
    assert left.keys() == right.keys(), (by, asked)
    for key, group in left.items():
        assert figures(group) == nearly(right[key]), (by, key, asked)
    assert figures(total) == nearly(whole)
    assert sum(group.calls for group in found) == total.calls
    return total.calls


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_the_rollups_are_those_of_the_rows(engine, seed):
    draw = random.Random(seed)
    begin = draw.choice(AROUND) - timedelta(days=2)
    if seed == 2:  # a ledger of an earlier release
        finer_after(engine, begin + timedelta(days=2))
        finer_after(engine, begin + timedelta(days=3), four_hours_kept)
    ledger, rows = Ledger(engine), list(random_rows(draw, 400, begin, 5))
    draw.shuffle(rows)
    for start in range(0, 300, 60):
        ledger.commit(rows[start : start + 60], journal="j", positions={}, at=NOW)
    insert(engine, *rows[300:])  # as a release without rollups does, which are taken in later
    calls_seen = 0
    for number in range(40):
        if number % 13 == 12:
            ledger.roll_up(limit=40)
        by = tuple(draw.sample(DIMENSIONS, draw.randrange(4)))
        edges = sorted(draw.choice((begin, begin - timedelta(1))) + timedelta(hours=draw.uniform(0, 130)) for _ in "ab")
        step = draw.choice((1, 900, 3600, 86_400))
        start, end = (each - timedelta(seconds=each.timestamp() % step) for each in edges)
        calls_seen += same(engine, by, start, end, ZoneInfo(draw.choice(ZONES)))
    assert calls_seen > 2000
    while ledger.roll_up():
        pass
    for by in ((), ("team", "model"), ("day", "team"), ("user", "month"), tuple(DIMENSIONS)):
        same(engine, by, begin, begin + timedelta(days=5), ZoneInfo("Asia/Kathmandu"))


@pytest.mark.parametrize("by", [("team",), ("team", "model"), ("project", "team"), ("user",), ("model_requested",)])
def test_one_group_alone_has_the_figures_it_has_among_the_others(engine, by):
    draw = random.Random(",".join(by))
    begin = AROUND[0] - timedelta(days=2)
    rows = list(random_rows(draw, 200, begin, 5))
    Ledger(engine).commit(rows[:150], journal="j", positions={}, at=NOW)
    insert(engine, *rows[150:])
    start, zone = begin + timedelta(hours=7, minutes=3), ZoneInfo("Asia/Kolkata")
    asked = {"start": start, "end": start + timedelta(days=3, minutes=8), "zone": zone}
    with engine.connect() as connection:
        (groups,) = splits(connection, (by,), **asked)
        assert len(groups) > 1
        for group in groups:
            where = dict(zip(by, group.key, strict=True))
            ((alone,),) = splits(connection, ((),), **asked, where=where)
            assert figures(alone) == nearly(group), where
        nobody, (total,) = splits(connection, (by, ()), **asked, where={by[0]: "nobody's"})
    assert (nobody, total) == ([], Totals())
    for where in ({by[0]: groups[0].key[0]}, {"surface": "other", by[0]: groups[-1].key[0]}):
        for split_by in ((), ("day", "team"), ("hour",), ("outcome",)):
            same(engine, split_by, **asked, where=where)


@pytest.mark.parametrize("zone", ZONES)
def test_local_days_add_up_to_the_range(engine, zone):
    draw, local = random.Random(zone), ZoneInfo(zone)
    for around in AROUND[1:5:3]:
        begin = around - timedelta(days=2)
        Ledger(engine).commit(random_rows(draw, 150, begin, 5), journal="j", positions={}, at=NOW)
        start, end = (datetime(each.year, each.month, each.day, tzinfo=local) for each in (begin, begin + timedelta(4)))
        with engine.connect() as connection:
            days, hours, (total,) = splits(connection, (("day",), ("hour",), ()), start=start, end=end, zone=local)
        assert len(days) == 4
        assert sum(day.calls for day in days) == sum(hour.calls for hour in hours) == total.calls > 0
        assert sum(day.cost_usd for day in days) == total.cost_usd
        singly = 0
        for number in range(4):
            one = start + timedelta(days=number)
            with engine.connect() as connection:
                ((day,),) = splits(connection, ((),), start=one, end=one + timedelta(days=1), zone=local)
            singly += day.calls
        assert singly == total.calls


def test_bands_are_reckoned_where_they_are_wanted(engine):
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    Ledger(engine).commit(random_rows(random.Random(2), 100, begin, 3), journal="j", positions={}, at=NOW)
    asked = {"start": begin, "end": begin + timedelta(days=3), "zone": ZoneInfo("Asia/Kolkata")}
    with engine.connect() as connection:
        teams, days = splits(connection, (("team",), ("day", "team")), **asked, bandless=(("day", "team"),))
        (banded,) = splits(connection, (("day", "team"),), **asked)
    assert all(team.joules_low < team.joules < team.joules_high for team in teams)
    assert {(day.joules_low, day.grams_co2e_high) for day in days} == {(None, None)}
    assert {day.key: (day.calls, day.cost_usd, pytest.approx(day.joules)) for day in days} == {
        day.key: (day.calls, day.cost_usd, day.joules) for day in banded
    }


def test_a_row_counts_once_however_often_it_comes(engine):
    rows = [call_row() for _ in range(5)]
    for _ in range(2):
        Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    Ledger(engine).commit([*rows, call_row(output_tokens=2**63)], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        for table in (calls_by_quarter, calls_by_hour, calls_by_four_hours, calls_by_day, details_by_day):
            assert connection.execute(sa.select(table.c.calls, table.c.input_tokens)).all() == [(5, 500)]
        assert connection.scalar(sa.select(sa.func.count()).select_from(calls).where(calls.c.rolled_up)) == 5
    assert Ledger(engine).roll_up() == 0


def test_the_rollups_are_all_that_a_report_of_whole_days_reads(engine):
    """What has been summed does not need its rows any more."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    Ledger(engine).commit(random_rows(random.Random(1), 200, begin, 30), journal="j", positions={}, at=NOW)
    month = {"start": begin, "end": begin + timedelta(days=30), "zone": ZoneInfo("UTC")}
    kolkata = {
        "start": begin - timedelta(hours=5.5),
        "end": begin + timedelta(days=29),
        "zone": ZoneInfo("Asia/Kolkata"),
    }
    asked = [
        (month, ("team", "model")),
        (month, ("user", "day", "tier")),
        (kolkata, ("day", "provider")),
        (kolkata, ("hour",)),
    ]
    with engine.connect() as connection:
        before = [splits(connection, (by,), **period) for period, by in asked]
    with engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
    with engine.connect() as connection:
        assert [splits(connection, (by,), **period) for period, by in asked] == before
    assert sum(group.calls for group in before[0][0]) == 200


def test_no_report_by_few_dimensions_reads_rows_in_any_zone(engine):
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    finer_after(engine, begin + timedelta(days=20))
    Ledger(engine).commit(random_rows(random.Random(1), 300, begin, 30), journal="j", positions={}, at=NOW)
    by, kathmandu = ("day", *FEW), {"zone": ZoneInfo("Asia/Kathmandu")}
    since = {"start": begin + timedelta(days=20, minutes=15), "end": begin + timedelta(days=30)} | kathmandu
    assert same(engine, by, **since) > 0
    assert same(engine, by, **since | {"start": begin + timedelta(minutes=15)}) > 0
    with engine.connect() as connection:
        before = splits(connection, (by, ("project",)), **since)
    with engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
    with engine.connect() as connection:
        after = splits(connection, (by, ("project",)), **since)
    for one, other in zip(before, after, strict=True):
        assert sorted((str(each.key), each.calls) for each in one) == sorted(
            (str(each.key), each.calls) for each in other
        )


def test_calls_of_before_the_sums_were_finer_are_changed_where_they_are(engine):
    rows = list(random_rows(random.Random(5), 60, AROUND[2], 1))
    finer_after(engine, AROUND[2] + timedelta(days=9))
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    changed = [msgspec.structs.replace(row, cost_usd=None, tier="measured") for row in rows]
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.update(call_kinds).values(tier="measured"))
        connection.execute(sa.update(call_rows).values(cost_usd=None))
        Rollups(engine.dialect).replace(connection, rows, changed)
    period = {"start": AROUND[2], "end": AROUND[2] + timedelta(days=1), "zone": ZoneInfo("UTC")}
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(model_keys.c.tier.is_not(None))) == 0
    for by in (("team", "model"), ("tier", "project")):
        assert same(engine, by, **period) == 60


def test_days_are_asked_for_as_days():
    month = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC)}
    asked = [str(each.select) for each in questions(("team", "model"), **month, zone=ZoneInfo("UTC"))]
    assert ["calls_by_day" in each for each in asked] == [True, False]  # the other looks for what is not summed yet
    assert "rolled_up" in asked[1]


def test_a_dimension_nobody_knows_is_a_key_error(engine):
    with engine.connect() as connection, pytest.raises(KeyError):
        splits(connection, (("planet",),), start=NOW, end=NOW + timedelta(days=1), zone=ZoneInfo("UTC"))
    for where in ({"planet": "Earth"}, {"day": "2026-11-23"}):
        with engine.connect() as connection, pytest.raises(KeyError):
            splits(connection, ((),), start=NOW, end=NOW + timedelta(days=1), zone=ZoneInfo("UTC"), where=where)
    assert set(TIME_DIMENSIONS) < set(DIMENSIONS)


def test_keys_are_written_once_and_by_their_dimensions(engine):
    ledger = Ledger(engine)
    for _ in range(3):
        ledger.commit([call_row(), call_row(team=None), call_row(user="u")], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        assert set(connection.scalars(sa.select(model_keys.c.team))) == {"search", None}
        assert set(connection.execute(sa.select(detail_keys.c.team, detail_keys.c.user))) == {
            ("search", None),
            (None, None),
            ("search", "u"),
        }


def test_where_all_is_summed_up_no_report_of_whole_days_reads_rows(engine):
    Ledger(engine).commit([call_row() for _ in range(300)], journal="j", positions={}, at=NOW)
    heard: list[str] = []
    november = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC)}
    with engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: heard.append(given[2]))
        splits(connection, (("team",),), **november, zone=ZoneInfo("UTC"))
        (looked,) = [each for each in heard if "FROM call_rows " in each]
        assert "LIMIT 1" in looked
        if engine.dialect.name == "sqlite":
            assert "ix_call_rows_not_rolled_up" in str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {looked}").all())


def test_calls_that_no_sum_has_yet_are_found_without_reading_the_others(engine):
    ledger = Ledger(engine)
    ledger.commit([call_row() for _ in range(300)], journal="j", positions={}, at=NOW)
    insert(engine, call_row(user="late"))
    heard: list[tuple[str, object]] = []
    november = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC)}
    with engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: heard.append(given[2:4]))
        found, days = splits(connection, (("user",), ("day",)), **november, zone=ZoneInfo("UTC"))
    assert sum(group.calls for group in found) == sum(day.calls for day in days) == 301
    rows = [(text, given) for text, given in heard if "rolled_up" in text]
    assert len(rows) >= 2
    if engine.dialect.name == "sqlite":  # PostgreSQL reads a table of few rows whole
        with engine.connect() as connection:
            for text, given in rows:
                plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).all())
                assert "ix_call_rows_not_rolled_up" in plan, text


OF_CALLS = re.compile(r"(FROM|JOIN)\s+(calls|call_rows)\b(?!.*NOT (calls\.|call_rows\.)?rolled_up)", re.DOTALL)


@pytest.mark.parametrize("seed", range(2))
def test_where_sums_alone_may_be_read_no_call_is_that_has_them(engine, seed):
    """Either the answer is the same without the calls, or there is none."""
    draw = random.Random(seed)
    begin = draw.choice(AROUND) - timedelta(days=2)
    rows = list(random_rows(draw, 150, begin, 4))
    with engine.begin() as connection:
        keep_days(connection, ZoneInfo("Asia/Kathmandu"), NOW)
    Ledger(engine).commit(rows[:140], journal="j", positions={}, at=NOW)
    insert(engine, *rows[140:], call_row(started_at=begin - timedelta(days=3)))  # that no sum has yet
    heard: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: heard.append(given[2]))
    answers = {True: 0, False: 0}
    for _ in range(60):
        by = tuple(draw.sample(DIMENSIONS, draw.randrange(4)))
        step, past = draw.choice(((60, 0), (900, 0), (86_400, 0), (86_400, 86_400 - 345 * 60)))  # Kathmandu's midnight
        edges = sorted(begin + timedelta(hours=draw.uniform(-30, 110)) for _ in "ab")
        start, end = (each - timedelta(seconds=(each.timestamp() - past) % step) for each in edges)
        asked = {"start": start, "end": end, "zone": ZoneInfo(draw.choice(("UTC", "Asia/Kathmandu", "Europe/Berlin")))}
        heard.clear()
        with engine.connect() as connection:
            try:
                (answer,) = splits(connection, (by,), **asked, sums_only=True)
            except NoSumsError:
                answer = None
        assert not [each for each in heard if OF_CALLS.search(each)]
        heard.clear()
        with engine.connect() as connection:
            (whole,) = splits(connection, (by,), **asked)
        answers[answer is not None] += 1
        if answer is not None:
            expected = {group.key: nearly(group) for group in whole}
            assert {group.key: figures(group) for group in answer} == expected
            assert not [each for each in heard if OF_CALLS.search(each)]
    assert min(answers.values()) > 10, answers


def test_an_answer_about_calls_is_by_local_days(engine):
    """So the time of a report goes with what it shows, and only the database's with the calls."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [call_row(started_at=begin + timedelta(minutes=7 * n), user=f"u{n % 3}") for n in range(400)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    period = {"start": begin + timedelta(hours=4), "end": begin + timedelta(days=2), "zone": ZoneInfo("Asia/Kolkata")}
    with engine.connect() as connection:
        answers = [connection.execute(each.select).all() for each in questions(("day", "user"), **period, left=False)]
    assert [len(answer) for answer in answers] == [3 * 3]
    assert same(engine, ("day", "user"), **period) == same(engine, ("hour", "user", "outcome"), **period) > 300


def test_an_absurd_cost_stops_no_recording(engine):
    """A provider that states billions of a billed unit must not keep the calls of others out of the ledger."""
    ledger = Ledger(engine)
    absurd = [call_row(cost_usd=Decimal(9_300_000), started_at=NOW) for _ in range(2)]
    committed = ledger.commit([*absurd, call_row(started_at=NOW)], journal="j", positions={}, at=NOW)
    assert (len(committed.new), committed.refused) == (3, ())
    ledger.commit([call_row(cost_usd=Decimal(9_300_000), started_at=NOW)], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        (found,) = splits(
            connection, ((),), start=NOW - timedelta(days=1), end=NOW + timedelta(days=1), zone=ZoneInfo("UTC")
        )[0]
    assert found.calls == 4
    assert float(found.cost_usd) == pytest.approx(27_900_000, rel=1e-6)
