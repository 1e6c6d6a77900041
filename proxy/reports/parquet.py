"""A report as a Parquet file: as exact as CSV, with types. Needs pyarrow, the extra ``parquet``."""

from __future__ import annotations

from datetime import datetime
from decimal import Context, Decimal

import msgspec
import pyarrow as pa
from pyarrow import parquet as pq

from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.reports.table import Cell, Column, Report, period_of

_WIDE = Context(prec=38)
_SMALLEST = Decimal(1).scaleb(-USD_DECIMALS)
_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "count": pa.int64(),
    "dollars": pa.decimal128(38, USD_DECIMALS),
    "quantity": pa.float64(),
    "share": pa.float64(),
}


def as_parquet(report: Report) -> bytes:
    """Write the rows; notes, period and conditions stand in the file's metadata, the total is left to who reads it."""
    columns = [
        pa.array([_value(column, cell) for cell in cells], _TYPES[column.kind])
        for column, cells in zip(report.columns, report.cells, strict=True)
    ]
    said = {
        "report": report.name,
        **{name: text for name, text in period_of(report).items() if text is not None},
        "where": msgspec.json.encode(report.where).decode(),
        "notes": msgspec.json.encode(report.notes).decode(),
    }
    fields = [
        pa.field(column.key, _TYPES[column.kind], metadata={"unit": column.unit} if column.unit else None)
        for column in report.columns
    ]
    metadata = {f"joulegate.{name}": text for name, text in said.items()}
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=pa.schema(fields, metadata=metadata)), out, compression="zstd")
    written: bytes = out.getvalue().to_pybytes()
    return written


def _value(column: Column, cell: Cell) -> object:
    if cell is None:
        return None
    match column.kind:
        case "dollars":
            # A mean has more decimals than any sum.
            return Decimal(cell).quantize(_SMALLEST, context=_WIDE)
        case "time":
            return datetime.fromisoformat(str(cell))
        case _:
            return cell
