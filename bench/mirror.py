"""What the mirror in ClickHouse and the export to Parquet take: rows per second, bytes per row, memory, reports.

    python -m bench.mirror [--rows 300000] [--times 30]

Rows are a month's, of 5 teams and 3 models, estimated and written as the recorder does, into a SQLite ledger.
ClickHouse is its own engine in a process (chdb), which shares the cores with the copying; a server of its own would
not. `--times` repeats the rows so many times within ClickHouse, with other ids and times, to ask for a report over
more. Needs what `make test-all` installs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from bench.ledger import records
from proxy.call import Closed
from proxy.estimating import ConfiguredEstimator
from proxy.identity import uuid7
from proxy.ledger.engine import open_engine
from proxy.ledger.read import splits
from proxy.ledger.revision import migrate
from proxy.ledger.row import known_row, row_of
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Ledger
from proxy.sections import Config

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
TEAMS = ["search", "support", "research", "ads", "ops"]
BATCH = 2000
ASKED = (("team", "model"), (), ("model",))  # what `report --by team,model` asks


def filled(url: str, count: int) -> None:
    """Write a month of rows as the recorder does."""
    engine = open_engine(url)
    migrate(engine)
    ledger, estimate, draw = Ledger(engine), ConfiguredEstimator(Config()), random.Random(1)
    step = (END - START) / count
    rows: list[CallRow] = []
    for number, record in enumerate(each for each in records(count, 1) if isinstance(each, Closed)):
        at = START + step * number
        at_us = int(at.timestamp() * 1e6)
        name = uuid7(at_us // 1000, draw.getrandbits(74))
        changes = {"id": name, "operation_id": name, "started_at_us": at_us, "team": draw.choice(TEAMS)}
        closed = msgspec.structs.replace(record, opened=msgspec.structs.replace(record.opened, **changes))
        known = estimate.known(
            closed.model or "", provider=closed.opened.provider, zone=None, at_us=at_us, service_tier=None, region=None
        )
        row = known_row(closed, known) if known is not None else None
        rows.append(row if row is not None else row_of(closed, "no estimate"))
        if len(rows) == BATCH:
            ledger.commit(rows, journal="bench", positions={}, at=at)
            rows = []
    ledger.commit(rows, journal="bench", positions={}, at=END)
    engine.dispose()


def timed(ask: Callable[[], Any], rounds: int = 5) -> float:
    """Give the fastest of a few rounds, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def peak_mb() -> float:
    """Give the most memory that this process had, on Linux."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def report_of(engine: sa.Engine, zone: str = "UTC", **options: Any) -> Callable[[], list[Any]]:
    def ask() -> list[Any]:
        with engine.connect() as connection:
            return splits(connection, ASKED, start=START, end=END, zone=ZoneInfo(zone), **options)

    return ask


def mirrored(url: str, path: Path, times: int) -> dict[str, float]:
    from proxy.mirror.clickhouse import ClickHouse, open_mirror
    from proxy.mirror.mirror import Mirror

    engine, other = open_engine(url), open_mirror(f"clickhousedb:///default?interface=chdb&path={path}")
    clickhouse = ClickHouse(other)
    clickhouse.prepare()
    began, began_cpu = time.perf_counter(), time.process_time()
    done = Mirror(engine, clickhouse).catch_up()
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    memory = peak_mb()
    with other.connect() as connection:
        run = connection.exec_driver_sql
        before = timed(report_of(other))
        run("OPTIMIZE TABLE calls_copied FINAL")
        size, raw = run(
            "SELECT sum(bytes_on_disk) / sum(rows), sum(data_uncompressed_bytes) / sum(rows)"
            " FROM system.parts WHERE active AND table = 'calls_copied'"
        ).one()
        cost: Decimal = run("SELECT sum(cost_usd) FROM calls").scalar()
        found = {
            "copied rows/s": done.calls / took,
            "copying, CPU µs/row": cpu / done.calls * 1e6,
            "copying, peak MB (engine in it)": memory,
            "bytes/row": float(size),
            "bytes/row uncompressed": float(raw),
            "month by team and model, before merging, ms": before,
            "month by team and model, ms": timed(report_of(other)),
        }
        named = ", ".join(f"`{each}`" for each in CallRow.__struct_fields__)
        changed = named.replace("`id`", "generateUUIDv7()").replace(
            "`started_at`", "started_at + toIntervalMillisecond(rand() % 2000)"
        )
        for _ in range(times - 1):
            run(
                f"INSERT INTO calls_copied ({named}, copy) SELECT {changed}, 1 FROM"
                f" (SELECT * FROM calls_copied WHERE copy > 1)"
            )
        number = run("SELECT count() FROM calls").scalar()
        found[f"month by team and model of {number / 1e6:.1f} million, before merging, ms"] = timed(report_of(other), 3)
        run("OPTIMIZE TABLE calls_copied FINAL")
        found[f"month by team and model of {number / 1e6:.1f} million, ms"] = timed(report_of(other), 3)
        found[f"month by team of {number / 1e6:.1f} million, dollars only, ms"] = timed(
            lambda: run("SELECT team, sum(cost_usd) FROM calls GROUP BY team").all(), 3
        )
    with engine.connect() as connection:
        (total,) = splits(connection, ((),), start=START, end=END, zone=ZoneInfo("UTC"))[0]
    assert total.cost_usd == cost, f"{total.cost_usd} is not {cost}"
    found["month by team and model in the ledger, from its sums, ms"] = timed(report_of(engine))
    found["month by team and model in the ledger, from its rows, ms"] = timed(report_of(engine, from_rows=True), 1)
    return found


def exported(url: str, directory: Path, _: int) -> dict[str, float]:
    import pyarrow.dataset as ds

    from proxy.export.parquet import count_by_day, export

    engine = open_engine(url)
    began, began_cpu = time.perf_counter(), time.process_time()
    days = list(export(engine, directory, count_by_day(engine, START, END)))
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    memory = peak_mb()
    number = sum(each.calls for each in days)

    def dollars() -> Any:
        table = ds.dataset(directory, partitioning="hive").to_table(columns=["team", "model", "cost_usd", "joules"])
        return table.group_by(["team", "model"]).aggregate([("cost_usd", "sum"), ("joules", "sum")])

    return {
        "exported rows/s": number / took,
        "exporting, CPU µs/row": cpu / number * 1e6,
        "exporting, peak MB": memory,
        "bytes/row": sum(each.size for each in days) / number,
        "month by team and model with pyarrow, ms": timed(dollars),
    }


PARTS: dict[str, Callable[[str, Path, int], dict[str, float]]] = {"mirror": mirrored, "parquet": exported}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=300_000)
    arguments.add_argument("--times", type=int, default=30)
    arguments.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    arguments.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.part is not None:
        print(json.dumps(PARTS[given.part](given.url, given.path, given.times)))
        return
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/ledger.db"
        filled(url, given.rows)
        for part in PARTS:  # each in a process of its own, whose memory is its own
            command = [sys.executable, "-m", "bench.mirror", "--part", part, "--url", url]
            command += ["--path", f"{directory}/{part}", "--times", str(given.times)]
            ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(f"{part}, {given.rows:,} rows")
            for name, value in json.loads(ran.stdout).items():
                print(f"  {name:70} {value:12,.1f}")


if __name__ == "__main__":
    main()
