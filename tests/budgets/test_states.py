"""How budgets stand, as commands, the API, metrics and notices say it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from proxy.cli import command_line
from proxy.config import load
from proxy.ledger.budget_states import crossings, states
from proxy.ledger.budget_tables import budgets
from proxy.ledger.engine import shown
from proxy.reports.figures import amount
from tests.budgets.services import answers, asks, budget, call, config
from tests.budgets.test_spent import A_CALL, NOW, Machine, made
from tests.crash.running import metric, wait_for
from tests.loopback import provider
from tests.rows import UNPRICED, call_row
from tests.service.running import get, service


@pytest.fixture
def machine(engine):
    found = Machine(
        engine,
        made("month", thresholds=(0.5,)),
        made("rolling", window="30d", user="ann", mode="soft"),
        made("at-once", unit="concurrent_requests", window=None, limit=3),
    )
    found.record(*(call_row() for _ in range(6)), call_row(user="ann"), call_row(**UNPRICED))
    for slot in range(3):
        found.call(slot)
    found.tend()
    return found


def test_what_is_used_left_and_to_be_expected(engine, machine):
    with engine.connect() as connection:
        found = {each.name: each for each in states(connection, NOW)}
    month, rolling, at_once = found["month"], found["rolling"], found["at-once"]
    assert (month.used, month.left, month.unknown_calls) == (Decimal("0.00525"), Decimal("0.00225"), 1)
    assert (month.used_ratio, month.state) == (0.7, "near")
    assert month.window_ends == datetime(2026, 12, 1, tzinfo=UTC)
    assert month.forecast == pytest.approx(Decimal("0.00525") * 30 / Decimal("22.5"))  # it is noon of the 23rd
    assert (rolling.used, rolling.forecast, rolling.window_ends) == (Decimal("0.00075"), None, None)
    assert (at_once.used, at_once.state, at_once.limit) == (None, None, 3)


def test_what_nobody_has_asked_for_yet_is_summed_up_for_the_answer(engine):
    Machine(engine).record(call_row(), call_row())
    Machine(engine, made(), made("rolling", window="30d"))
    with engine.connect() as connection:
        assert [each.used for each in states(connection, NOW)] == [Decimal("0.0015")] * 2


def test_a_budget_of_a_time_zone_that_is_not_known_here_hides_no_other(engine, machine):
    with engine.begin() as connection:
        connection.execute(sa.update(budgets).where(budgets.c.name == "month").values(tz="Mars/Base"))
    with engine.connect() as connection:
        found = {each.name: each for each in states(connection, NOW)}
    month = found["month"]
    assert (month.limit, month.window, month.tz) == (Decimal("0.0075"), "month", "Mars/Base")
    assert (month.state, month.used, month.left, month.window_ends) == (None, None, None, None)
    assert found["rolling"].used == Decimal("0.00075")


def test_a_threshold_that_was_passed(engine, machine):
    with engine.connect() as connection:
        (crossing,) = crossings(connection, NOW)
        assert crossings(connection, datetime(2026, 11, 25, tzinfo=UTC)) == []
    assert (crossing.budget, crossing.bucket, crossing.threshold) == ("month", datetime(2026, 11, 1, tzinfo=UTC), 0.5)
    assert (crossing.used, crossing.limit) == (Decimal("0.00525"), Decimal("0.0075"))


def test_the_commands(engine, machine, ledger_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    app = command_line(["budgets"])
    listed = run.invoke(app, ["budgets", "list", "--json", "--database", ledger_url])
    assert listed.exit_code == 0, listed.output
    assert {each["name"] for each in json.loads(listed.stdout)} == {"month", "rolling", "at-once"}
    told = run.invoke(app, ["budgets", "show", "month", "--database", ledger_url], env={"COLUMNS": "200"})
    assert "team search" in told.stdout
    assert "50% passed: 0.00525 of 0.0075 usd" in told.stdout
    assert run.invoke(app, ["budgets", "show", "none", "--database", ledger_url]).exit_code != 0
    assert shown(ledger_url) not in told.stdout


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.1", "0.1"), ("500", "500"), ("12345.678901", "12345.7"), ("0.00000123456789", "0.00000123457"), ("0", "0")],
)
def test_an_amount_for_people(value, text):
    assert amount(Decimal(value)) == text


def test_metrics_and_the_api_of_a_service(tmp_path):
    with provider(answers(lambda: 1000)) as origin:
        lines = [
            budget(limit=A_CALL / 10**12 * 4),
            budget("of-ann", "tokens", 4000, "day", team=None, user="ann", mode="soft"),
        ]
        toml = config(origin.origin, *lines)
        with service(tmp_path, toml) as running:
            wait_for(lambda: "joulegate_budget_used_ratio{" in get(f"{running.console}/metrics").text, running)
            assert metric(running, "joulegate_budget_used_ratio", team="other", unit="tokens", window="day") == 0
            call([running.gate], 1, asks())

            def used() -> float:
                return metric(running, "joulegate_budget_used_ratio", team="search", unit="usd", window="month")

            wait_for(lambda: used() > 0, running)
            told = {each["name"]: each for each in get(f"{running.console}/api/budgets").json()["budgets"]}
            assert float(told["b"]["used_ratio"]) == pytest.approx(used(), abs=1e-6)
            assert told["of-ann"]["used"] == "0"
            assert load(tmp_path / "joulegate.toml", environment={}).config.budget[0].name == "b"
