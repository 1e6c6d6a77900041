from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from pyarrow import parquet as pq

from proxy.reports.parquet import as_parquet
from tests.reports.asking import question
from tests.reports.test_focus import made, november, some
from tests.rows import UNPRICED, call_row, insert


def read(content: bytes):
    table = pq.read_table(io.BytesIO(content))
    return table.to_pylist(), table.schema


def test_a_focus_file_has_the_types_of_focus_and_the_ledgers_dollars(engine):
    rows = [*some(60), call_row(**UNPRICED)]
    insert(engine, *rows)
    report = made(engine)
    charges, schema = read(as_parquet(report))
    assert sum(charge["BilledCost"] for charge in charges) == sum(row.cost_usd or 0 for row in rows)
    assert {str(schema.field(name).type) for name in ("BilledCost", "ListCost")} == {"decimal128(38, 12)"}
    assert charges[0]["ChargePeriodStart"] == datetime(2026, 11, 1, tzinfo=UTC)
    assert charges[0]["ChargeClass"] is None
    assert isinstance(charges[0]["ConsumedQuantity"], float)
    assert schema.field("x_EnergyJoules").metadata == {b"unit": b"J"}
    assert msgspec.json.decode(schema.metadata[b"joulegate.notes"]) == list(report.notes)


@pytest.mark.parametrize("name", ["cost", "energy", "carbon", "water", "sci", "ghg"])
def test_every_report_has_such_a_file_and_unknown_is_null(engine, name):
    insert(engine, call_row(), call_row(model="b", cost_usd=None, joules=None, grams_co2e=None, liters=None))
    with engine.connect() as connection:
        report = question(name, by="model", where=["team=search", "project="]).ask(connection, november())
    rows, schema = read(as_parquet(report))
    assert msgspec.json.decode(schema.metadata[b"joulegate.where"]) == {"team": "search", "project": None}
    assert [tuple(row.values()) for row in rows] == list(report.rows)
    assert any(None in row.values() for row in rows)
    assert name != "cost" or rows[0]["cost_usd"] == Decimal("0.00075")


def test_the_command_writes_the_file(engine, ledger_url):
    insert(engine, call_row())
    words = ["report", "focus", "--month", "2026-11", "--database", ledger_url, "--format", "parquet"]
    ran = subprocess.run([sys.executable, "-m", "proxy.cli", *words], capture_output=True, check=True)
    charges, _ = read(ran.stdout)
    assert [charge["SubAccountId"] for charge in charges] == ["search"]
