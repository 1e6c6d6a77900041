"""The SQL of the dashboards before a real PostgreSQL: as the role that Grafana has, and equal to the reports."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.rows import dict_row

from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.ledger.rollups import Rollups, roll_up
from proxy.reports.period import Period, month_of
from tests.dashboards.boards import ASKED, LEDGER, Asked, folder
from tests.dashboards.ledger import MONTH, NOVEMBER, Ledger, alike, check, named, of
from tests.databases import PostgresServer
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

PASSWORD = "it's a secret"
SQL = [each for each in ASKED if each.sql]


def reader(server: PostgresServer, database: str) -> psycopg.Connection[dict[str, Any]]:
    """Make the role with the script that the container runs, and connect as it."""
    uri = server.server.get_uri(database=database)
    host = psycopg.conninfo.conninfo_to_dict(uri)["host"]
    environment = {
        "PATH": f"{server.server.bin_path}:{os.environ['PATH']}",
        "PGHOST": str(host),
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": database,
        "JOULEGATE_READER_PASSWORD": PASSWORD,
    }
    script = folder("postgres") / "reader.sh"
    for _ in range(2):  # again, as after a change of the password
        subprocess.run([str(script)], env=environment, check=True, capture_output=True)
    return psycopg.connect(uri, user="reader", password=PASSWORD, autocommit=True, row_factory=dict_row)


@pytest.fixture(scope="module")
def ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    url = postgres.database()
    database = url.partition("?")[0].rpartition("/")[2]
    # Before there is a ledger, as in the container.
    with reader(postgres, database) as reading:
        engine = open_engine(url)
        migrate(engine)
        insert(engine, *rows())
        with engine.begin() as connection:
            rollups = Rollups(engine.dialect)
            while roll_up(connection, rollups, 1000):
                pass
        engine.dispose()
        yield Ledger(url, reading)
    postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)', "DROP ROLE reader")


def rows() -> Iterator[Any]:
    """Calls of three months, at the months' edges too, of every kind that reports tell apart."""
    first, last = NOVEMBER.start, NOVEMBER.end - timedelta(microseconds=1)
    for number, moment in enumerate((first, first + timedelta(days=9, hours=5), last, first - timedelta(seconds=1))):
        yield call_row(started_at=moment, cost_usd=Decimal("0.000000000001") * (number + 1))
        yield call_row(started_at=moment, team="o'brien", joules_shared_down=None, grams_co2e_shared_up=None)
        yield call_row(started_at=moment, team=None, model=None, model_requested="gpt-4o-mini", zone="SWE")
        yield call_row(
            started_at=moment,
            estimate_key="other@openai",
            model="other",
            joules=1000.0,
            joules_high=1500.0,
            joules_low=10.0,
            joules_shared_down=500.0,
            joules_shared_up=100.0,
        )
        yield call_row(started_at=moment, team="ads", **UNPRICED)
        yield call_row(started_at=moment, team="ads", provider="groq", **UNESTIMATED)
        yield call_row(
            started_at=moment, provider=None, outcome="rejected", model=None, model_requested=None, **UNMETERED
        )
    yield call_row(started_at=NOVEMBER.end)


@pytest.mark.parametrize("asked", SQL, ids=lambda asked: asked.where)
def test_every_panel_has_data(ledger: Ledger, asked: Asked):
    found = ledger.rows(asked.sql)
    assert found
    assert any(value is not None for row in found for value in row.values())
    if asked.series:
        assert all(row.keys() == {"time", "metric", "value"} for row in found)
        assert [row["time"] for row in found] == sorted(row["time"] for row in found)


def test_what_can_be_chosen_is_what_the_ledger_has(ledger):
    values = ledger.values()
    assert values["team"] == sorted(["–", "ads", "o'brien", "search"], key=values["team"].index)
    assert set(values["provider"]) == {"–", "groq", "openai"}
    assert set(values["model"]) == {"–", "gpt-4o", "gpt-4o-mini", "house-model", "other"}


@pytest.mark.parametrize(
    ("title", "name"), [("Cost report", "cost"), ("Energy report", "energy"), ("Carbon report", "carbon")]
)
def test_tables_are_the_reports(ledger: Ledger, title: str, name: str):
    found, report = ledger.rows(of(title)), named(ledger.report(name, "team,model"))
    assert len(report) > 4
    check(found, report, ("team", "model"))
    if name == "cost":
        assert len(found) == len(report)


@pytest.mark.parametrize(
    ("title", "by"),
    [
        ("By tier of evidence", "tier"),
        ("By zone", "zone"),
        ("By source of token counts", "usage_source"),
        ("By outcome", "outcome"),
    ],
)
def test_details_are_the_reports(ledger: Ledger, title: str, by: str):
    found = ledger.rows(of(title))
    for name in ("cost", "energy", "carbon", "water"):
        check(found, named(ledger.report(name, by)), (by,))


