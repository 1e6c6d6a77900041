from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.reports.period import Period, zone_named
from tests.reports.asking import question
from tests.rows import UNESTIMATED, call_row, insert

NOVEMBER = Period(
    start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC), zone=zone_named("UTC")
)


def asked(engine, by):
    with engine.connect() as connection:
        report = question("sci", by=by).ask(connection, NOVEMBER)
    keys = [column.key for column in report.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in report.rows]
    return rows, dict(zip(keys, report.total, strict=True)), report.notes


def test_worked_by_hand(engine):
    """Two calls of 7.2 kJ (0.002 kWh) each on a grid of 400 g/kWh, 0.1 g of hardware each, 1,000 + 500 tokens each.

    E = 0.004 kWh, I = 400 g/kWh, E · I = 1.6 g, M = 0.2 g, R = 3,000 tokens: 1.8 g / 3,000 = 0.6 mg per token.
    The band of E · I is a quarter to four times: (0.4 + 0.2) / 3,000 = 0.2 mg, (6.4 + 0.2) / 3,000 = 2.2 mg.
    """
    call = {
        "joules": 7200.0, "joules_low": 1800.0, "joules_high": 28800.0,
        "joules_shared_down": 5400.0, "joules_shared_up": 21600.0,
        "grams_co2e": 0.8, "grams_co2e_low": 0.2, "grams_co2e_high": 3.2,
        "grams_co2e_shared_down": 0.6, "grams_co2e_shared_up": 2.4,
        "embodied_grams_co2e": 0.1, "input_tokens": 1000, "output_tokens": 500,
    }  # fmt: skip
    insert(engine, call_row(**call), call_row(**call))
    (row,), total, _ = asked(engine, "model")
    assert (row.pop("model"), total.pop("model")) == ("gpt-4o", None)
    assert row == pytest.approx(total)
    assert row == pytest.approx(
        {
            "calls": 2,
            "carbon_unknown_calls": 0,
            "tokens": 3000,
            "joules": 14400.0,
            "grams_per_kwh": 400.0,
            "embodied_grams_co2e": 0.2,
            "grams_per_token_low": 0.0002,
            "grams_per_token": 0.0006,
            "grams_per_token_high": 0.0022,
        }
    )
    kwh = row["joules"] / 3.6e6
    assert (kwh * row["grams_per_kwh"] + row["embodied_grams_co2e"]) / row["tokens"] == pytest.approx(0.0006)


def test_a_call_without_an_estimate_is_on_neither_side(engine):
    insert(engine, call_row(), call_row(**UNESTIMATED), call_row(team="ads", **UNESTIMATED))
    rows, total, notes = asked(engine, "team")
    search, ads = rows
    assert (search["calls"], search["tokens"], search["carbon_unknown_calls"]) == (2, 150, 1)
    assert search["grams_per_token"] == total["grams_per_token"] == pytest.approx((0.04 + 0.005) / 150)
    assert (ads["tokens"], ads["grams_per_token"]) == (None, None)
    assert any(note.startswith("2 calls of 3 without a carbon estimate, so they are on neither side") for note in notes)


def test_what_is_missing_of_a_fraction_is_said(engine):
    insert(engine, call_row(embodied_grams_co2e=None), call_row(team="ads", grams_co2e=None), call_row(team="ads"))
    rows, _, notes = asked(engine, "team")
    bare = next(row for row in rows if row["embodied_grams_co2e"] is None)
    assert bare["grams_per_token"] == pytest.approx(0.04 / 150)
    assert "calls whose M is unknown, so that it is E · I alone: 1" in notes
    assert "calls whose tokens are in R, but whose grams are unknown: 1" in notes


def test_parts_keep_to_their_groups_when_a_dimension_is_asked_for_that_they_are_made_of(engine):
    insert(engine, call_row(), call_row(provider="azure"), call_row(provider="azure", model="gpt-5"))
    rows, total, _ = asked(engine, "tier,provider")
    assert sorted((row["provider"], row["tokens"]) for row in rows) == [("azure", 300), ("openai", 150)]
    assert total["tokens"] == 450


def test_rows_that_are_their_own_parts_have_their_bands(engine):
    insert(engine, call_row(), call_row(model="o3"), call_row(team="ads"))
    rows, total, _ = asked(engine, "provider,model,tier")
    assert len(rows) == 2
    for row in (*rows, total):
        assert row["grams_per_token_low"] < row["grams_per_token"] < row["grams_per_token_high"]
    _, total_by_team, _ = asked(engine, "team")
    assert [total[key] for key in list(total)[3:]] == pytest.approx(
        [total_by_team[key] for key in list(total_by_team)[1:]]
    )
