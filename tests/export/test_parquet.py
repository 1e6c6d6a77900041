"""Parquet files hold what the ledger holds, to the last digit; a day is replaced whole or not at all."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from proxy.export.parquet import SCHEMA, count_by_day, export
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.read import totals
from proxy.ledger.tables import CallRow, call_columns, call_rows
from proxy.ledger.write import Ledger
from tests.commands.typed import typed
from tests.ledger.test_rollups import random_rows
from tests.ledger.test_write import NOW
from tests.rows import call_row

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PERIOD = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
UTC_ZONE = ZoneInfo("UTC")
SUMS = ("input_tokens", "output_tokens", "cost_usd", "joules", "grams_co2e", "liters", "flops")


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def write(engine, *rows) -> None:
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)


def exported(engine, directory, **options):
    return list(export(engine, directory, count_by_day(engine, *PERIOD), **options))


def read(directory):
    return pyarrow.dataset.dataset(directory, partitioning="hive").to_table()


def test_sums_of_the_files_are_those_of_the_ledger(engine, lake):
    write(engine, *random_rows(random.Random(5), 500, AT, 4))
    days = exported(engine, lake, page=30, row_group=70)
    assert [each.day for each in days] == [date(2026, 11, day) for day in range(23, 28)]
    table = read(lake)
    assert table.num_rows == sum(each.calls for each in days) == 500
    with engine.connect() as connection:
        (whole,) = totals(connection, start=PERIOD[0], end=PERIOD[1], zone=UTC_ZONE)
        by_day = totals(connection, by=("day",), start=PERIOD[0], end=PERIOD[1], zone=UTC_ZONE)
    for name in SUMS:
        found, expected = pc.sum(table[name]).as_py(), getattr(whole, name)
        assert found == (pytest.approx(expected) if isinstance(expected, float) else expected), name
    assert isinstance(pc.sum(table["cost_usd"]).as_py(), Decimal)
    dollars = {
        row["day"]: row["cost_usd_sum"] for row in table.group_by("day").aggregate([("cost_usd", "sum")]).to_pylist()
    }
    assert dollars == {each.key[0]: each.cost_usd for each in by_day}


def test_every_value_of_a_row_comes_through(engine, lake):
    full = call_row(
        tags={"team": "sö"}, flags=("a",), units={"searches": 2.0}, cost_usd=Decimal("0.000000000001"),
        started_at=AT + timedelta(microseconds=1), stream=False, status=None,
    )  # fmt: skip
    bare = call_row(**{each.name: None for each in call_columns if each.nullable})
    write(engine, full, bare)
    exported(engine, lake)
    found = pq.ParquetFile(lake / "day=2026-11-23" / "calls.parquet").read().to_pylist()
    for row in found:
        row |= {name: msgspec.json.decode(row[name]) for name in ("tags", "units", "flags", "attributes") if row[name]}
    assert [msgspec.convert(row, CallRow) for row in found] == [bare, full]


def test_the_types_are_the_documented_ones():
    assert {name: str(SCHEMA.field(name).type) for name in ("id", "started_at", "attempt", "stream", "cost_usd")} == {
        "id": "string",
        "started_at": "timestamp[us, tz=UTC]",
        "attempt": "int16",
        "stream": "bool",
        "cost_usd": "decimal128(24, 12)",
    }
    assert str(SCHEMA.field("joules").type) == "double"
    assert SCHEMA.names == list(CallRow.__struct_fields__)


def test_memory_is_bounded_by_row_groups_and_columns_are_compressed(engine, lake):
    write(engine, *(call_row(started_at=AT + timedelta(seconds=each)) for each in range(100)))
    exported(engine, lake, page=10, row_group=30)
    about = pq.ParquetFile(lake / "day=2026-11-23" / "calls.parquet").metadata
    assert [about.row_group(each).num_rows for each in range(about.num_row_groups)] == [30, 30, 30, 10]
    assert about.row_group(0).column(0).compression == "ZSTD"


def test_a_day_is_replaced_whole_and_what_a_killed_export_left_is_removed(engine, lake):
    write(engine, call_row(started_at=AT))
    exported(engine, lake)
    folder = lake / "day=2026-11-23"
    (folder / ".calls.parquet.99").write_bytes(b"half a file")
    write(engine, call_row(started_at=AT + timedelta(hours=1)))
    assert read(lake).num_rows == 1  # the half of a file is in nobody's way
    exported(engine, lake)
    assert [each.name for each in folder.iterdir()] == ["calls.parquet"]
    assert read(lake).num_rows == 2


def test_an_export_that_fails_midway_leaves_the_day_as_it_was(engine, lake):
    write(engine, *(call_row(started_at=AT) for _ in range(4)))
    exported(engine, lake)
    write(engine, *(call_row(started_at=AT) for _ in range(4)))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(engine, lake, page=2, written=stop)
    assert [each.name for each in (lake / "day=2026-11-23").iterdir()] == ["calls.parquet"]
    assert read(lake).num_rows == 4


def test_a_day_of_which_the_ledger_has_deleted_calls_stays_as_it_was_exported(engine, ledger_url, lake):
    gone, kept = call_row(started_at=AT), call_row(started_at=AT)
    write(engine, gone, kept, call_row(started_at=AT + timedelta(days=1)))
    exported(engine, lake)
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.delete(call_rows).where(call_rows.c.id == gone.id))
    ran = typed("export", "parquet", str(lake), "--month", "2026-11", "--database", ledger_url, "--json")
    assert ran.exit_code == 1
    days = msgspec.json.decode(ran.stdout)["days"]
    assert [(each["day"], each["calls"], each["file"] is None) for each in days] == [
        ("2026-11-23", 1, True),
        ("2026-11-24", 1, False),
    ]
    assert "deleted" in days[0]["reason"]
    assert read(lake).num_rows == 3


def run(*words: str):
    return typed("export", "parquet", *words)


def test_the_command_writes_whole_days_and_says_how_much(engine, ledger_url, lake):
    write(engine, call_row(started_at=AT), call_row(started_at=AT - timedelta(days=1)))
    where = (str(lake / "new"), "--database", ledger_url)
    ran = run(*where, "--from", "2026-11-23", "--to", "2026-11-23")
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("2026-11-23  1 calls")
    assert read(lake / "new").num_rows == 1
    assert "no calls from 2026-10-01 to 2026-10-31" in run(*where, "--month", "2026-10").stdout


def test_parts_of_days_are_refused(ledger_url, lake):
    ran = run(str(lake), "--database", ledger_url, "--from", "2026-11-23T12:00", "--to", "2026-11-24")
    assert ran.exit_code == 1
    assert "whole days" in str(ran.exception)


def test_a_folder_that_cannot_be_made_is_said(engine, ledger_url, tmp_path):
    write(engine, call_row(started_at=AT))
    (tmp_path / "file").write_text("")
    ran = run(str(tmp_path / "file"), "--database", ledger_url, "--month", "2026-11")
    assert "cannot be written" in str(ran.exception)


def test_a_ledger_that_is_away_is_said(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/nothing.db")
    with pytest.raises(LedgerError, match="cannot be read"):
        count_by_day(engine, *PERIOD)
