"""What a budget may be, in the words of a configuration, and which calls it is for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from proxy.budgets.budget import Budgets, budget_of
from proxy.budgets.units import recorded, shown, steps_of
from proxy.config import load
from proxy.errors import ConfigError
from proxy.sections import BudgetSection
from tests.rows import UNMETERED, UNPRICED, call_row

GOOD = {"name": "b", "team": "search", "unit": "usd", "limit": 1.0, "window": "month"}


def made(**changes: object):
    return budget_of(BudgetSection(**(GOOD | changes)))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('unit = "usd"\nlimit = -5\nwindow = "day"\nteam = "a"', r"Expected `float` > 0.0.*budget"),
        ('unit = "usd"\nlimit = 0\nwindow = "day"\nteam = "a"', r"Expected `float` > 0.0.*budget"),
        ('unit = "usd"\nlimit = 5\nwindow = "day"', "budget `b`: say whose it is: team, project, user or key"),
        ('unit = "usd"\nlimit = 5\nteam = "a"', 'budget `b`: for how long\\? Set window = "month"'),
        ('unit = "usd"\nlimit = 5\nteam = "a"\nwindow = "year"', 'budget `b`: window = "year": say minute, hour, day'),
        ('unit = "usd"\nlimit = 5\nteam = "a"\nwindow = "day"\ntz = "Mars"', 'budget `b`: tz = "Mars" is no IANA'),
        ('unit = "eur"\nlimit = 5\nteam = "a"\nwindow = "day"', "allowed are concurrent_requests, gco2e, kwh, liters"),
        ('unit = "usd"\nlimit = 1e13\nteam = "a"\nwindow = "day"', "budget `b`: limit = 1e\\+13 is no limit"),
        ('unit = "tokens"\nlimit = 0.5\nteam = "a"\nwindow = "day"', "limit = 0.5 tokens cannot be: give a whole"),
        ('unit = "requests"\nlimit = 1.5\nteam = "a"\nwindow = "day"', "limit = 1.5 requests cannot be: give a whole"),
        ('unit = "usd"\nlimit = 1e-13\nteam = "a"\nwindow = "day"', "budget `b`: limit = 1e-13 usd is less than"),
        ('unit = "concurrent_requests"\nlimit = 5\nteam = "a"\nwindow = "day"', "without a window"),
        ('unit = "concurrent_requests"\nlimit = 5\nteam = "a"', 'set mode = "hard"'),
        ('unit = "usd"\nlimit = 5\nteam = "a"\nwindow = "day"\nmode = "strict"', "allowed are"),
        ('unit = "usd"\nlimit = 5\nteam = "a"\nwindow = "day"\nlimits = 3', "unknown field `limits`"),
    ],
)
def test_a_budget_that_cannot_be_is_a_clear_error(tmp_path, lines, says):
    path = tmp_path / "joulegate.toml"
    path.write_text(f'[[budget]]\nname = "b"\n{lines}\n')
    with pytest.raises(ConfigError, match=says):
        load(path, environment={})


def test_a_name_is_there_once(tmp_path):
    path = tmp_path / "joulegate.toml"
    path.write_text('[[budget]]\nname = "b"\nteam = "a"\nunit = "usd"\nlimit = 5\nwindow = "day"\n' * 2)
    with pytest.raises(ConfigError, match="budget `b` is there twice"):
        load(path, environment={})


def test_a_limit_is_exactly_what_is_written():
    assert made(limit=0.1).limit == 10**11
    assert made(limit=500).limit == 500 * 10**12
    assert made(limit=7.0, unit="tokens").limit == 7
    assert shown(steps_of(0.3, "usd"), "usd") == Decimal("0.3")
    assert made(limit=0.25).says() == "0.25 usd a month"
    assert made(window="30d").says() == "1 usd in 30d"
    assert made(window=None, unit="concurrent_requests", mode="hard").says() == "1 concurrent requests"


def test_another_limit_counts_the_same_and_another_window_anew():
    assert made().measure == made(limit=3.0, mode="hard").measure
    others = [made(window="day"), made(tz="Asia/Tokyo"), made(unit="kwh"), made(team="ads"), made(user="a")]
    assert len({made().measure, *(each.measure for each in others)}) == 6


def test_a_call_has_the_budgets_that_all_of_its_names_fit():
    of_team, of_user = made(name="t"), made(name="u", team=None, user="ann")
    of_both, of_key = made(name="both", user="ann"), made(name="k", team=None, key="k1")
    budgets = Budgets([of_team, of_user, of_both, of_key])

    def found(*who: str | None) -> set[str]:
        return {each.name for each in budgets.of(*who)}

    assert found("search", None, None, None) == {"t"}
    assert found("search", "p", "ann", "k1") == {"t", "u", "both", "k"}
    assert found("ads", None, "ann", None) == {"u"}
    assert found(None, None, None, None) == set()


@pytest.mark.parametrize(
    ("unit", "changes", "steps", "unknown"),
    [
        ("usd", {"cost_usd": Decimal("0.000750")}, 750_000_000, False),
        ("kwh", {"joules": 3600.0}, 10**9, False),
        ("gco2e", {"grams_co2e": 0.04}, 4 * 10**10, False),
        ("liters", {"liters": 0.0005}, 5 * 10**8, False),
        ("tokens", {"input_tokens": 100, "output_tokens": 50}, 150, False),
        ("tokens", {"output_tokens": None}, 100, False),
        ("usd", UNPRICED, 0, True),
        ("tokens", UNMETERED, 0, True),
        ("usd", UNMETERED | {"outcome": "rejected"}, 0, False),
        ("usd", UNMETERED | {"outcome": "error", "reason": "upstream_unreachable"}, 0, False),
        ("usd", UNMETERED | {"outcome": "interrupted", "reason": "gate_process_ended"}, 0, True),
        ("requests", {"operation_id": "x", "id": "x"}, 1, False),
        ("requests", {"operation_id": "x", "id": "y", "attempt": 2}, 0, False),
        ("requests", {"operation_id": "x", "id": "x", "outcome": "rejected"}, 0, False),
        ("kwh", {"joules": float("nan")}, 0, True),
    ],
)
def test_what_a_row_adds(unit, changes, steps, unknown):
    assert recorded(call_row(**changes), unit) == (steps, unknown)
