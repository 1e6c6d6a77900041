from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reports.chargeback import spread
from proxy.reports.period import Period, QuestionError, zone_named
from tests.reports.asking import question
from tests.rows import UNPRICED, call_row, insert

NOVEMBER = Period(
    start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC), zone=zone_named("UTC")
)


@given(st.integers(0, 10**30), st.lists(st.integers(0, 10**24), min_size=1).filter(any))
def test_all_is_shared_out_and_nobody_is_more_than_one_unit_off(amount, weights):
    shares = spread(amount, weights)
    assert sum(shares) == amount
    assert all(
        abs(share * sum(weights) - amount * weight) < sum(weights)
        for share, weight in zip(shares, weights, strict=True)
    )
    assert all(share == 0 for share, weight in zip(shares, weights, strict=True) if weight == 0)


def test_largest_remainders_come_first_and_of_equal_ones_the_first():
    assert spread(10, [1, 1, 1]) == [4, 3, 3]
    assert spread(7, [10, 20, 11]) == [2, 3, 2]  # 1.71, 3.41, 1.88: two are left over
    assert spread(1, [1, 2]) == [0, 1]


def asked(engine, *allocate):
    with engine.connect() as connection:
        report = question("cost", allocate=allocate).ask(connection, NOVEMBER)
    keys = [column.key for column in report.columns]
    rows = {row[0]: dict(zip(keys, row, strict=True)) for row in report.rows}
    return rows, dict(zip(keys, report.total, strict=True)), report.notes


@pytest.fixture
def spent(engine):
    insert(
        engine,
        call_row(team="search", cost_usd=Decimal("0.3"), input_tokens=100, output_tokens=0),
        call_row(team="ads", cost_usd=Decimal("0.1"), input_tokens=700, output_tokens=100),
        call_row(team=None, cost_usd=Decimal("0.2"), input_tokens=100, output_tokens=0),
        call_row(team="platform", cost_usd=Decimal("0.000000000100")),
        call_row(team="evals", cost_usd=Decimal("0.000000000007")),
    )
    return engine


def test_by_dollars(spent):
    rows, total, notes = asked(spent, "platform=dollars")
    # 100 units over 0.1 : 0.2 : 0.3 and evals' 7e-12, which gets none of them: 16.67, 33.33, 50.
    assert {team: row["allocated_usd"] * 10**12 for team, row in rows.items()} == {
        "ads": 17, None: 33, "search": 50, "evals": 0, "platform": -100,
    }  # fmt: skip
    assert rows["platform"]["cost_usd"] == 0
    assert rows["search"]["cost_usd"] == Decimal("0.300000000050")
    assert sum(row["cost_usd"] for row in rows.values()) == total["cost_usd"] == Decimal("0.600000000107")
    assert total["own_usd"] == total["cost_usd"]
    assert "what platform spent is borne by the others by their share of dollars" in notes


def test_by_tokens_and_of_two_teams_that_do_not_bear_each_other(spent):
    rows, total, _ = asked(spent, "platform=tokens", "evals=tokens")
    assert {team: row["allocated_usd"] * 10**12 for team, row in rows.items()} == {
        None: 10 + 1, "ads": 80 + 5, "search": 10 + 1, "platform": -100, "evals": -7,
    }  # fmt: skip
    assert sum(row["cost_usd"] for row in rows.values()) == total["cost_usd"]


def test_unknown_stays_unknown_and_a_team_without_a_share_bears_nothing(engine):
    insert(engine, call_row(team="platform"), call_row(team="search", **UNPRICED))
    rows, total, notes = asked(engine, "platform=dollars")
    assert rows["search"]["cost_usd"] is None
    assert rows["platform"]["cost_usd"] == total["cost_usd"] == Decimal("0.00075")
    assert "nothing of platform's is allocated: no other team has a share of dollars" in notes
    assert not any("is borne by the others" in note for note in notes)
    rows, total, _ = asked(engine, "platform=tokens")
    assert rows["search"]["own_usd"] is None
    assert rows["search"]["cost_usd"] == total["cost_usd"] == Decimal("0.00075")


def test_of_very_many_teams_the_first_are_named(engine):
    insert(engine, *(call_row(team=f"team {number:03}") for number in range(120)))
    with pytest.raises(QuestionError, match=r"teams: team 000, team 001, .* team 019 and 100 more$"):
        asked(engine, "tema 000=dollars")
