from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from proxy.ledger.read import SUMMED
from proxy.reports.period import parse
from tests.reports.asking import NOW, question
from tests.reports.test_sci import NOVEMBER
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert


@pytest.mark.parametrize("by", ["", "day,team", "tier,user"])
@pytest.mark.parametrize("name", ["cost", "energy", "carbon", "water", "sci", "ghg"])
def test_a_report_of_the_figures_it_reads_is_that_of_all(engine, name, by):
    kinds = ({}, {"team": "ads", "model": "o3"}, UNPRICED, UNESTIMATED, UNMETERED, {"embodied_grams_co2e": None})
    insert(engine, *(call_row(**kind | {"started_at": NOW - timedelta(days=n)}) for n, kind in enumerate(kinds)))
    asked = question(name, by=by)
    assert set(asked.figures) < set(SUMMED)
    with engine.connect() as connection:
        made = asked.ask(connection, NOVEMBER)
        whole = replace(asked, figures=SUMMED).ask(connection, NOVEMBER)
    assert made == whole
    assert made.rows


@pytest.mark.parametrize(("name", "by"), [("cost", "hour"), ("energy", "hour,team")])
def test_an_hour_that_clocks_show_twice_is_in_its_order(engine, name, by):
    begins = datetime(2026, 10, 24, 23, tzinfo=UTC)
    insert(engine, *(call_row(started_at=begins + timedelta(hours=n)) for n in range(4)))
    october = parse(month="2026-10", start=None, end=None, tz="Europe/Berlin", now=NOW)
    with engine.connect() as connection:
        made = question(name, by=by).ask(connection, october)
    hours = ["2026-10-25 01:00+0200", "2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 03:00+0100"]
    assert [row[0] for row in made.rows] == hours