@pytest.mark.parametrize(
    ("title", "report", "name"),
    [
        ("Dollars", "cost", "cost_usd"),
        ("Calls", "cost", "calls"),
        ("Calls without a price", "cost", "unpriced_calls"),
        ("Calls without an estimate", "energy", "energy_unknown_calls"),
        ("Input tokens", "cost", "input_tokens"),
        ("Cached input tokens", "cost", "cached_input_tokens"),
        ("Output tokens", "cost", "output_tokens"),
        ("Reasoning tokens", "cost", "reasoning_tokens"),
        ("Market-based carbon", "carbon", "market_grams_co2e"),
        ("Embodied carbon", "carbon", "embodied_grams_co2e"),
        ("Water", "water", "liters"),
        ("Energy", "energy", "joules"),
        ("Carbon", "carbon", "grams_co2e"),
    ],
)
def test_figures_are_the_totals_of_the_reports(ledger: Ledger, title: str, report: str, name: str):
    asked = ledger.report(report, "team")
    total = {column.key: cell for column, cell in zip(asked.columns, asked.total, strict=True)}
    (found,) = ledger.rows(of(title))
    assert name in found
    assert {key: value for key, value in found.items() if not alike(value, total[key])} == {}


@pytest.mark.parametrize(
    ("board", "title", "report", "name", "label"),
    [
        (MONTH, "Dollars per day by team", "cost", "cost_usd", "team"),
        (MONTH, "Energy per day by model", "energy", "joules", "model"),
        (MONTH, "Carbon per day by team", "carbon", "grams_co2e", "team"),
        ("joulegate-energy", "Energy per day by zone", "energy", "joules", "zone"),
        ("joulegate-energy", "Energy per day by tier", "energy", "joules", "tier"),
    ],
)
def test_days_are_the_reports(ledger: Ledger, board: str, title: str, report: str, name: str, label: str):
    days = named(ledger.report(report, f"day,{label}"))
    expected = {(row["day"], row[label]): row[name] for row in days}
    found = {
        (f"{row['time'].astimezone(UTC):%Y-%m-%d}", row["metric"]): row["value"]
        for row in ledger.rows(of(title, board))
    }
    assert found.keys() == expected.keys()
    assert {key: value for key, value in found.items() if not alike(value, expected[key])} == {}
    assert {day for day, _ in found} == {"2026-11-01", "2026-11-10", "2026-11-30"}


def test_what_is_chosen_is_what_is_summed(ledger):
    (one,) = ledger.rows(of("Calls"), chosen={"team": ["o'brien"]})
    (two,) = ledger.rows(of("Calls"), chosen={"team": ["o'brien", "–"]})
    assert (one["calls"], two["calls"]) == (3, 6)
    (refused,) = ledger.rows(of("Calls"), chosen={"provider": ["–"]})
    assert refused["calls"] == 3


def test_a_month_without_calls_is_unknown_and_not_0(ledger):
    january = month_of("2026-01", ZoneInfo("UTC"))
    for asked in SQL:
        if asked.panel["title"] != "Calls not in the sums yet":
            found = ledger.rows(asked.sql, january)
            assert [row for row in found if any(value is not None for value in row.values())] == [], asked.where


def test_a_forecast_stretches_what_has_passed(ledger):
    (over,) = ledger.rows(of("Dollars"))
    (found,) = ledger.rows(of("Dollars at this pace"), month_of("2026-10", ZoneInfo("UTC")))
    (october,) = ledger.rows(of("Dollars"), month_of("2026-10", ZoneInfo("UTC")))
    assert found == october  # it is over
    now = datetime.now(UTC)
    twice = Period(start=NOVEMBER.start, end=now + (now - NOVEMBER.start), zone=ZoneInfo("UTC"))
    (stretched,) = ledger.rows(of("Dollars at this pace"), twice)
    (so_far,) = ledger.rows(of("Dollars"), twice)
    assert so_far["cost_usd"] >= over["cost_usd"]
    assert float(stretched["cost_usd"]) == pytest.approx(2 * float(so_far["cost_usd"]), rel=1e-3)


def test_the_role_reads_and_does_nothing_else(ledger):
    assert ledger.column("SELECT count(*) FROM calls") == [29]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        ledger.reading.execute("DELETE FROM usage_lines")
    ledger.reading.execute("SET default_transaction_read_only = off")
    try:
        for statement in ("DELETE FROM calls_by_day", "CREATE TABLE mine (n int)", "CREATE ROLE another"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ledger.reading.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.reading.execute("SELECT rolpassword FROM pg_authid")
    finally:
        ledger.reading.execute("RESET default_transaction_read_only")
    assert ledger.column("SHOW statement_timeout") == ["30s"]


def test_what_asks_the_ledger_says_so():
    assert {asked.board for asked in SQL} == {MONTH, "joulegate-energy"}
    assert all(asked.panel["datasource"] == LEDGER for asked in SQL)


def test_the_script_is_one_that_the_container_runs():
    assert os.access(Path(folder("postgres") / "reader.sh"), os.X_OK)
