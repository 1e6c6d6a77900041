from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from proxy.console.today import KEPT_SECONDS, Today
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import totals
from tests.console.conftest import NOON
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

UTC_ZONE = ZoneInfo("UTC")


def test_splits_and_total_are_what_the_ledger_says(engine):
    insert(
        engine,
        *(call_row(team=team, model=model) for team in ("a", "b", None) for model in ("x", "y")),
        call_row(team="a", **UNPRICED),
        call_row(team="b", model="z", **UNESTIMATED),
        call_row(**UNMETERED),
        call_row(started_at=NOON + timedelta(days=1)),
    )
    sums = Today(engine, Evidence(), now=lambda: NOON).sums(UTC_ZONE)
    asked = {"start": sums.period.start, "end": sums.period.end, "zone": UTC_ZONE}
    with engine.connect() as connection:
        (total,) = totals(connection, **asked)
        teams = {group.key: group for group in totals(connection, by=("team",), **asked)}
        models = {group.key: group for group in totals(connection, by=("model",), **asked)}
    assert sums.total == total
    assert {group.key: group for group in sums.by_team} == teams
    assert {group.key: group for group in sums.by_model} == models
    assert [group.calls for group in sums.by_team] == sorted((each.calls for each in teams.values()), reverse=True)


def test_the_ledger_is_asked_once_in_a_while(engine):
    clock = [0.0]
    today = Today(engine, Evidence(), now=lambda: NOON, clock=lambda: clock[0])
    assert today.sums(UTC_ZONE).total.calls == 0
    insert(engine, call_row())
    clock[0] += KEPT_SECONDS - 0.1
    assert today.sums(UTC_ZONE).total.calls == 0
    assert today.sums(ZoneInfo("Europe/Berlin")).total.calls == 1  # another day is another question
    clock[0] += 0.2
    assert today.sums(UTC_ZONE).total.calls == 1


def test_a_slow_ledger_is_asked_less_often(engine):
    ticks = iter([0.0, 3.0, 29.0, 32.0, 33.0, 33.0, 33.0])  # the first reading takes from 0 to 3
    today = Today(engine, Evidence(), now=lambda: NOON, clock=lambda: next(ticks))
    today.sums(UTC_ZONE)
    insert(engine, call_row())
    assert today.sums(UTC_ZONE).total.calls == 0  # at 29
    assert today.sums(UTC_ZONE).total.calls == 0  # at 32
    assert today.sums(UTC_ZONE).total.calls == 1  # at 33


def test_midnight_begins_a_new_day(engine):
    insert(engine, call_row())
    now, clock = [NOON], [0.0]
    today = Today(engine, Evidence(), now=lambda: now[0], clock=lambda: clock[0])
    assert today.sums(UTC_ZONE).total.calls == 1
    now[0] += timedelta(days=1)
    clock[0] += KEPT_SECONDS
    assert today.sums(UTC_ZONE).total.calls == 0
