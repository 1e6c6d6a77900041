"""Calls in Parquet files, one folder a day (UTC): ``day=2026-11-23/calls.parquet``, as Hive and its like partition.

A day is written beside its file and takes its place at once, so a reader sees the former day or the new one, whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet as pq
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from proxy.errors import LedgerError
from proxy.ledger.engine import shown
from proxy.ledger.paging import Row, pages
from proxy.ledger.read import totals
from proxy.ledger.sqltypes import USD_DECIMALS, Usd, UtcDateTime
from proxy.ledger.tables import call_columns

FILE = "calls.parquet"
PAGE = 20_000  # calls in memory at once
ROW_GROUP = 100_000  # calls that a reader takes or leaves together; in memory as columns, some 30 MB
_COMPRESSION = "zstd"
_UTC = ZoneInfo("UTC")


def _type(kind: sa.types.TypeEngine[object]) -> pa.DataType:
    match kind:
        case UtcDateTime():
            return pa.timestamp("us", tz="UTC")
        case Usd():
            return pa.decimal128(24, USD_DECIMALS)
        case sa.BigInteger():
            return pa.int64()
        case sa.SmallInteger():
            return pa.int16()
        case sa.Boolean():
            return pa.bool_()
        case sa.Double():
            return pa.float64()
        case _:  # text, and JSON as text
            return pa.string()


SCHEMA = pa.schema([pa.field(each.name, _type(each.type), nullable=bool(each.nullable)) for each in call_columns])


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day that was exported; ``file`` is None where it was left as it is, and ``reason`` says why."""

    day: date
    calls: int
    file: Path | None
    size: int = 0  # bytes
    reason: str | None = None


def count_by_day(engine: Engine, start: datetime, end: datetime) -> dict[date, int]:
    """Count the calls of each day in [start, end) that has any, by the ledger's sums: also those deleted since."""
    try:
        with engine.connect() as connection:
            found = totals(connection, by=("day",), start=start, end=end, zone=_UTC)
    except SQLAlchemyError as error:
        raise _unreadable(engine, error) from error
    return {date.fromisoformat(each.key[0] or ""): each.calls for each in sorted(found, key=lambda each: each.key)}


def export(
    engine: Engine,
    directory: Path,
    days: dict[date, int],
    *,
    written: Callable[[int], object] = lambda _: None,
    page: int = PAGE,
    row_group: int = ROW_GROUP,
) -> Iterator[Day]:
    """Write days, given with their numbers of calls, one after the other; ``written`` hears of calls as they come.

    A day of which the ledger has deleted calls is left as it was exported before. Raises :class:`LedgerError`, and
    ``OSError`` where the directory cannot be written.
    """
    for day, expected in days.items():
        folder = directory / f"day={day.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f".{FILE}.*"):  # by an export that was killed
            left.unlink(missing_ok=True)
        fresh = folder / f".{FILE}.{os.getpid()}"  # readers of such folders pass over names with a dot
        try:
            calls = _write(fresh, _batches(engine, day, page, written), row_group)
            if calls < expected:
                yield Day(day=day, calls=calls, file=None, reason=_deleted(calls, expected))
                continue
            size = fresh.stat().st_size
            fresh.replace(folder / FILE)
            _sync(folder)
        except SQLAlchemyError as error:
            raise _unreadable(engine, error) from error
        finally:
            fresh.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it is not empty, as a rule
                folder.rmdir()
        yield Day(day=day, calls=calls, file=folder / FILE, size=size)


def _batches(engine: Engine, day: date, page: int, written: Callable[[int], object]) -> Iterator[pa.RecordBatch]:
    start = datetime(day.year, day.month, day.day, tzinfo=_UTC)
    for each in pages(engine, start, start + timedelta(days=1), size=page):
        yield _columns(each.calls)
        written(len(each.calls))


def _columns(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=SCHEMA)


def _write(file: Path, batches: Iterable[pa.RecordBatch], row_group: int) -> int:
    """Write a file that is on the disk when this returns; gives how many rows it has."""
    number = 0
    with file.open("xb") as out:
        with pq.ParquetWriter(out, SCHEMA, compression=_COMPRESSION) as writer:
            held: list[pa.RecordBatch] = []
            for batch in batches:
                held.append(batch)
                number += batch.num_rows
                if sum(each.num_rows for each in held) >= row_group:
                    writer.write_table(pa.Table.from_batches(held))
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held))
        out.flush()
        os.fsync(out.fileno())
    return number


def _sync(folder: Path) -> None:
    """Let the new name survive a power cut as well."""
    found = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(found)
    finally:
        os.close(found)


def _deleted(calls: int, expected: int) -> str:
    return f"the ledger has {calls:,} of its {expected:,} calls, the others were deleted: left as it was"


def _unreadable(engine: Engine, error: SQLAlchemyError) -> LedgerError:
    cause = getattr(error, "orig", None) or error
    return LedgerError(f"the ledger {shown(engine.url)} cannot be read: {cause}")
