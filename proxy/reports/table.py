"""What every report is made of, and its three plain forms: a table for people, CSV and JSON for programs.

CSV and JSON carry every figure unrounded in its base unit (dollars as exact decimals, in JSON as
strings); the table scales a column to its largest figure. None is unknown: empty in CSV, null in JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import msgspec
from rich.table import Table
from rich.text import Text

from proxy.reports import figures
from proxy.reports.period import Period

Cell = str | int | float | Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``key`` names it for programs, ``title`` for people; ``unit`` is the base unit of a quantity."""

    key: str
    title: str
    kind: Literal["text", "count", "dollars", "quantity"]
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Rows and their total, one cell per column; notes say what the figures leave out."""

    name: str
    title: str
    period: Period
    by: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...]
    notes: tuple[str, ...] = field(default=())


def as_table(report: Report) -> Table:
    """Draw a report for a terminal."""
    table = Table(
        title=Text(f"{report.title}\n{report.period.title()}"),
        title_justify="left",
        title_style="bold",
        show_footer=bool(report.by),
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    lines: list[list[Text]] = [[] for _ in report.rows]
    for position, column in enumerate(report.columns):
        title, (*cells, total) = _written(column, [*(row[position] for row in report.rows), report.total[position]])
        table.add_column(
            Text(title),
            footer=Text("total" if position == 0 else "" if column.kind == "text" else total, style="bold"),
            justify="left" if column.kind == "text" else "right",
            no_wrap=column.kind != "text",
            overflow="fold",
        )
        for line, cell in zip(lines, cells, strict=True):
            line.append(_plain(cell))
    for line in lines:
        table.add_row(*line)
    return table


def as_csv(report: Report) -> str:
    """Write rows as RFC 4180 CSV with a header; the total is left to the reader's program."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.key for column in report.columns])
    for row in report.rows:
        writer.writerow([_csv_cell(column, cell) for column, cell in zip(report.columns, row, strict=True)])
    return out.getvalue()


def as_json(report: Report) -> bytes:
    """Write rows, total, period and notes as one JSON object."""
    keys = [column.key for column in report.columns]
    aggregated = [i for i, column in enumerate(report.columns) if column.kind != "text"]
    document = {
        "report": report.name,
        "from": report.period.start.isoformat(),
        "to": report.period.end.isoformat(),
        "tz": report.period.zone.key,
        "by": report.by,
        "units": {column.key: column.unit for column in report.columns if column.unit},
        "rows": [dict(zip(keys, row, strict=True)) for row in report.rows],
        "total": {keys[i]: report.total[i] for i in aggregated},
        "notes": report.notes,
    }
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2)


def _written(column: Column, cells: Sequence[Cell]) -> tuple[str, list[str]]:
    """Write a column's cells (the total last) in one unit, and its title with that unit."""
    peak = max((abs(Decimal(cell)) for cell in cells if isinstance(cell, int | float | Decimal)), default=Decimal(0))
    match column.kind:
        case "text":
            return column.title, ["–" if cell is None else str(cell) for cell in cells]
        case "count":
            return column.title, [figures.count(cell) if isinstance(cell, int) else figures.UNKNOWN for cell in cells]
        case "dollars":
            return column.title, [
                figures.dollars(cell, peak) if isinstance(cell, Decimal) else figures.UNKNOWN for cell in cells
            ]
        case "quantity":
            size, unit = figures.scale(float(peak), column.unit)
            return f"{column.title} [{unit}]", [
                figures.digits(float(cell) / size) if isinstance(cell, int | float) else figures.UNKNOWN
                for cell in cells
            ]


def _plain(text: str) -> Text:
    """Take text literally: no markup, no control characters for the terminal."""
    return Text("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


def _csv_cell(column: Column, cell: Cell) -> str:
    if cell is None:
        return ""
    text = str(cell)
    # A spreadsheet runs a cell that starts like a formula; a client can choose a user's or project's name.
    return f"'{text}" if column.kind == "text" and text[:1] in tuple("=+-@\t\r") and text else text
