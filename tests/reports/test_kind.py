from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from proxy.ledger.read import SUMMED
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
