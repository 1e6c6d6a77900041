"""Any report as a page: its figures drawn, its table, and what the figures leave out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import takewhile

from proxy.ledger.read import TIME_DIMENSIONS
from proxy.reports import figures
from proxy.reports.charts import Bar, bars, lines
from proxy.reports.evidence import legend, marked
from proxy.reports.method import how, sentences
from proxy.reports.page import SOURCES, figure, listed, page
from proxy.reports.table import Cell, Column, Report, covers, significant_of, written

LINES_DRAWN = 12  # of bars that lie; the table has them all
COLUMNS_DRAWN = 400  # a chart with more bars than these says nothing


def as_html(report: Report, made_at: datetime) -> str:
    """Write the page."""
    body = f"{_chart(report)}{_table(report)}" if report.rows else ""
    told = f"<h2>How to read it</h2>{listed(report.notes)}" if report.rows else listed(report.notes)
    if report.rows:
        ranges = any(column.key.lower().endswith("low") for column in report.columns)
        method = sentences((column.unit for column in report.columns), ranges=ranges)
        told += f"<h2>Method</h2>{listed(method)}{SOURCES}"
    of = covers(report) + (report.period.goes_on(made_at) if report.period is not None else "")
    return page(report.title, of, f"{report.name}, {covers(report)}", body + told, made_at)


def _chart(report: Report) -> str:
    """Draw the figure that the report is about: over time, or its largest."""
    found = next((place for place, column in enumerate(report.columns) if column.key == report.rank), None)
    if found is None or not report.by or len(report.rows) < 2:
        return ""
    over_time = len(report.by) == 1 and report.by[0] in TIME_DIMENSIONS
    if over_time and len(report.rows) > COLUMNS_DRAWN:
        return ""
    rows = report.rows if over_time else report.rows[:LINES_DRAWN]
    column, ends = report.columns[found], [_place(report, f"{report.rank}_{end}") for end in ("low", "high")]
    shown = [found, *(place for place in ends if place is not None)]
    peak = max((_number(row[place]) or 0.0 for row in rows for place in shown), default=0.0)
    size, unit = (1.0, column.unit) if column.kind == "dollars" else figures.scale(peak, column.unit)
    whole = [
        Bar(
            label=_label(report, row),
            value=_scaled(row[found], size),
            low=None if ends[0] is None else _scaled(row[ends[0]], size),
            high=None if ends[1] is None else _scaled(row[ends[1]], size),
            said=f"{_label(report, row)}: {_said(column, row[found], significant)}",
        )
        for row, significant in zip(rows, significant_of(report, column), strict=False)  # not all rows, nor the total
    ]
    named = f"{column.title} by {', '.join(each.title for each in _named(report))}"
    title = named[:1].upper() + named[1:]
    more = len(report.rows) - len(rows)
    notes = [
        *(["The line on a bar is its 90 % range."] if None not in ends else []),
        *(["? is unknown."] if over_time and any(bar.value is None for bar in whole) else []),
        *([f"Drawn are the first {len(rows)}; {more:,} more stand in the table."] if more else []),
    ]
    small = f'<p class="soft">{" ".join(notes)}</p>' if notes else ""
    return f"<h2>{escape(title)}</h2>{figure((bars if over_time else lines)(title, unit, whole))}{small}"


def _table(report: Report) -> str:
    columns = [written(report, place) for place in range(len(report.columns))]
    texts = [column.kind == "text" for column in report.columns]
    head = "".join(
        f"<th scope='col'{_left(text)}{_how(column)}>{escape(title)}</th>"
        for column, (title, _), text in zip(report.columns, columns, texts, strict=True)
    )
    drawn = list(enumerate(zip(columns, texts, strict=True)))

    def line(number: int) -> str:
        cells = (_cell(each[number], text, _mark(report, place, number)) for place, ((_, each), text) in drawn)
        return f"<tr>{''.join(cells)}</tr>"

    rows = "".join(map(line, range(len(report.rows))))
    foot = ""
    if report.by and report.total:
        total = "".join(
            _cell("All" if place == 0 else "" if text else cells[-1], text, _mark(report, place, -1))
            for place, ((_, cells), text) in drawn
        )
        foot = f"<tfoot><tr>{total}</tr></tfoot>"
    return (
        f'<div class="scroll"><table class="wide"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>{foot}'
        f"</table></div>{f'<p class=soft>{legend()}</p>' if report.shares else ''}"
    )


def _mark(report: Report, place: int, number: int) -> str:
    """Draw what evidence a row's estimate rests on, at the figure that the report is about."""
    if not report.shares or report.columns[place].key != report.rank:
        return ""
    return marked(report.shares[number])


def _how(column: Column) -> str:
    """Say on request how a column's figures are made."""
    made = how(column.unit)
    return "" if made is None else f' title="{escape(made)}"'


def _left(text: bool) -> str:
    return ' class="text"' if text else ""


def _cell(value: str, text: bool, mark: str) -> str:
    return f"<td{_left(text)}>{mark}{escape(value)}</td>"


def _place(report: Report, key: str) -> int | None:
    return next((place for place, column in enumerate(report.columns) if column.key == key), None)


def _named(report: Report) -> list[Column]:
    """Give the columns that tell one row from another: those before the first figure."""
    return list(takewhile(lambda column: column.kind == "text", report.columns))


def _label(report: Report, row: tuple[Cell, ...]) -> str:
    return ", ".join("–" if each is None else str(each) for each in row[: len(_named(report))])


def _number(cell: Cell) -> float | None:
    return float(cell) if isinstance(cell, int | float | Decimal) else None


def _scaled(cell: Cell, size: float) -> float | None:
    number = _number(cell)
    return None if number is None else number / size


def _said(column: Column, cell: Cell, significant: int) -> str:
    if isinstance(cell, Decimal):
        return figures.dollars(cell)
    number = _number(cell)
    return figures.quantity(number, column.unit, significant)
